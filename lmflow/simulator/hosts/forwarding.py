"""How the coordinator hands a call to another host, and what it answers when that host is not there."""

from __future__ import annotations

from lmflow.simulator import gate
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.rules import placement

_LOOK_SECONDS = 0.25


def reach(ctx: Context, host_ref: str) -> None:
    """Pass when a host's toolstack takes calls.

    HOST_OFFLINE when it was given up before; CANNOT_CONTACT_HOST, at once, when its toolstack refuses. A host without
    power refuses nothing: the call hangs until the host is given up, and fails with CANNOT_CONTACT_HOST then.
    """
    if not placement.is_live(ctx.store, host_ref):
        raise ApiFailure("HOST_OFFLINE", host_ref)
    wait_while_dark(ctx, host_ref)
    if not ctx.pool.part(Toolstack).is_ready(host_ref):
        raise ApiFailure("CANNOT_CONTACT_HOST", host_ref)


def wait_while_dark(ctx: Context, host_ref: str) -> None:
    """Hang on a host without power until it is given up or has power again; AbandonedError with the coordinator."""
    toolstack = ctx.pool.part(Toolstack)
    while not toolstack.on(host_ref).is_powered and placement.is_live(ctx.store, host_ref):
        if ctx.task is not None:
            gate.pause(ctx, _LOOK_SECONDS)
        elif ctx.clock.wait(_LOOK_SECONDS, ctx.pool.stopped) or not toolstack.is_up(ctx.host_ref):
            raise gate.AbandonedError
