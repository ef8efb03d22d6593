"""XAPI refuses because of the destination or the source: the host, its storage, its networks, its devices."""

from __future__ import annotations

from typing import Final

from lmflow.catalogue.entry import NOTHING_BEGAN, Entry, Family

ENTRIES: Final = (
    Entry(
        code="HOST_NOT_LIVE",
        family=Family.REFUSED,
        title="The destination does not answer its heartbeat",
        meaning="The pool holds that the destination is not live.",
        cause=("The host is down, cut off or booting. XAPI notices a dead host late: ten minutes by default."),
        vm_state=NOTHING_BEGAN,
        remedy="Choose another host, or bring this one back.",
        command="xe host-list params=name-label,enabled,host-metrics-live",
        source="vm_helpers.ml of xapi (assert_can_boot_here); tried on a running xapi",
    ),
    Entry(
        code="HOST_OFFLINE",
        family=Family.REFUSED,
        title="The host that runs the VM cannot be reached",
        params=("host",),
        meaning="The source is not live, so nobody can send the VM away from it.",
        cause=(
            "The host is down or cut off; XAPI goes on showing its VMs as Running on it until the host is "
            "declared dead."
        ),
        vm_state=("Nothing of the migration began. Whether the VM still runs on that host is not said by this code."),
        remedy="Find out what became of the host first: a VM on a dead host cannot be migrated.",
        command="xe host-list params=name-label,enabled,host-metrics-live",
        source="message_forwarding.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="HOST_DISABLED",
        family=Family.REFUSED,
        title="The destination takes no VMs",
        params=("host",),
        meaning="The destination is disabled (maintenance mode). A disabled source is no obstacle.",
        cause=(
            "Somebody disabled it for maintenance, or its toolstack has just restarted: a host is disabled for "
            "some seconds then."
        ),
        vm_state=NOTHING_BEGAN,
        remedy="Enable the host if its maintenance is over, or choose another one.",
        command="xe host-enable uuid=HOST_UUID",
        source="vm_helpers.ml of xapi (assert_can_boot_here); tried on a running xapi",
    ),
    Entry(
        code="HOST_NOT_ENOUGH_FREE_MEMORY",
        family=Family.REFUSED,
        title="The destination has not enough free memory",
        params=(
            "needed",
            "available",
        ),
        meaning="The VM needs more memory than the destination has free, in bytes: needed, available.",
        cause="Other VMs fill the host, or are on their way to it: XAPI counts both.",
        vm_state=NOTHING_BEGAN,
        remedy="Free memory there, or choose another host.",
        command="xe host-list params=name-label,memory-free",
        source="vm_helpers.ml of xapi (assert_can_boot_here); tried on a running xapi",
    ),
    Entry(
        code="HOST_NOT_ENOUGH_PCPUS",
        family=Family.REFUSED,
        title="The destination has fewer CPUs than the VM",
        params=(
            "vcpus",
            "pcpus",
        ),
        meaning="The VM has more virtual CPUs than the destination has physical ones.",
        cause="A VM of a large host is sent to a small one.",
        vm_state=NOTHING_BEGAN,
        remedy="Choose a larger host, or give the VM fewer CPUs while it is shut down.",
        command="xe vm-param-get uuid=VM_UUID param-name=VCPUs-number",
        source="vm_helpers.ml of xapi (assert_can_boot_here)",
    ),
    Entry(
        code="VM_REQUIRES_SR",
        family=Family.REFUSED,
        title="The destination cannot reach storage of the VM",
        params=(
            "vm",
            "sr",
        ),
        meaning=(
            "A disk, or an inserted disc, is on a storage repository that the destination has no plugged PBD for."
        ),
        cause=(
            "The disk is on local storage, an ISO of a local library is in the drive, or the PBD of shared "
            "storage is unplugged on that host. lmflow plugs the PBD of shared storage itself."
        ),
        vm_state=NOTHING_BEGAN,
        remedy="Move the disk to shared storage, eject the disc, or choose another host.",
        command="xe pbd-list sr-uuid=SR_UUID params=host-uuid,currently-attached",
        source="vm_helpers.ml of xapi (assert_can_boot_here); tried on a running xapi",
    ),
    Entry(
        code="VM_REQUIRES_NETWORK",
        family=Family.REFUSED,
        title="The destination lacks a network of the VM",
        params=(
            "vm",
            "network",
        ),
        meaning="An interface is on a network that the destination has no PIF for.",
        cause="The network was not set up on that host, or it is internal to the source.",
        vm_state=NOTHING_BEGAN,
        remedy="Connect that network to the host, or choose another host.",
        command="xe vif-list vm-uuid=VM_UUID params=device,network-name-label",
        source="vm_helpers.ml of xapi (assert_can_boot_here); tried on a running xapi",
    ),
    Entry(
        code="HOST_CANNOT_ATTACH_NETWORK",
        family=Family.REFUSED,
        title="The destination cannot bring up a network of the VM",
        params=(
            "host",
            "network",
        ),
        meaning="The destination has the network and cannot attach it now.",
        cause="With bonds: attaching it would take down other networks that are in use.",
        vm_state=NOTHING_BEGAN,
        remedy="Free the interface on that host, or choose another host.",
        command=("xe pif-list host-uuid=HOST_UUID params=uuid,device,network-name-label,currently-attached"),
        source="vm_helpers.ml of xapi (assert_can_boot_here); the cause is XAPI's own text",
    ),
    Entry(
        code="VM_HOST_INCOMPATIBLE_VERSION",
        family=Family.REFUSED,
        title="The destination has an older version than the source",
        params=(
            "host",
            "vm",
        ),
        meaning="The destination's platform is older than the one the VM runs on.",
        cause=(
            "The hosts of the pool have different versions. XAPI refuses this in a rolling upgrade; outside one "
            "it would let it pass, and lmflow refuses it."
        ),
        vm_state="Nothing was sent: it is said before the submit, and the VM runs where it ran.",
        remedy="Migrate to a host of the same or a newer version.",
        command="xe host-list params=name-label,software-version",
        source="vm_helpers.ml of xapi (assert_can_boot_here); lmflow/checks/host.py",
    ),
    Entry(
        code="VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION",
        family=Family.REFUSED,
        title="The destination cannot provide the VM's virtual hardware",
        params=(
            "host",
            "host_versions",
            "vm",
            "vm_version",
        ),
        meaning=("The VM needs a version of the virtual hardware platform that the destination does not have."),
        cause="The VM was made on, or brought to, a newer platform than the destination's.",
        vm_state=NOTHING_BEGAN,
        remedy="Choose a host that lists the version among its own.",
        command="xe host-list params=name-label,virtual-hardware-platform-versions",
        source="vm_helpers.ml of xapi (assert_can_boot_here)",
    ),
    Entry(
        code="VM_REQUIRES_IOMMU",
        family=Family.REFUSED,
        title="The destination has no IOMMU in use",
        params=("host",),
        meaning="The VM needs I/O virtualisation (IOMMU, VT-d), which is not enabled on the destination.",
        cause="It is switched off in the firmware of that host, or the host has none.",
        vm_state=NOTHING_BEGAN,
        remedy="Enable it in the host's firmware, or choose another host.",
        command="xe host-param-get uuid=HOST_UUID param-name=chipset-info",
        source="vm_helpers.ml of xapi (assert_can_boot_here)",
    ),
    Entry(
        code="VM_REQUIRES_GPU",
        family=Family.REFUSED,
        title="The destination has no graphics card of the VM's group",
        params=(
            "vm",
            "GPU_group",
        ),
        meaning="The VM has a virtual GPU of a GPU group, and the destination has no card of that group.",
        cause="The group's cards are in other hosts.",
        vm_state=NOTHING_BEGAN,
        remedy="Choose a host with a card of that group.",
        command="xe pgpu-list params=host-name-label,gpu-group-uuid",
        source="vm_helpers.ml of xapi (assert_can_boot_here)",
    ),
    Entry(
        code="VM_REQUIRES_VGPU",
        family=Family.REFUSED,
        title="No graphics card of the destination has room",
        params=(
            "vm",
            "GPU_group",
            "vGPU_type",
        ),
        meaning="The virtual GPU cannot be placed on any card of its group on the destination.",
        cause="The cards are full, or do not support this type.",
        vm_state=NOTHING_BEGAN,
        remedy="Choose a host with room on a card of that group.",
        command="xe pgpu-list params=host-name-label,gpu-group-uuid",
        source="vm_helpers.ml of xapi (assert_can_boot_here)",
    ),
    Entry(
        code="VM_REQUIRES_VUSB",
        family=Family.REFUSED,
        title="The destination lacks a USB device of the VM",
        params=(
            "vm",
            "USB_group",
        ),
        meaning="The VM's USB device cannot be provided by the destination.",
        cause="The device is plugged into another host.",
        vm_state=NOTHING_BEGAN,
        remedy="Detach the device from the VM, or choose the host that has it.",
        command="xe pusb-list",
        source="vm_helpers.ml of xapi (assert_can_boot_here)",
    ),
    Entry(
        code="VM_HVM_REQUIRED",
        family=Family.REFUSED,
        title="The destination cannot run hardware-virtualised guests",
        params=("vm",),
        meaning="The VM needs hardware virtualisation (HVM), which the destination does not offer.",
        cause="Virtualisation is switched off in the firmware of that host.",
        vm_state=NOTHING_BEGAN,
        remedy="Enable it in the host's firmware, or choose another host.",
        command="xe host-param-get uuid=HOST_UUID param-name=capabilities",
        source="vm_helpers.ml of xapi (assert_can_boot_here)",
    ),
    Entry(
        code="HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN",
        family=Family.REFUSED,
        title="The move would break the plan of high availability",
        meaning="After the move the pool could no longer promise to restart all protected VMs.",
        cause="High availability is on, and the destination's memory is part of its plan.",
        vm_state=NOTHING_BEGAN,
        remedy="Choose another host, free memory, or lower the number of host failures to tolerate.",
        command="xe pool-ha-compute-max-host-failures-to-tolerate",
        source="message_forwarding.ml of xapi",
    ),
    Entry(
        code="LICENCE_RESTRICTION",
        family=Family.REFUSED,
        title="The licence does not include it",
        params=("feature",),
        meaning="The pool's licence lacks the feature that is named.",
        cause="The source's licence does not allow live migration (Live_migration), or has run out.",
        vm_state=NOTHING_BEGAN,
        remedy="Renew or change the licence.",
        command="xe host-param-get uuid=HOST_UUID param-name=license-params",
        source="message_forwarding.ml of xapi",
    ),
    Entry(
        code="PIF_NOT_PRESENT",
        family=Family.REFUSED,
        title="No interface on the network chosen for the transfer",
        params=(
            "host",
            "network",
        ),
        meaning="A host has no PIF on the network over which the migration was to go.",
        cause=(
            "A network was chosen for transfers that not every host has. lmflow chooses none; then the management"
            " network is used."
        ),
        vm_state=NOTHING_BEGAN,
        remedy="Connect that network to the host.",
        command="xe pif-list host-uuid=HOST_UUID params=uuid,device,network-name-label",
        source="message_forwarding.ml of xapi",
    ),
    Entry(
        code="REQUIRED_PIF_IS_UNPLUGGED",
        family=Family.REFUSED,
        title="The interface chosen for the transfer is unplugged",
        params=("PIF",),
        meaning="The PIF over which the migration was to go is not attached.",
        cause="Somebody unplugged it, or it did not come up at boot.",
        vm_state=NOTHING_BEGAN,
        remedy="Plug the interface.",
        command="xe pif-plug uuid=PIF_UUID",
        source="message_forwarding.ml of xapi",
    ),
    Entry(
        code="INTERFACE_HAS_NO_IP",
        family=Family.REFUSED,
        title="The interface chosen for the transfer has no address",
        params=("interface",),
        meaning="The interface over which the migration was to go has no IP address.",
        cause="It was never given one, or DHCP did not answer.",
        vm_state=NOTHING_BEGAN,
        remedy="Give the interface an address.",
        command="xe pif-list params=uuid,device,IP,IP-configuration-mode",
        source="message_forwarding.ml of xapi",
    ),
    Entry(
        code="NO_HOSTS_AVAILABLE",
        family=Family.REFUSED,
        title="There is no host to move to",
        meaning="The pool has no host that could take the VM.",
        cause=(
            "lmflow: the pool has one host only. XAPI itself gives it when a VM is started and no host can take "
            "it; pool_migrate is not known to."
        ),
        vm_state="Nothing was sent: it is said before the submit, and the VM runs where it ran.",
        remedy="Add a host to the pool, or enable one.",
        command="xe host-list params=name-label,enabled,host-metrics-live",
        source="lmflow/runner/checking.py; VM.start without a host was tried on a running xapi",
    ),
    Entry(
        code="TOO_MANY_PENDING_TASKS",
        family=Family.REFUSED,
        title="Too many operations wait for the VM",
        meaning="More than a hundred calls wait for the same object, and XAPI takes no more.",
        cause=(
            "Another program repeats an operation on a VM that is busy: XAPI lets such calls wait instead of "
            "refusing them."
        ),
        vm_state=NOTHING_BEGAN,
        remedy="Find the program that repeats its calls, stop it, and try again.",
        command="xe task-list",
        source="message_forwarding.ml of xapi",
    ),
)
