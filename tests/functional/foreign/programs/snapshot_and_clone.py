"""Takes a snapshot of a guest, clones it, throws both away: snapshot_and_clone.py URL USER PASSWORD GUEST."""

import sys

import XenAPI


def destroy_with_disks(session, vm):
    disks = []
    for vbd in session.xenapi.VM.get_VBDs(vm):
        record = session.xenapi.VBD.get_record(vbd)
        if record["type"] == "Disk" and not record["empty"]:
            disks.append(record["VDI"])
    session.xenapi.VM.destroy(vm)
    for disk in disks:
        session.xenapi.VDI.destroy(disk)
    print(f"destroyed with {len(disks)} disk(s)")


def main(session, name):
    (vm,) = session.xenapi.VM.get_by_name_label(name)
    snapshot = session.xenapi.VM.snapshot(vm, f"{name} before the upgrade")
    record = session.xenapi.VM.get_record(snapshot)
    print(f"{record['name_label']}: {record['power_state']}, snapshot {record['is_a_snapshot']}")
    print(f"of {session.xenapi.VM.get_name_label(record['snapshot_of'])}")
    print(f"{len(session.xenapi.VM.get_snapshots(vm))} snapshot(s)")

    clone = session.xenapi.VM.clone(snapshot, f"{name} copy")
    print(f"{session.xenapi.VM.get_name_label(clone)}: template {session.xenapi.VM.get_is_a_template(clone)}")
    session.xenapi.VM.set_is_a_template(clone, False)
    session.xenapi.VM.start(clone, False, False)
    print(f"clone {session.xenapi.VM.get_power_state(clone)}")
    session.xenapi.VM.hard_shutdown(clone)
    destroy_with_disks(session, clone)
    destroy_with_disks(session, snapshot)
    print(f"{len(session.xenapi.VM.get_snapshots(vm))} snapshot(s)")


if __name__ == "__main__":
    url, username, password, name = sys.argv[1:5]
    session = XenAPI.Session(url)
    session.xenapi.login_with_password(username, password, "1.0", "snapshot_and_clone.py")
    try:
        main(session, name)
    finally:
        session.xenapi.session.logout()
