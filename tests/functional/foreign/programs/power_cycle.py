"""Takes a guest through its power states: power_cycle.py URL USER PASSWORD GUEST HOST."""

import sys

import XenAPI


def main(session, name, host_name):
    xenapi = session.xenapi
    (vm,) = xenapi.VM.get_by_name_label(name)
    (host,) = xenapi.host.get_by_name_label(host_name)
    (pool,) = xenapi.pool.get_all()
    # Where the memory of a suspended guest goes; many pools have no such place until somebody chooses one.
    xenapi.pool.set_suspend_image_SR(pool, xenapi.pool.get_default_SR(pool))
    steps = [
        ("clean_reboot", ()),
        ("pause", ()),
        ("unpause", ()),
        ("suspend", ()),
        ("resume_on", (host, False, False)),
        ("clean_shutdown", ()),
        ("start_on", (host, False, False)),
        ("hard_reboot", ()),
        ("hard_shutdown", ()),
    ]
    for operation, parameters in steps:
        if operation not in xenapi.VM.get_allowed_operations(vm):
            print(f"{operation}: not allowed while {xenapi.VM.get_power_state(vm)}")
            return 1
        getattr(xenapi.VM, operation)(vm, *parameters)
        print(f"{operation}: {xenapi.VM.get_power_state(vm)}")
    try:
        xenapi.VM.clean_shutdown(vm)
    except XenAPI.Failure as failure:
        code, _, *states = failure.details
        print(f"{code} {states}")
    return 0


if __name__ == "__main__":
    url, username, password, name, host_name = sys.argv[1:6]
    session = XenAPI.Session(url)
    session.xenapi.login_with_password(username, password, "1.0", "power_cycle.py")
    try:
        code = main(session, name, host_name)
    finally:
        session.xenapi.session.logout()
    sys.exit(code)
