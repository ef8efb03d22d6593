"""Calls about the pool as a whole."""

from __future__ import annotations

from lmflow.simulator.context import Context
from lmflow.simulator.registry import operation

SYNC_SECONDS = 0.1


@operation("pool.sync_database", effect=True)
def sync_database(ctx: Context) -> str:
    """Answer after the time that a real pool takes to write its database; nothing here is ever lost."""
    ctx.clock.wait(SYNC_SECONDS)
    return ""
