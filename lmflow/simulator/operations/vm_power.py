"""Starting, stopping, pausing and resetting of VMs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from lmflow.simulator import gate, messages, vm_records
from lmflow.simulator.context import Context
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import boot_files, domains, resync
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.migrations import reservation
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed, placement

# Pool seconds, as measured on a real pool whose guests take no time.
BOOT_SECONDS = 0.2
SHUTDOWN_SECONDS = 0.1
_HINDER = frozenset({"clean_shutdown", "clean_reboot", "hard_reboot", "pool_migrate", "migrate_send"})
"""What a shutdown or reboot by force cancels first. Source: message_forwarding.ml."""


def _boot(ctx: Context, vm_ref: str, host_ref: str, *, paused: bool) -> None:
    """Boot a domain, unless that host has one: then the database learns it, and VM_BAD_POWER_STATE says so."""
    with domains.in_turn(ctx, vm_ref):
        domains.refuse_second(ctx, vm_ref, host_ref)
        boot_files.check_kernel(ctx.pool, vm_ref, host_ref)
        domains.let_build(ctx, host_ref, BOOT_SECONDS)
        with gate.writing(ctx):
            vm_uuid = ctx.store.value("VM", vm_ref, "uuid")
            ctx.pool.part(Xenops).boot(host_ref, vm_uuid, "Paused" if paused else "Running")
            vm_records.write_booted(ctx, vm_ref, host_ref)
            messages.announce_start(ctx, vm_ref, host_ref)


def _start(ctx: Context, vm_ref: str, name: str, choose: Callable[[], str], *, paused: bool) -> str:
    with gate.checked_operation(ctx, vm_ref, name, {"scheduled_to_be_resident_on": NULL}):
        with gate.writing(ctx):
            host_ref = choose()
            reservation.reserve(ctx, vm_ref, host_ref, "vm_start")
        with reservation.held(ctx, host_ref):
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
    return _start(ctx, vm_ref, "start", lambda: choose_host(ctx, vm_ref), paused=start_paused)


def choose_host(ctx: Context, vm_ref: str) -> str:
    """Choose a host where the VM can be: the one it prefers, else any. NO_HOSTS_AVAILABLE."""
    hosts = placement.possible_hosts(ctx.store, vm_ref)
    if not hosts:
        raise ApiFailure("NO_HOSTS_AVAILABLE")
    preferred = ctx.store.value("VM", vm_ref, "affinity")
    return preferred if preferred in hosts else str(ctx.store.random.choice(hosts))


# -- ending


def _end(ctx: Context, vm_ref: str, words: str) -> None:
    """End what a VM has: its domain, or the image in which it sleeps."""
    store = ctx.store
    image_ref = store.value("VM", vm_ref, "suspend_VDI")
    sleeps = store.value("VM", vm_ref, "power_state") == "Suspended"
    with ExitStack() as turn:
        host_ref = NULL if sleeps else turn.enter_context(domains.held_domain(ctx, vm_ref))[0]
        gate.pause(ctx, SHUTDOWN_SECONDS)
        with gate.writing(ctx):
            if sleeps and store.exists("VDI", image_ref):
                store.destroy("VDI", image_ref)
            if host_ref != NULL:
                ctx.pool.part(Xenops).destroy(host_ref, store.value("VM", vm_ref, "uuid"))
            store.update("VM", vm_ref, suspend_VDI=NULL)
            vm_records.write_stopped(ctx, vm_ref)
            messages.announce_done(ctx, "VM_SHUTDOWN", vm_ref, words)


def _reboot(ctx: Context, vm_ref: str, words: str) -> None:
    with domains.held_domain(ctx, vm_ref) as (host_ref, _):
        boot_files.check_kernel(ctx.pool, vm_ref, host_ref)
        domains.let_build(ctx, host_ref, SHUTDOWN_SECONDS + BOOT_SECONDS)
        with gate.writing(ctx):
            vm_uuid, xenops = ctx.store.value("VM", vm_ref, "uuid"), ctx.pool.part(Xenops)
            xenops.destroy(host_ref, vm_uuid)
            xenops.boot(host_ref, vm_uuid)
            vm_records.write_booted(ctx, vm_ref, host_ref)
            messages.announce_done(ctx, "VM_REBOOTED", vm_ref, words)


def _ask(ctx: Context, vm_ref: str, name: str, act: Callable[[Context, str, str], None], words: str) -> str:
    with gate.checked_operation(ctx, vm_ref, name):
        gate.task_of(ctx).show_cancel()
        act(ctx, vm_ref, words)
    return ""


def _force(ctx: Context, vm_ref: str, name: str, act: Callable[[Context, str, str], None], words: str) -> str:
    with gate.checked_operation(ctx, vm_ref, name):
        domains.cancel_others(ctx, vm_ref, _HINDER if name == "hard_shutdown" else _HINDER - {"hard_reboot"})
        gate.wait_until_alone(ctx, vm_ref)
        act(ctx, vm_ref, words)
    return ""


@operation("VM.hard_shutdown", effect=True)
def hard_shutdown(ctx: Context, vm_ref: str) -> str:
    """End a VM at once; a migration of it, or a milder shutdown, is cancelled first."""
    return _force(ctx, vm_ref, "hard_shutdown", _end, "shutdown forcibly")


@operation("VM.clean_shutdown", effect=True)
def clean_shutdown(ctx: Context, vm_ref: str) -> str:
    """Ask a VM to end, behind whatever else is done to it."""
    return _ask(ctx, vm_ref, "clean_shutdown", _end, "shutdown")


@operation("VM.shutdown", effect=True)
def shutdown(ctx: Context, vm_ref: str) -> str:
    """End a VM: one that runs with drivers is asked, any other is ended by force."""
    vm = ctx.store.record("VM", vm_ref)
    clean = vm["power_state"] == "Running" and allowed.has_feature(ctx.store, vm, "feature-shutdown")
    return _ask(ctx, vm_ref, "shutdown", _end, "shutdown" if clean else "shutdown forcibly")


@operation("VM.hard_reboot", effect=True)
def hard_reboot(ctx: Context, vm_ref: str) -> str:
    """End a VM's domain and boot another in its place."""
    return _force(ctx, vm_ref, "hard_reboot", _reboot, "rebooted forcibly")


@operation("VM.clean_reboot", effect=True)
def clean_reboot(ctx: Context, vm_ref: str) -> str:
    """Ask a VM to boot again."""
    return _ask(ctx, vm_ref, "clean_reboot", _reboot, "rebooted")


# -- standing still


def _set_paused(ctx: Context, vm_ref: str, name: str, after: str, title: str) -> str:
    operation, domain_of = gate.checked_operation(ctx, vm_ref, name), domains.held_domain(ctx, vm_ref)
    with operation, domain_of as (_, domain), gate.writing(ctx):
        domain.power_state = after
        allowed.update_vm(ctx.store, vm_ref, power_state=after)
        messages.announce_done(ctx, title, vm_ref, f"{name}d")
    return ""


@operation("VM.pause", effect=True)
def pause(ctx: Context, vm_ref: str) -> str:
    """Stop a VM's time."""
    return _set_paused(ctx, vm_ref, "pause", "Paused", "VM_PAUSED")


@operation("VM.unpause", effect=True)
def unpause(ctx: Context, vm_ref: str) -> str:
    """Let a VM's time go on."""
    return _set_paused(ctx, vm_ref, "unpause", "Running", "VM_UNPAUSED")


@operation("VM.power_state_reset", effect=True)
def power_state_reset(ctx: Context, vm_ref: str) -> str:
    """Write that a VM is Halted, unless its host lives (HOST_IS_LIVE) or, the coordinator, has its domain."""
    store = ctx.store
    with store.lock:
        vm = store.record("VM", vm_ref)
        if vm["is_control_domain"]:
            placement.check_not_control_domain(store, vm_ref)
        host_ref = vm["resident_on"] if vm["power_state"] in {"Running", "Paused"} else NULL
        if host_ref == ctx.pool.coordinator_ref:
            if ctx.pool.part(Xenops).find_running(host_ref, vm["uuid"]) is not None:
                raise ApiFailure("DOMAIN_EXISTS", vm_ref)
        elif host_ref != NULL and placement.is_live(store, host_ref):
            raise ApiFailure("HOST_IS_LIVE", host_ref)
        store.update("VM", vm_ref, current_operations={})
        resync.force_halted(store, vm_ref)
    return ""
