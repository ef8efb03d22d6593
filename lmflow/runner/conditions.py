"""How a run stands beyond its own state: an owner that is gone does not write that it is."""

from __future__ import annotations

from lmflow.db.database import Database
from lmflow.db.owner import current_owner, is_dead, is_of_former_boot
from lmflow.models import Run, RunState


def find_condition(database: Database, run: Run) -> str:
    """Return the run's state, or interrupted when it is running and its owner is gone."""
    if run.state is not RunState.RUNNING:
        return run.state.value
    lease = database.leases.get(run.uuid)
    if lease is None or lease.expires_in_seconds <= 0 or is_dead(lease.owner, current_owner()):
        return "interrupted"
    return "running"


def is_to_be_taken_up(database: Database, run: Run) -> bool:
    """Tell whether a resume of everything should try this run.

    Its owner is gone or let go of it; or it was of this machine before a reboot, and its lease is worth waiting for.
    """
    if find_condition(database, run) != "running":
        return True
    lease = database.leases.get(run.uuid)
    return lease is not None and is_of_former_boot(lease.owner, current_owner())
