"""Empties a host for maintenance, then lets it work again: evacuate_host.py URL USER PASSWORD HOST."""

import sys
import time

import XenAPI


def guests(session, host):
    records = (session.xenapi.VM.get_record(vm) for vm in session.xenapi.host.get_resident_VMs(host))
    return sorted(r["name_label"] for r in records if not r["is_control_domain"])


def wait(session, task):
    try:
        while session.xenapi.task.get_status(task) == "pending":
            time.sleep(0.05)
        return session.xenapi.task.get_status(task)
    finally:
        session.xenapi.task.destroy(task)


def main(session, name):
    (host,) = session.xenapi.host.get_by_name_label(name)
    print(f"before: {guests(session, host)}")
    for vm, reason in session.xenapi.host.get_vms_which_prevent_evacuation(host).items():
        print(f"{session.xenapi.VM.get_name_label(vm)} cannot leave: {reason}")
        return 1
    session.xenapi.host.disable(host)
    print(f"enabled: {session.xenapi.host.get_enabled(host)}")
    try:
        session.xenapi.host.assert_can_evacuate(host)
        print(f"evacuate: {wait(session, session.xenapi.Async.host.evacuate(host))}")
        print(f"after: {guests(session, host)}")
    finally:
        session.xenapi.host.enable(host)
    print(f"enabled: {session.xenapi.host.get_enabled(host)}")
    return 0


if __name__ == "__main__":
    url, username, password, name = sys.argv[1:5]
    session = XenAPI.Session(url)
    session.xenapi.login_with_password(username, password, "1.0", "evacuate_host.py")
    try:
        code = main(session, name)
    finally:
        session.xenapi.session.logout()
    sys.exit(code)
