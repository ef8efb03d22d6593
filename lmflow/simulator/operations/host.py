"""Calls about hosts."""

from __future__ import annotations

from lmflow.simulator import allowed_host
from lmflow.simulator.context import Context
from lmflow.simulator.database.values import DateTime
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import forwarding, power_cut
from lmflow.simulator.hosts.heartbeats import Heartbeats
from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import evacuation, failover, memory


def need_host(ctx: Context, host_ref: str) -> None:
    """Refuse a reference that names no host: HANDLE_INVALID."""
    if not ctx.store.exists("host", host_ref):
        raise ApiFailure("HANDLE_INVALID", "host", host_ref)


def _set_enabled(ctx: Context, host_ref: str, *, enabled: bool) -> str:
    forwarding.reach(ctx, host_ref)
    with ctx.store.lock:
        allowed_host.update_host(ctx.store, host_ref, enabled=enabled)
        failover.update_pool(ctx.store)
    return ""


@operation("host.disable", effect=True)
def disable(ctx: Context, host_ref: str, _auto_enable: bool) -> str:
    """Keep new VMs off a host; those that run there, or are on their way, stay. Refused if failures need the host."""
    need_host(ctx, host_ref)
    failover.check_preserves_plan(ctx.store, failover.Change(disabled=frozenset({host_ref})))
    return _set_enabled(ctx, host_ref, enabled=False)


@operation("host.enable", effect=True)
def enable(ctx: Context, host_ref: str) -> str:
    """Let a host take VMs again."""
    need_host(ctx, host_ref)
    return _set_enabled(ctx, host_ref, enabled=True)


@operation("host.compute_free_memory")
def compute_free_memory(ctx: Context, host_ref: str) -> int:
    """Give the free bytes of a host, by the database."""
    return memory.free_on(ctx.store, host_ref)


@operation("host.compute_memory_overhead")
def compute_memory_overhead(ctx: Context, host_ref: str) -> int:
    """Give the bytes that the hypervisor keeps for itself."""
    return int(ctx.store.value("host", host_ref, "memory_overhead"))


@operation("VM.compute_memory_overhead")
def compute_overhead_of_vm(ctx: Context, vm_ref: str) -> int:
    """Give the bytes that the hypervisor keeps beside a guest."""
    return memory.overhead_of(int(ctx.store.value("VM", vm_ref, "memory_static_max")))


@operation("host.get_server_localtime")
def get_server_localtime(ctx: Context, host_ref: str) -> DateTime:
    """Give a host's own time, which is without a zone; HOST_OFFLINE for a reference that is no host."""
    if not ctx.store.exists("host", host_ref):
        raise ApiFailure("HOST_OFFLINE", host_ref)
    return DateTime(ctx.clock.stamp().removesuffix("Z"))


@operation("host.retrieve_wlb_evacuate_recommendations")
def retrieve_wlb_evacuate_recommendations(ctx: Context, host_ref: str) -> dict[str, list[str]]:
    """Refuse: no pool here has somebody who balances the load."""
    need_host(ctx, host_ref)
    raise ApiFailure("WLB_NOT_INITIALIZED")


@operation("VM.retrieve_wlb_recommendations")
def retrieve_wlb_recommendations(ctx: Context, vm_ref: str) -> dict[str, list[str]]:
    """Refuse: no pool here has somebody who balances the load."""
    ctx.store.value("VM", vm_ref, "uuid")
    raise ApiFailure("WLB_NOT_INITIALIZED")


def _check_disabled(ctx: Context, host_ref: str) -> None:
    """Refuse a host that is enabled, at once: nobody waits for what it does."""
    need_host(ctx, host_ref)
    if ctx.store.value("host", host_ref, "enabled"):
        raise ApiFailure("HOST_NOT_DISABLED")


def _check_empty(ctx: Context, host_ref: str) -> None:
    _check_disabled(ctx, host_ref)
    for vm_ref in evacuation.guests_of(ctx.store, host_ref):
        raise ApiFailure("HOST_IN_USE", host_ref, "vm", vm_ref)


@operation("host.shutdown", effect=True)
def shutdown(ctx: Context, host_ref: str) -> str:
    """Take a disabled, empty host down until somebody gives it power; it is not live at once."""
    _check_disabled(ctx, host_ref)
    with allowed_host.host_operation(ctx, host_ref, "shutdown"):
        _check_empty(ctx, host_ref)
        _end(ctx, host_ref)
    power_cut.cut(ctx.pool, host_ref)
    return ""


@operation("host.reboot", effect=True)
def reboot(ctx: Context, host_ref: str) -> str:
    """Boot a disabled, empty host anew; it is not live until its toolstack works again, and stays disabled."""
    _check_disabled(ctx, host_ref)
    with allowed_host.host_operation(ctx, host_ref, "reboot"):
        _check_empty(ctx, host_ref)
        _end(ctx, host_ref)
    power_cut.cut(ctx.pool, host_ref)
    power_cut.restore(ctx.pool, host_ref)
    return ""


def _end(ctx: Context, host_ref: str) -> None:
    forwarding.reach(ctx, host_ref)
    ctx.took_effect()
    if not ctx.pool.part(Toolstack).is_coordinator(host_ref):
        ctx.pool.part(Heartbeats).give_up(host_ref)


@operation("host.power_on", effect=True)
def power_on(ctx: Context, host_ref: str) -> str:
    """Give a host that is down its power back. HOST_IS_LIVE, HOST_POWER_ON_MODE_DISABLED."""
    need_host(ctx, host_ref)
    with allowed_host.host_operation(ctx, host_ref, "power_on"):
        power_cut.restore(ctx.pool, host_ref)
    return ""
