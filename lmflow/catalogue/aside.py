"""What XAPI says around migrations and not of pool_migrate: evacuation, moves with storage, other programs' calls."""

from __future__ import annotations

from typing import Final

from lmflow.catalogue.entry import PROVES_NOTHING, Entry, Family

_NOT_OURS: Final = f"{PROVES_NOTHING} pool_migrate is not known to give it: it concerns another call."

ENTRIES: Final = (
    Entry(
        code="VM_HOST_INCOMPATIBLE_VERSION_MIGRATE",
        family=Family.ASIDE,
        title="migrate_send refuses an older destination",
        params=(
            "host",
            "vm",
        ),
        meaning="The destination is older than the source, and VM.migrate_send does not go that way.",
        cause="A migration with storage, or between pools, to an older host. pool_migrate has no such check.",
        vm_state=_NOT_OURS,
        remedy="Migrate to a host of the same or a newer version; lmflow refuses an older one by a rule of its own.",
        command="lmflow explain VM_HOST_INCOMPATIBLE_VERSION",
        source="xapi_vm_migrate.ml of xapi; looked for on a running xapi, where pool_migrate did not give it",
    ),
    Entry(
        code="VDI_NOT_IN_MAP",
        family=Family.ASIDE,
        title="A disk has no place in a migration with storage",
        params=("vdi",),
        meaning="VM.migrate_send, or its check, was given no destination for this disk.",
        cause=(
            "VM.assert_can_migrate wants every disk mapped, shared ones too: it says this where pool_migrate would "
            "succeed. lmflow does not ask it."
        ),
        vm_state=_NOT_OURS,
        remedy="Do not use that call as a check for a move inside the pool.",
        command="lmflow check VM --to HOST",
        source="xapi_vm_migrate.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="SR_DOES_NOT_SUPPORT_MIGRATION",
        family=Family.ASIDE,
        title="This storage cannot be left, or entered, by a running disk",
        params=(
            "sr",
            "capabilities",
        ),
        meaning="The storage's driver cannot mirror a disk.",
        cause="A migration with storage, which lmflow does not do.",
        vm_state=_NOT_OURS,
        remedy="Move the disk while the VM is shut down.",
        command="xe sr-list uuid=SR_UUID params=name-label,type",
        source="xapi_vm_migrate.ml of xapi",
    ),
    Entry(
        code="VDI_CBT_ENABLED",
        family=Family.ASIDE,
        title="Changes of a disk are being tracked",
        params=("vdi",),
        meaning="A disk with changed block tracking is not migrated with its storage.",
        cause="A backup product switched the tracking on. pool_migrate, which leaves the storage, does not mind.",
        vm_state=_NOT_OURS,
        remedy="For a move with storage, switch the tracking off; for pool_migrate nothing is to be done.",
        command="xe vdi-list uuid=VDI_UUID params=cbt-enabled",
        source="xapi_vm_migrate.ml of xapi",
    ),
    Entry(
        code="TOO_MANY_STORAGE_MIGRATES",
        family=Family.ASIDE,
        title="Too many migrations with storage at once",
        params=("number",),
        meaning="A host takes part in three migrations with storage at most.",
        cause="Other programs move disks. pool_migrate has no such limit.",
        vm_state=_NOT_OURS,
        remedy="Wait for the others.",
        command="xe task-list",
        source="xapi_vm_migrate.ml of xapi",
    ),
    Entry(
        code="CANNOT_EVACUATE_HOST",
        family=Family.ASIDE,
        title="A host cannot be evacuated",
        params=("errors",),
        meaning="At least one VM cannot leave the host; the parameter lists each one's own code.",
        cause="host.evacuate, or its check, which another program called.",
        vm_state=f"{_NOT_OURS} The check alone moves nothing.",
        remedy="Check the VMs of that host one by one.",
        command="lmflow check VM",
        source="xapi_host.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="HOST_EVACUATE_VM_NOT_HA_PROTECTED",
        family=Family.ASIDE,
        title="An evacuation meets a VM that high availability does not protect",
        params=("vm",),
        meaning="With high availability on, a VM without the priority restart prevents the evacuation of its host.",
        cause="host.evacuate, or its check, which another program called. pool_migrate moves such a VM.",
        vm_state=_NOT_OURS,
        remedy="Move that VM by itself.",
        command="lmflow migrate VM",
        source="xapi_host.ml of xapi",
    ),
    Entry(
        code="HOST_NOT_DISABLED",
        family=Family.ASIDE,
        title="The host would have to be disabled first",
        meaning="A host is rebooted or shut down only when it takes no VMs any more.",
        cause="Somebody asked for a reboot of an enabled host. lmflow never does.",
        vm_state=_NOT_OURS,
        remedy="Disable the host first, if it is to be rebooted.",
        command="xe host-disable uuid=HOST_UUID",
        source="xapi_host_helpers.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="VM_IS_PROTECTED",
        family=Family.ASIDE,
        title="High availability protects the VM",
        params=("vm",),
        meaning="The operation is not done to a VM that high availability is to keep running.",
        cause=(
            "A shutdown or suspend of a protected VM. People also leave the word as the reason of a block: then "
            "the code is OPERATION_BLOCKED, and this is its second parameter."
        ),
        vm_state=_NOT_OURS,
        remedy="As the reason of a block: ask who left it.",
        command="xe vm-param-get uuid=VM_UUID param-name=blocked-operations",
        source="xapi's documentation of errors; the block was tried on a running xapi",
    ),
    Entry(
        code="VM_NO_SUSPEND_SR",
        family=Family.ASIDE,
        title="There is no storage to suspend the VM to",
        params=("vm",),
        meaning="Suspending writes the guest's memory to storage, and none is set for that.",
        cause="VM.suspend, which lmflow never calls. A live migration needs no such storage.",
        vm_state=_NOT_OURS,
        remedy="For a suspend, set the pool's storage for suspended images.",
        command="xe pool-list params=uuid,suspend-image-SR",
        source="xapi's documentation of errors; tried on a running xapi",
    ),
    Entry(
        code="WLB_NOT_INITIALIZED",
        family=Family.ASIDE,
        title="The pool has no workload balancing",
        meaning="Recommendations were asked for, and no appliance for workload balancing is connected.",
        cause="Another program asked for recommendations. lmflow ranks hosts itself.",
        vm_state=_NOT_OURS,
        remedy="Nothing, unless that appliance is wanted.",
        command="lmflow check VM",
        source="xapi's documentation of errors; tried on a running xapi",
    ),
)
