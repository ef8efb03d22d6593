"""Interfaces of hosts that are brought up and taken down. Source: xapi_pif.ml; nobody watched it."""

from __future__ import annotations

from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import forwarding
from lmflow.simulator.registry import operation


@operation("PIF.plug", effect=True)
def plug(ctx: Context, pif_ref: str) -> str:
    """Bring an interface up; nothing happens to one that is. HANDLE_INVALID, HOST_OFFLINE."""
    forwarding.reach(ctx, ctx.store.value("PIF", pif_ref, "host"))
    ctx.store.update("PIF", pif_ref, currently_attached=True)
    return ""


@operation("PIF.unplug", effect=True)
def unplug(ctx: Context, pif_ref: str) -> str:
    """Take an interface down; VMs that use its network go on.

    HANDLE_INVALID, HOST_OFFLINE, HA_IS_ENABLED, PIF_IS_MANAGEMENT_INTERFACE, PIF_DOES_NOT_ALLOW_UNPLUG.
    """
    pif = ctx.store.record("PIF", pif_ref)
    forwarding.reach(ctx, pif["host"])
    if ctx.store.value("pool", ctx.pool.pool_ref, "ha_enabled"):
        raise ApiFailure("HA_IS_ENABLED")
    if pif["management"]:
        raise ApiFailure("PIF_IS_MANAGEMENT_INTERFACE", pif_ref)
    if pif["disallow_unplug"]:
        raise ApiFailure("PIF_DOES_NOT_ALLOW_UNPLUG", pif_ref)
    ctx.store.update("PIF", pif_ref, currently_attached=False)
    return ""
