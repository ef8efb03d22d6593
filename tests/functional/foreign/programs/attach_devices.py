"""Gives a running guest a disk, a network card and a CD for a while: attach_devices.py URL USER PASSWORD GUEST."""

import sys

import XenAPI


def main(session, name):
    xenapi = session.xenapi
    (vm,) = xenapi.VM.get_by_name_label(name)

    (pool,) = xenapi.pool.get_all()
    disk = {"name_label": "scratch", "name_description": "", "SR": xenapi.pool.get_default_SR(pool)}
    disk |= {"virtual_size": str(2**30), "type": "user", "sharable": False, "read_only": False, "other_config": {}}
    vdi = xenapi.VDI.create(disk)
    vbd = {"VM": vm, "VDI": vdi, "userdevice": xenapi.VM.get_allowed_VBD_devices(vm)[0], "bootable": False}
    vbd |= {"mode": "RW", "type": "Disk", "unpluggable": True, "empty": False, "other_config": {}}
    vbd = xenapi.VBD.create(vbd | {"qos_algorithm_type": "", "qos_algorithm_params": {}})
    xenapi.VBD.plug(vbd)
    print(f"disk attached {xenapi.VBD.get_currently_attached(vbd)}, {xenapi.VDI.get_virtual_size(vdi)} bytes")
    xenapi.VBD.unplug(vbd)
    xenapi.VBD.destroy(vbd)
    xenapi.VDI.destroy(vdi)

    network = xenapi.network.get_all()[0]
    vif = {"VM": vm, "network": network, "device": xenapi.VM.get_allowed_VIF_devices(vm)[0], "MAC": "", "MTU": "1500"}
    vif = xenapi.VIF.create(vif | {"other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}})
    xenapi.VIF.plug(vif)
    print(f"card attached {xenapi.VIF.get_currently_attached(vif)}, MAC made {bool(xenapi.VIF.get_MAC(vif))}")
    xenapi.VIF.unplug(vif)
    xenapi.VIF.destroy(vif)

    (drive,) = (d for d in xenapi.VM.get_VBDs(vm) if xenapi.VBD.get_type(d) == "CD")
    (image,) = xenapi.VDI.get_by_name_label("guest-tools.iso")
    xenapi.VBD.insert(drive, image)
    print(f"CD inserted: {xenapi.VDI.get_name_label(xenapi.VBD.get_VDI(drive))}")
    xenapi.VBD.eject(drive)
    print(f"CD ejected: empty {xenapi.VBD.get_empty(drive)}")


if __name__ == "__main__":
    url, username, password, name = sys.argv[1:5]
    session = XenAPI.Session(url)
    session.xenapi.login_with_password(username, password, "1.0", "attach_devices.py")
    try:
        main(session, name)
    finally:
        session.xenapi.session.logout()
