"""Moves a running guest and follows the task: migrate_vm.py URL USER PASSWORD GUEST HOST."""

import sys
import time

import XenAPI


def main(session, name, host_name):
    (vm,) = session.xenapi.VM.get_by_name_label(name)
    (host,) = session.xenapi.host.get_by_name_label(host_name)
    task = session.xenapi.Async.VM.pool_migrate(vm, host, {"live": "true"})
    seen = 0.0
    while session.xenapi.task.get_status(task) == "pending":
        progress = session.xenapi.task.get_progress(task)
        if progress < seen:
            print(f"went back from {seen} to {progress}")
        seen = progress
        time.sleep(0.05)
    record = session.xenapi.task.get_record(task)
    session.xenapi.task.destroy(task)
    print(f"{record['name_label']}: {record['status']}, progress {record['progress']}, result {record['result']!r}")
    if record["status"] != "success":
        print(record["error_info"])
        return 1
    where = session.xenapi.VM.get_resident_on(vm)
    print(f"{name} {session.xenapi.VM.get_power_state(vm)} on {session.xenapi.host.get_name_label(where)}")
    return 0


if __name__ == "__main__":
    url, username, password, name, host_name = sys.argv[1:6]
    session = XenAPI.Session(url)
    session.xenapi.login_with_password(username, password, "1.0", "migrate_vm.py")
    try:
        code = main(session, name, host_name)
    except XenAPI.Failure as failure:
        print(" ".join(failure.details))
        code = 1
    finally:
        session.xenapi.session.logout()
    sys.exit(code)
