"""Starting, stopping and resetting of VMs, as far as the repair of a wrong database needs them."""

from __future__ import annotations

from collections.abc import Callable

from lmflow.simulator import allowed, gate, messages, placement, resync
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation
from lmflow.simulator.toolstack import Toolstack
from lmflow.simulator.values import NULL
from lmflow.simulator.xenops import Xenops

BOOT_SECONDS = 1.0
SHUTDOWN_SECONDS = 1.0
_STOPPABLE = ("Paused", "Suspended", "Running")


def _check(ctx: Context, vm_ref: str, name: str, *states: str) -> Callable[[bool], None]:
    def check(after_waiting: bool) -> None:
        if not after_waiting:
            placement.check_blocked(ctx.store, vm_ref, name)
            placement.check_power_state(ctx.store, vm_ref, *states)
            placement.check_not_control_domain(ctx.store, vm_ref)

    return check


def _need_vm(ctx: Context, vm_ref: str) -> None:
    if not ctx.store.exists("VM", vm_ref):
        raise ApiFailure("HANDLE_INVALID", "VM", vm_ref)


def _boot(ctx: Context, vm_ref: str, host_ref: str, *, paused: bool) -> None:
    """Boot a domain, unless that host has one: then the database learns it, and VM_BAD_POWER_STATE says so."""
    xenops, store = ctx.pool.part(Xenops), ctx.store
    vm_uuid = store.value("VM", vm_ref, "uuid")
    present = xenops.find_running(host_ref, vm_uuid)
    if present is not None:
        with gate.writing(ctx):
            resync.write_running(store, vm_ref, host_ref, present)
        raise ApiFailure("VM_BAD_POWER_STATE", vm_ref, "Halted", present.power_state)
    gate.pause(ctx, BOOT_SECONDS)
    with gate.writing(ctx):
        xenops.boot(host_ref, vm_uuid, "Paused" if paused else "Running")
        domain = xenops.find_running(host_ref, vm_uuid)
        if domain is not None:
            resync.write_running(store, vm_ref, host_ref, domain)
        cpu = store.value("host", host_ref, "cpu_info")
        features = cpu.get("features_hvm") or cpu.get("features", "")
        store.update("VM", vm_ref, last_boot_CPU_flags={"vendor": cpu.get("vendor", ""), "features": features})
        _write_metrics(ctx, vm_ref, running=True)
        messages.announce_start(ctx, vm_ref, host_ref)


def _write_metrics(ctx: Context, vm_ref: str, *, running: bool) -> None:
    store = ctx.store
    vm = store.record("VM", vm_ref)
    if not store.exists("VM_metrics", vm["metrics"]):
        return
    changes = {"VCPUs_number": 0, "memory_actual": 0, "current_domain_type": "unspecified", "hvm": False}
    if running:
        changes = {
            "VCPUs_number": vm["VCPUs_at_startup"],
            "memory_actual": vm["memory_target"],
            "current_domain_type": vm["domain_type"],
            "hvm": vm["domain_type"] != "pv",
            "start_time": ctx.clock.stamp(),
        }
    store.update("VM_metrics", vm["metrics"], **changes)


def _start(ctx: Context, vm_ref: str, name: str, choose: Callable[[], str], *, paused: bool) -> str:
    _need_vm(ctx, vm_ref)
    check = _check(ctx, vm_ref, name, "Halted")
    with gate.vm_operation(ctx, vm_ref, name, check, {"scheduled_to_be_resident_on": NULL}):
        with gate.writing(ctx):
            host_ref = choose()
            placement.check_can_be_here(ctx.store, vm_ref, host_ref)
            ctx.store.update("VM", vm_ref, scheduled_to_be_resident_on=host_ref)
        if not ctx.pool.part(Toolstack).is_ready(host_ref):
            raise ApiFailure("CANNOT_CONTACT_HOST", host_ref)
        _boot(ctx, vm_ref, host_ref, paused=paused)
    return ""


@operation("VM.start_on", effect=True)
def start_on(ctx: Context, vm_ref: str, host_ref: str, start_paused: bool, _force: bool) -> str:
    """Start a halted VM on a host. Nothing but that host is looked at: it may run elsewhere already."""
    placement.check_handles(ctx.store, vm_ref, host_ref)
    return _start(ctx, vm_ref, "start_on", lambda: host_ref, paused=start_paused)


@operation("VM.start", effect=True)
def start(ctx: Context, vm_ref: str, start_paused: bool, _force: bool) -> str:
    """Start a halted VM on a host of XAPI's choice: NO_HOSTS_AVAILABLE when there is none."""

    def choose() -> str:
        hosts = placement.possible_hosts(ctx.store, vm_ref)
        if not hosts:
            raise ApiFailure("NO_HOSTS_AVAILABLE")
        return ctx.store.random.choice(hosts)

    return _start(ctx, vm_ref, "start", choose, paused=start_paused)


def _cancel_migration(ctx: Context, vm_ref: str) -> None:
    """Cancel what moves the VM, as a hard shutdown does before it waits for its turn."""
    for task_ref, name in ctx.store.value("VM", vm_ref, "current_operations").items():
        if name == "pool_migrate" and ctx.store.exists("task", task_ref):
            ctx.pool.tasks.cancel(task_ref)


def _stop(ctx: Context, vm_ref: str, name: str, states: tuple[str, ...], *, reboot: bool = False) -> str:
    _need_vm(ctx, vm_ref)
    with gate.vm_operation(ctx, vm_ref, name, _check(ctx, vm_ref, name, *states)):
        _stop_domain(ctx, vm_ref, reboot=reboot)
    return ""


def _stop_domain(ctx: Context, vm_ref: str, *, reboot: bool) -> None:
    xenops, store = ctx.pool.part(Xenops), ctx.store
    vm_uuid, host_ref = store.value("VM", vm_ref, "uuid"), store.value("VM", vm_ref, "resident_on")
    if host_ref != NULL:
        if not ctx.pool.part(Toolstack).is_ready(host_ref):
            raise ApiFailure("CANNOT_CONTACT_HOST", host_ref)
        if xenops.find_running(host_ref, vm_uuid) is None:
            _notice_ghost(ctx, vm_ref, host_ref)
    gate.pause(ctx, SHUTDOWN_SECONDS)
    with gate.writing(ctx):
        if host_ref != NULL:
            xenops.destroy(host_ref, vm_uuid)
        if reboot:
            xenops.boot(host_ref, vm_uuid)
            store.update("VM", vm_ref, domid=getattr(xenops.find(host_ref, vm_uuid), "domid", -1))
            return
        resync.force_halted(store, vm_ref)
        _write_metrics(ctx, vm_ref, running=False)
        messages.announce_shutdown(ctx, vm_ref)


def _notice_ghost(ctx: Context, vm_ref: str, host_ref: str) -> None:
    vm_uuid = ctx.store.value("VM", vm_ref, "uuid")
    if ctx.pool.part(Toolstack).is_coordinator(host_ref):
        with gate.writing(ctx):
            resync.force_halted(ctx.store, vm_ref)
    raise ApiFailure(
        "INTERNAL_ERROR", f"Object with type VM and id {vm_uuid}/config does not exist in xenopsd"
    )  # fmt: skip


@operation("VM.hard_shutdown", effect=True)
def hard_shutdown(ctx: Context, vm_ref: str) -> str:
    """End a VM at once; a migration of it is cancelled first."""
    _need_vm(ctx, vm_ref)
    _cancel_migration(ctx, vm_ref)
    return _stop(ctx, vm_ref, "hard_shutdown", _STOPPABLE)


@operation("VM.clean_shutdown", effect=True)
def clean_shutdown(ctx: Context, vm_ref: str) -> str:
    """Ask a VM to end, behind whatever else is done to it."""
    return _stop(ctx, vm_ref, "clean_shutdown", ("Running",))


@operation("VM.hard_reboot", effect=True)
def hard_reboot(ctx: Context, vm_ref: str) -> str:
    """End a VM's domain and boot another in its place."""
    _need_vm(ctx, vm_ref)
    _cancel_migration(ctx, vm_ref)
    return _stop(ctx, vm_ref, "hard_reboot", ("Paused", "Running"), reboot=True)


@operation("VM.clean_reboot", effect=True)
def clean_reboot(ctx: Context, vm_ref: str) -> str:
    """Ask a VM to boot again."""
    return _stop(ctx, vm_ref, "clean_reboot", ("Running",), reboot=True)


def _set_paused(ctx: Context, vm_ref: str, name: str, before: str, after: str) -> str:
    _need_vm(ctx, vm_ref)
    with gate.vm_operation(ctx, vm_ref, name, _check(ctx, vm_ref, name, before)), gate.writing(ctx):
        vm = ctx.store.record("VM", vm_ref)
        domain = ctx.pool.part(Xenops).find_running(vm["resident_on"], vm["uuid"])
        if domain is not None:
            domain.power_state = after
        allowed.update_vm(ctx.store, vm_ref, power_state=after)
    return ""


@operation("VM.pause", effect=True)
def pause(ctx: Context, vm_ref: str) -> str:
    """Stop a VM's time."""
    return _set_paused(ctx, vm_ref, "pause", "Running", "Paused")


@operation("VM.unpause", effect=True)
def unpause(ctx: Context, vm_ref: str) -> str:
    """Let a VM's time go on."""
    return _set_paused(ctx, vm_ref, "unpause", "Paused", "Running")


@operation("VM.power_state_reset", effect=True)
def power_state_reset(ctx: Context, vm_ref: str) -> str:
    """Write that a VM is Halted, unless its host lives (HOST_IS_LIVE) or the coordinator has its domain."""
    store = ctx.store
    with store.lock:
        vm = store.record("VM", vm_ref)
        coordinator_ref = ctx.pool.coordinator_ref
        if ctx.pool.part(Xenops).find_running(coordinator_ref, vm["uuid"]) is not None:
            raise ApiFailure("DOMAIN_EXISTS", vm_ref)
        host_ref = vm["resident_on"]
        if host_ref not in {NULL, coordinator_ref} and placement.is_live(store, host_ref):
            raise ApiFailure("HOST_IS_LIVE", host_ref)
        store.update("VM", vm_ref, current_operations={})
        resync.force_halted(store, vm_ref)
    return ""
