"""What XAPI says of the calls around the submit: storage, drives, files in dom0, marks; also when they are undone."""

from __future__ import annotations

from typing import Final

from lmflow.catalogue.entry import AROUND, Entry, Family

_PLUG = "xapi's documentation of errors; lmflow/tasks/connect_storage.py"
_DRIVE = "xapi's documentation of errors; lmflow/tasks/eject_local_iso.py"
_FILES = "xapi's documentation of errors; lmflow/tasks/copy_kernel.py"

ENTRIES: Final = (
    Entry(
        code="SR_BACKEND_FAILURE",
        family=Family.PREPARING,
        title="The storage's own driver failed",
        params=(
            "status",
            "stdout",
            "stderr",
        ),
        meaning="A storage driver failed; its texts are the parameters. Real drivers add a number to the code.",
        cause=(
            "The destination cannot reach the storage: network, credentials, multipath, a full or offline array. "
            "lmflow meets it when it plugs a PBD there before the submit, or unplugs it in a revert."
        ),
        vm_state=AROUND,
        remedy="Plug the storage by hand on that host and read what it says.",
        command="xe pbd-plug uuid=PBD_UUID",
        source=_PLUG,
    ),
    Entry(
        code="SR_UNKNOWN_DRIVER",
        family=Family.PREPARING,
        title="The destination has no driver for this kind of storage",
        params=("driver",),
        meaning="The storage's type names a driver that is not installed on that host.",
        cause="A driver of a vendor, or an older one, was installed on some hosts only.",
        vm_state=AROUND,
        remedy="Install the driver on that host, or choose another host.",
        command="xe sm-list params=type,name-label",
        source=_PLUG,
    ),
    Entry(
        code="SR_NOT_SHARABLE",
        family=Family.PREPARING,
        title="The storage belongs to one host",
        params=(
            "sr",
            "host",
        ),
        meaning="A second host cannot be connected to storage that is not marked as shared.",
        cause="The storage is local, or its mark was changed after lmflow had looked.",
        vm_state=AROUND,
        remedy="Move the disk to shared storage.",
        command="xe sr-list uuid=SR_UUID params=name-label,shared,type",
        source=_PLUG,
    ),
    Entry(
        code="PBD_EXISTS",
        family=Family.PREPARING,
        title="The host knows this storage already",
        params=(
            "sr",
            "host",
            "pbd",
        ),
        meaning="There is a PBD for this storage and this host, and there can be only one.",
        cause="Somebody else connected the storage in the same moment. lmflow then leaves theirs alone.",
        vm_state=AROUND,
        remedy="Ask again: what is connected by now is used as it is.",
        command="xe pbd-list sr-uuid=SR_UUID params=uuid,host-uuid,currently-attached",
        source=_PLUG,
    ),
    Entry(
        code="SR_NOT_ATTACHED",
        family=Family.PREPARING,
        title="The storage is not plugged where it is needed",
        params=("sr",),
        meaning="The operation needs the storage on a host where its PBD is unplugged.",
        cause="Somebody unplugged it, or it did not come up when the host booted.",
        vm_state=AROUND,
        remedy="Plug it on that host.",
        command="xe pbd-list sr-uuid=SR_UUID params=uuid,host-uuid,currently-attached",
        source="xapi's documentation of errors; lmflow/tasks/strip_base_mirror.py",
    ),
    Entry(
        code="SR_HAS_NO_PBDS",
        family=Family.PREPARING,
        title="No host is connected to this storage",
        params=("sr",),
        meaning="The operation needs the storage, and it is plugged on no host.",
        cause="The array was taken away, or the storage was introduced and never plugged.",
        vm_state=AROUND,
        remedy="Connect the storage to a host and plug it.",
        command="xe pbd-list sr-uuid=SR_UUID",
        source="xapi's documentation of errors; lmflow/tasks/strip_base_mirror.py",
    ),
    Entry(
        code="VDI_IN_USE",
        family=Family.PREPARING,
        title="A disk of that storage is in use",
        params=(
            "vdi",
            "operation",
        ),
        meaning="The operation needs a disk that something else is using.",
        cause=(
            "lmflow unplugs storage that it had plugged, and another VM on that host uses it by now; or it puts a "
            "disc back that is in use."
        ),
        vm_state=f"{AROUND} The other VM is not touched.",
        remedy="Leave it plugged if the storage is wanted there by now; else stop its use and repair the run.",
        command="lmflow repair RUN",
        source=_PLUG,
    ),
    Entry(
        code="VBD_IS_EMPTY",
        family=Family.PREPARING,
        title="There is no disc in the drive",
        params=("vbd",),
        meaning="The drive that was to be emptied is empty.",
        cause="Somebody ejected the disc in the same moment.",
        vm_state=AROUND,
        remedy="Ask again.",
        command="xe vbd-list vm-uuid=VM_UUID type=CD params=uuid,empty,vdi-name-label",
        source=_DRIVE,
    ),
    Entry(
        code="VBD_NOT_EMPTY",
        family=Family.PREPARING,
        title="There is a disc in the drive",
        params=("vbd",),
        meaning="A disc cannot be put into a drive that holds one.",
        cause="Somebody inserted another disc, where lmflow wanted to put back what it had ejected.",
        vm_state=AROUND,
        remedy="Leave the new disc if it is wanted; else eject it and repair the run.",
        command="lmflow repair RUN",
        source=_DRIVE,
    ),
    Entry(
        code="VBD_NOT_REMOVABLE_MEDIA",
        family=Family.PREPARING,
        title="The device is a disk, not a drive",
        params=("vbd",),
        meaning="Only what is in a drive can be ejected or inserted.",
        cause="The device was exchanged after lmflow had looked at it.",
        vm_state=AROUND,
        remedy="Ask again.",
        command="xe vbd-list vm-uuid=VM_UUID params=uuid,device,type",
        source=_DRIVE,
    ),
    Entry(
        code="VBD_TRAY_LOCKED",
        family=Family.PREPARING,
        title="The guest keeps the drive locked",
        params=("vbd",),
        meaning="The guest has locked the tray, and the disc cannot be ejected.",
        cause="The disc is mounted in the guest.",
        vm_state=AROUND,
        remedy="Unmount the disc in the guest, then ask again.",
        command="xe vbd-list vm-uuid=VM_UUID type=CD params=uuid,empty,vdi-name-label",
        source=_DRIVE,
    ),
    Entry(
        code="VDI_IS_NOT_ISO",
        family=Family.PREPARING,
        title="This is no disc for a drive",
        params=(
            "vdi",
            "type",
        ),
        meaning="Only an image of a library of ISOs, or a host's own drive, can be inserted.",
        cause="The image was moved to other storage while it was out of the drive.",
        vm_state=AROUND,
        remedy="Insert what is wanted by hand.",
        command="xe cd-list params=uuid,name-label,sr-name-label",
        source=_DRIVE,
    ),
    Entry(
        code="XENAPI_MISSING_PLUGIN",
        family=Family.PREPARING,
        title="The host lacks a plugin",
        params=("name",),
        meaning="A file of that name is not among the plugins of that host's dom0.",
        cause=(
            "lmflow's plugin for kernels and ramdisks was not installed on this host, or a reinstallation or an "
            "upgrade of the host removed it."
        ),
        vm_state=AROUND,
        remedy="Install the plugin on each host of the pool, then ask again.",
        command="lmflow check VM",
        source=f"{_FILES}; tried on a running xapi",
    ),
    Entry(
        code="XENAPI_PLUGIN_FAILURE",
        family=Family.PREPARING,
        title="A plugin of the host failed",
        params=(
            "status",
            "stdout",
            "stderr",
        ),
        meaning="The plugin began and ended with an error, which its texts name.",
        cause=(
            "A file is missing, dom0's disk is full, or a path is not one that the plugin touches; or the plugin "
            "there is of another version and lacks the function that was asked for."
        ),
        vm_state=AROUND,
        remedy="Read the texts; the host's own log has the rest.",
        command="lmflow run show RUN",
        source=f"{_FILES}; tried on a running xapi",
    ),
    Entry(
        code="MAP_DUPLICATE_KEY",
        family=Family.PREPARING,
        title="The key is there already",
        params=(
            "type",
            "param_name",
            "uuid",
            "key",
        ),
        meaning="A key was to be added to a map that has it.",
        cause="Two programs wrote the same mark, or a mark of an earlier one was left. Of several at once, one wins.",
        vm_state=AROUND,
        remedy="Look who left it; remove it if nobody needs it any more.",
        command="xe vm-param-get uuid=VM_UUID param-name=other-config",
        source="db_actions.ml of xapi; tried on a running xapi",
    ),
)
