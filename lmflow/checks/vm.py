"""Rules on the VM itself: what it is, what it allows, what it is doing. None of them looks at the destination."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.rule import Rule
from lmflow.models import Finding, Snapshot


def check_blocked(snapshot: Snapshot) -> Iterator[Finding]:
    """Has nobody blocked its migration? Otherwise with the reason they left."""
    reason = snapshot.vm.blocked_operations.get("pool_migrate")
    if reason is not None:
        yield BLOCKED.object_to(
            f"its migration is blocked: {reason}",
            remedy=f"xe vm-param-remove uuid={snapshot.vm.uuid} param-name=blocked-operations param-key=pool_migrate",
        )


def check_power_state(snapshot: Snapshot) -> Iterator[Finding]:
    """Is it running? lmflow never starts one."""
    vm = snapshot.vm
    if vm.power_state != "Running" and not (vm.is_a_template or vm.is_a_snapshot):
        yield POWER_STATE.object_to(
            f"{vm.name_label} is {vm.power_state}; only a running VM can be migrated live",
        )


def check_kind(snapshot: Snapshot) -> Iterator[Finding]:
    """Is it a VM that can move, and no template, snapshot or control domain?"""
    vm = snapshot.vm
    for is_so, code, what in (
        (vm.is_a_snapshot, "VM_IS_SNAPSHOT", "a snapshot"),
        (vm.is_a_template and not vm.is_a_snapshot, "VM_IS_TEMPLATE", "a template"),
        (vm.is_control_domain, "OPERATION_NOT_ALLOWED", "a control domain"),
    ):
        if is_so:
            yield KIND.object_to(f"{vm.name_label} is {what}", code=code)


def check_immobile(snapshot: Snapshot) -> Iterator[Finding]:
    """Was its domain built so that it can move? With "nomigrate", or when it runs VMs itself, it was not."""
    if snapshot.vm.is_immobile:
        yield IMMOBILE.object_to(
            f'{snapshot.vm.name_label} was started as immobile: with "nomigrate", or with nested virtualisation'
        )


def check_suspend(snapshot: Snapshot) -> Iterator[Finding]:
    """Can its guest be suspended? The last step of a migration does that."""
    vm = snapshot.vm
    if vm.power_state == "Running" and vm.can_suspend is False:
        yield SUSPEND.object_to(f"the guest of {vm.name_label} shows no drivers that can suspend it")


def check_on_boot(snapshot: Snapshot) -> Iterator[Finding]:
    """Is none of its disks reset at each boot and cached on its host?

    A disk that is reset and not cached is no obstacle.
    Source: xapi_vm_lifecycle.ml of xapi, which reads both from sm_config.
    """
    for vdi in (vbd.vdi for vbd in snapshot.vm.vbds if vbd.vdi is not None):
        if vdi.sm_config.get("on_boot") == "reset" and vdi.sm_config.get("caching", "").lower() == "true":
            what = f'disk "{vdi.name_label}" ({vdi.uuid})'
            yield ON_BOOT.object_to(f"{what} is reset at each boot and cached on its host")


def check_pci(snapshot: Snapshot) -> Iterator[Finding]:
    """Is no PCI device of its host attached to it?"""
    if snapshot.vm.has_pci:
        yield PCI.object_to(f"{snapshot.vm.name_label} holds a PCI device of its host")


def check_vgpu(snapshot: Snapshot) -> Iterator[Finding]:
    """Has it no virtual GPU of a kind that cannot move?"""
    if snapshot.vm.has_vgpu:
        yield VGPU.object_to(f"{snapshot.vm.name_label} has a virtual GPU that cannot move")


def check_vusb(snapshot: Snapshot) -> Iterator[Finding]:
    """Is no USB device of its host passed to it?"""
    if snapshot.vm.has_vusb:
        yield VUSB.object_to(f"{snapshot.vm.name_label} holds a USB device of its host")


def check_allowed(snapshot: Snapshot) -> Iterator[Finding]:
    """Does XAPI list the operation, where no other rule nor another operation says why not?"""
    vm = snapshot.vm
    if "pool_migrate" in vm.allowed_operations or vm.current_operations:
        return
    yield ALLOWED.object_to(
        f"XAPI does not allow pool_migrate on {vm.name_label} now",
        remedy=f"xe vm-param-get uuid={vm.uuid} param-name=allowed-operations, then try again",
    )


def check_self(snapshot: Snapshot) -> Iterator[Finding]:
    """Does lmflow run somewhere else? It would stop watching in the middle of the move."""
    if snapshot.terms.own_vm_uuid and snapshot.terms.own_vm_uuid == snapshot.vm.uuid:
        yield ITSELF.object_to(f"lmflow runs in {snapshot.vm.name_label} itself, and would stop watching in the middle")


def check_reserved(snapshot: Snapshot) -> Iterator[Finding]:
    """Is it scheduled to be on no host, while no operation is under way?"""
    vm = snapshot.vm
    if vm.scheduled_to_be_resident_on_uuid and not vm.current_operations:
        host = snapshot.host(vm.scheduled_to_be_resident_on_uuid)
        name = host.name_label if host else vm.scheduled_to_be_resident_on_uuid
        yield RESERVED.object_to(f"{vm.name_label} is still scheduled to be on {name}, but nothing brings it there")


BLOCKED = Rule(
    name="vm.blocked",
    group="vm",
    order=200,
    codes=("OPERATION_BLOCKED",),
    needs=("vm",),
    remedy="remove pool_migrate from the VM's blocked-operations",
    elsewhere=False,
    check=check_blocked,
)
POWER_STATE = Rule(
    name="vm.power_state",
    group="vm",
    order=210,
    codes=("VM_BAD_POWER_STATE",),
    needs=("vm",),
    remedy="it needs no live migration; before it is started, see in lmflow check VM that no host runs it",
    elsewhere=False,
    check=check_power_state,
)
KIND = Rule(
    name="vm.kind",
    group="vm",
    order=230,
    codes=("VM_IS_SNAPSHOT", "VM_IS_TEMPLATE", "OPERATION_NOT_ALLOWED"),
    needs=("vm",),
    remedy="name another VM",
    elsewhere=False,
    check=check_kind,
)
IMMOBILE = Rule(
    name="vm.immobile",
    group="vm",
    order=240,
    codes=("VM_IS_IMMOBILE",),
    needs=("vm",),
    remedy="shut it down, remove platform:nomigrate or platform:nested-virt, and start it again",
    elsewhere=False,
    forced=True,
    check=check_immobile,
)
SUSPEND = Rule(
    name="vm.suspend",
    group="vm",
    order=260,
    codes=("VM_LACKS_FEATURE",),
    needs=("vm",),
    remedy="install or start the guest tools",
    elsewhere=False,
    forced=True,
    check=check_suspend,
)
ON_BOOT = Rule(
    name="vm.on_boot",
    group="vm",
    order=270,
    codes=("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION",),
    needs=("vm",),
    remedy="switch the caching of that disk off, while the VM is shut down",
    elsewhere=False,
    check=check_on_boot,
)
PCI = Rule(
    name="vm.pci",
    group="vm",
    order=280,
    codes=("VM_HAS_PCI_ATTACHED",),
    needs=("vm",),
    remedy="shut it down and take the device away from it",
    elsewhere=False,
    check=check_pci,
)
VGPU = Rule(
    name="vm.vgpu",
    group="vm",
    order=290,
    codes=("VM_HAS_VGPU",),
    needs=("vm",),
    remedy="shut it down and take the virtual GPU away from it",
    elsewhere=False,
    check=check_vgpu,
)
VUSB = Rule(
    name="vm.vusb",
    group="vm",
    order=300,
    codes=("VM_HAS_VUSBS",),
    needs=("vm",),
    remedy="take the USB device away from it (xe vusb-destroy)",
    elsewhere=False,
    check=check_vusb,
)
ALLOWED = Rule(
    name="vm.allowed",
    group="vm",
    order=310,
    codes=("OPERATION_NOT_ALLOWED",),
    needs=("vm",),
    remedy="see what the VM's allowed-operations are, then try again",
    elsewhere=False,
    quiet_after=(
        "vm.blocked",
        "vm.power_state",
        "vm.kind",
        "vm.immobile",
        "vm.suspend",
        "vm.on_boot",
        "vm.pci",
        "vm.vgpu",
        "vm.vusb",
    ),
    check=check_allowed,
)
ITSELF = Rule(
    name="vm.itself",
    group="vm",
    order=620,
    codes=("VM_IS_LMFLOW_ITSELF",),
    needs=("vm", "terms"),
    remedy="run lmflow somewhere else for this move",
    elsewhere=False,
    check=check_self,
)
RESERVED = Rule(
    name="vm.reserved",
    group="vm",
    order=630,
    codes=("RESERVATION_LEFT",),
    needs=("vm", "hosts"),
    remedy="see what had sent it there; the memory that is kept for it there counts as taken",
    warning=True,
    check=check_reserved,
)
