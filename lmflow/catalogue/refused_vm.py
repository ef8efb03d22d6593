"""XAPI refuses because of the VM itself: what it is, what it has, what it is doing."""

from __future__ import annotations

from typing import Final

from lmflow.catalogue.entry import NOTHING_BEGAN, Entry, Family

ENTRIES: Final = (
    Entry(
        code="OPERATION_BLOCKED",
        family=Family.REFUSED,
        title="Somebody has blocked this VM's migration",
        params=(
            "ref",
            "code",
        ),
        meaning="The VM's blocked_operations name pool_migrate, with a reason.",
        cause="A person or a tool set the block; the reason is the one they left.",
        vm_state=NOTHING_BEGAN,
        remedy="Ask whoever left the reason; remove the block if it no longer holds.",
        command="xe vm-param-remove uuid=VM_UUID param-name=blocked-operations param-key=pool_migrate",
        source="xapi_vm_lifecycle.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="VM_BAD_POWER_STATE",
        family=Family.REFUSED,
        title="The VM is not in the power state that is needed",
        params=(
            "vm",
            "expected",
            "actual",
        ),
        meaning="A live migration needs a running VM, and XAPI has this one in another state.",
        cause=(
            "The VM is halted, suspended or paused; a template or a snapshot gets this code too. Words with a "
            "capital (Halted, Running) come from xenopsd, which then knows the VM in another state than XAPI's "
            "database shows."
        ),
        vm_state=(
            "In lower case (running, halted): nothing began. With a capital the code alone proves nothing: "
            "something may have begun."
        ),
        remedy=(
            "Look at the VM. One that is shut down needs no live migration: start it where it is wanted, but "
            "never one that XAPI calls halted after an interrupted migration."
        ),
        command="xe vm-list uuid=VM_UUID params=name-label,power-state,resident-on",
        source="xapi_vm_lifecycle.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="OTHER_OPERATION_IN_PROGRESS",
        family=Family.REFUSED,
        title="Something else is being done to the VM or the destination",
        params=(
            "class",
            "object",
            "operation_type",
            "operation_ref",
        ),
        meaning="Another operation is under way on the object that is named.",
        cause=(
            "The destination is being emptied, rebooted or shut down: XAPI refuses that at once. For another "
            "operation on the VM XAPI gives no error, it waits up to two hours; lmflow waits as long as its "
            "option operation allows and then gives this code itself."
        ),
        vm_state=NOTHING_BEGAN,
        remedy="Try again when the other operation is done, or choose another host.",
        command="xe task-list",
        source=(
            "xapi_vm_lifecycle.ml of xapi, message_forwarding.ml of xapi; that operations on a VM wait was tried "
            "on a running xapi"
        ),
    ),
    Entry(
        code="VM_IS_TEMPLATE",
        family=Family.REFUSED,
        title="It is a template",
        params=("vm",),
        meaning="A template never runs, so it cannot be migrated.",
        cause=(
            "The name or UUID of a template was given. XAPI itself answers VM_BAD_POWER_STATE, because it looks "
            "at the power state first."
        ),
        vm_state=NOTHING_BEGAN,
        remedy="Name a VM.",
        command="xe vm-list is-control-domain=false params=uuid,name-label",
        source="xapi_vm_lifecycle.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="VM_IS_SNAPSHOT",
        family=Family.REFUSED,
        title="It is a snapshot",
        meaning="A snapshot never runs, so it cannot be migrated.",
        cause=(
            "The name or UUID of a snapshot was given. XAPI itself answers VM_BAD_POWER_STATE, because it looks "
            "at the power state first."
        ),
        vm_state=NOTHING_BEGAN,
        remedy="Name the VM that the snapshot was taken of.",
        command="xe snapshot-list uuid=VM_UUID params=name-label,snapshot-of",
        source=("xapi_vm_lifecycle.ml of xapi; tried on a running xapi; its parameters are not documented"),
    ),
    Entry(
        code="VM_IS_IMMOBILE",
        family=Family.REFUSED,
        title="The running VM is built so that it cannot move",
        params=("VM",),
        meaning="The domain was built as one that does not migrate.",
        cause="It was started with nomigrate, or with nested virtualisation.",
        vm_state=NOTHING_BEGAN,
        remedy="Change the setting and restart the VM; --force skips the check, not its reason.",
        command="xe vm-param-list uuid=VM_UUID",
        source="xapi_vm_lifecycle.ml of xapi; nomigrate was tried on a running xapi",
    ),
    Entry(
        code="OPERATION_NOT_ALLOWED",
        family=Family.REFUSED,
        title="XAPI does not allow the operation on this VM",
        params=("reason",),
        meaning="The VM may not be migrated, for the reason that comes along.",
        cause=(
            "It is a control domain. lmflow gives the same code when allowed_operations lacks pool_migrate and no"
            " other rule says why."
        ),
        vm_state=NOTHING_BEGAN,
        remedy="Read what XAPI allows now, and try again when pool_migrate is among it.",
        command="xe vm-param-get uuid=VM_UUID param-name=allowed-operations",
        source="xapi_vm_lifecycle.ml of xapi; tried on a running xapi; lmflow/checks/vm.py",
    ),
    Entry(
        code="VM_NON_SUSPENDABLE",
        family=Family.REFUSED,
        title="The VM cannot be suspended",
        params=(
            "vm",
            "reason",
        ),
        meaning=("The last step of a migration suspends the guest, and XAPI holds that this one cannot be."),
        cause="The reason is in the second parameter; which reasons there are is not documented.",
        vm_state=NOTHING_BEGAN,
        remedy="Remove what the reason names, or move the VM while it is shut down.",
        command="xe vm-param-list uuid=VM_UUID",
        source="xapi_vm_lifecycle.ml of xapi",
    ),
    Entry(
        code="VM_LACKS_FEATURE",
        family=Family.REFUSED,
        title="The guest shows no drivers that can suspend it",
        params=("vm",),
        meaning="The last step of a migration suspends the guest, which its drivers have to do.",
        cause="The guest tools are not installed or not running.",
        vm_state=NOTHING_BEGAN,
        remedy="Install or start the guest tools, then ask again; --force skips the check, not its reason.",
        command="xe vm-param-get uuid=VM_UUID param-name=PV-drivers-version",
        source="xapi_vm_lifecycle.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION",
        family=Family.REFUSED,
        title="A disk is reset at each boot",
        meaning="The VM has a disk whose on-boot mode is reset, and such a VM is not migrated.",
        cause="The disk was set to forget its changes at each boot.",
        vm_state=NOTHING_BEGAN,
        remedy=("Set the disk to persist if its changes may be kept, or restart the VM on the other host."),
        command="xe vbd-list vm-uuid=VM_UUID params=device,vdi-uuid",
        source="xapi_vm_lifecycle.ml of xapi",
    ),
    Entry(
        code="VM_HAS_PCI_ATTACHED",
        family=Family.REFUSED,
        title="A PCI device of the host is passed through",
        params=("vm",),
        meaning="The VM holds hardware of its host, which cannot travel.",
        cause="A PCI device is passed through to the VM.",
        vm_state=NOTHING_BEGAN,
        remedy="Shut the VM down, detach the device, and start it on the other host.",
        command="xe vm-param-list uuid=VM_UUID",
        source="xapi_vm_lifecycle.ml of xapi",
    ),
    Entry(
        code="VM_HAS_VGPU",
        family=Family.REFUSED,
        title="The VM has a virtual GPU",
        params=("vm",),
        meaning="The VM holds a part of its host's graphics card, and XAPI does not migrate it so.",
        cause="One or more virtual GPUs are attached.",
        vm_state=NOTHING_BEGAN,
        remedy="Move it while it is shut down.",
        command="xe vgpu-list vm-uuid=VM_UUID",
        source="xapi_vm_lifecycle.ml of xapi",
    ),
    Entry(
        code="VM_HAS_VUSBS",
        family=Family.REFUSED,
        title="The VM has a USB device of its host",
        params=("VM",),
        meaning="The VM holds a USB device of its host, which cannot travel.",
        cause="One or more virtual USB devices are attached.",
        vm_state=NOTHING_BEGAN,
        remedy="Unplug the device from the VM, then ask again.",
        command="xe vusb-list",
        source="xapi_vm_lifecycle.ml of xapi",
    ),
    Entry(
        code="NOT_SUPPORTED_DURING_UPGRADE",
        family=Family.REFUSED,
        title="Not while the pool is being upgraded",
        meaning="A rolling upgrade is in progress, and the destination has the older version.",
        cause=(
            "The pool's other_config says rolling_upgrade_in_progress, and the VM would go back to a host that is"
            " not upgraded yet."
        ),
        vm_state=NOTHING_BEGAN,
        remedy=("Migrate towards upgraded hosts only; end the upgrade if it is over and the mark was left."),
        command="xe pool-list params=uuid,other-config",
        source="message_forwarding.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="VM_INCOMPATIBLE_WITH_THIS_HOST",
        family=Family.REFUSED,
        title="The destination's CPU lacks what the VM was booted with",
        params=(
            "vm",
            "host",
            "reason",
        ),
        meaning=(
            "A running guest keeps using the CPU features it booted with, and the destination has not all of them."
        ),
        cause=(
            "The hosts have CPUs of different generations or vendors, or the VM was booted before an older host "
            "joined and lowered the pool's common level."
        ),
        vm_state=NOTHING_BEGAN,
        remedy=(
            "Choose a host with the same or a newer CPU, or restart the VM: it then boots with what the whole pool has."
        ),
        command="xe host-list params=name-label,cpu_info",
        source="message_forwarding.ml of xapi; tried on a running xapi",
    ),
)
