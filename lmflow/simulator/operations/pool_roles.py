"""Calls about the coordinator's role and its database."""

from __future__ import annotations

from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import forwarding
from lmflow.simulator.hosts.flushing import Flushing
from lmflow.simulator.hosts.heartbeats import Heartbeats
from lmflow.simulator.hosts.roles import Roles
from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.registry import operation

AGENT_SECONDS = 1.0
"""Between the answer to host.restart_agent and the restart. Source: xapi_host.ml."""


@operation("pool.sync_database")
def sync_database(ctx: Context) -> str:
    """Write the database to disk, now."""
    ctx.pool.part(Flushing).flush()
    return ""


def _refuse_with_high_availability(ctx: Context) -> None:
    if ctx.store.value("pool", ctx.pool.pool_ref, "ha_enabled"):
        raise ApiFailure("HA_IS_ENABLED")


@operation("pool.emergency_transition_to_master", effect=True)
def emergency_transition_to_master(ctx: Context) -> str:
    """Make the host that is asked the coordinator; nothing happens on the one that is. HA_IS_ENABLED."""
    _refuse_with_high_availability(ctx)
    roles = ctx.pool.part(Roles)
    roles.light_fuse(ctx.host_ref, lambda: roles.take_over(ctx.host_ref))
    return ""


@operation("pool.emergency_reset_master", effect=True)
def emergency_reset_master(ctx: Context, address: str) -> str:
    """Let the host that is asked follow the coordinator of this address. HA_IS_ENABLED."""
    _refuse_with_high_availability(ctx)
    known = ctx.store.find("host", address=address)
    if known != [ctx.pool.coordinator_ref]:
        raise ApiFailure("HOST_MASTER_CANNOT_TALK_BACK", address)
    roles = ctx.pool.part(Roles)
    roles.light_fuse(ctx.host_ref, lambda: roles.follow(ctx.host_ref, known[0]))
    return ""


@operation("pool.designate_new_master", effect=True)
def designate_new_master(ctx: Context, host_ref: str) -> str:
    """Hand the coordinator's role to a member; nothing happens for the coordinator. HANDLE_INVALID, HA_IS_ENABLED."""
    if not ctx.store.exists("host", host_ref):
        raise ApiFailure("HANDLE_INVALID", "host", host_ref)
    _refuse_with_high_availability(ctx)
    if host_ref != ctx.pool.coordinator_ref:
        forwarding.reach(ctx, host_ref)
        roles = ctx.pool.part(Roles)
        roles.light_fuse(host_ref, lambda: roles.hand_over(host_ref))
    return ""


@operation("pool.recover_slaves", effect=True)
def recover_slaves(ctx: Context) -> list[str]:
    """Tell every host that can be reached that this one is the coordinator; gives those that did not know."""
    return ctx.pool.part(Roles).recover()


@operation("host.declare_dead", effect=True)
def declare_dead(ctx: Context, host_ref: str) -> str:
    """Write that a host is not live without waiting for it; HOST_IS_LIVE while its toolstack works."""
    if not ctx.store.exists("host", host_ref):
        raise ApiFailure("HANDLE_INVALID", "host", host_ref)
    if ctx.pool.part(Toolstack).is_ready(host_ref):
        raise ApiFailure("HOST_IS_LIVE", host_ref)
    ctx.pool.part(Heartbeats).give_up(host_ref)
    return ""


@operation("host.is_in_emergency_mode")
def is_in_emergency_mode(ctx: Context) -> bool:
    """Tell whether the host that is asked is in emergency mode."""
    return ctx.pool.part(Roles).is_in_emergency(ctx.host_ref)


@operation("host.restart_agent", effect=True)
def restart_agent(ctx: Context, host_ref: str) -> str:
    """Restart a host's toolstack in good order, soon after the answer. HANDLE_INVALID, HOST_OFFLINE."""
    if not ctx.store.exists("host", host_ref):
        raise ApiFailure("HANDLE_INVALID", "host", host_ref)
    forwarding.reach(ctx, host_ref)
    restart = ctx.pool.part(Toolstack).restart
    ctx.pool.part(Roles).light_fuse(host_ref, lambda: restart(host_ref, "TERM"), AGENT_SECONDS)
    return ""
