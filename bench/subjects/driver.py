"""Runs of lmflow whose flow is the job: leases, fencing, retries and the beat are on, as for a migration.

What is left out is the pool: nobody logs in, and no call is made.
"""

from __future__ import annotations

import uuid
from typing import Any

from bench.steps import FACTORY
from lmflow.db.database import Database, FlowSpec
from lmflow.db.owner import current_owner
from lmflow.exceptions import FlowSuspended
from lmflow.models import MoveRequest, Outcome, RunState, Waits
from lmflow.runner.driver import Driver
from lmflow.runner.engine import run_flow
from lmflow.runner.runs import Begun, Drive, make_context
from lmflow.runner.takeover import take_lease
from lmflow.tasks.context import Context, ignore_notice

FLOWS = tuple(FlowSpec(name=name, factory=FACTORY, kwargs={"version": 1}) for name in ("move", "settle"))


class _Nowhere:
    """A connection to no pool."""

    def close(self) -> None:
        """Do nothing."""


def _do_job(context: Context, run: Any) -> Outcome:
    """Do all that is left of the job, and end its run."""
    state = run_flow(context, run, "move")
    if state != "SUCCESS":
        raise SystemExit(f"the job ended in {state}")
    context.database.runs.set_state(context.fence, RunState.SUCCESS)
    return Outcome(run)


class Contender:
    """One database, and one driver of its runs."""

    def __init__(self, url: str) -> None:
        self._database, self._waits, self._owner = Database.open(url), Waits(), current_owner()
        self._driver = Driver(self._database, self._waits)

    def run_one(self) -> None:
        """Do one job to its end."""
        self._driver.drive(self._begin(*self._create())).result()

    def run_many(self, count: int, width: int) -> None:
        """Do so many jobs, ``width`` of them at a time."""
        flying = [self._driver.drive(self._begin(*self._create())) for _ in range(min(width, count))]
        for _ in range(count - len(flying)):
            flying.pop(0).result()
            flying.append(self._driver.drive(self._begin(*self._create())))
        for future in flying:
            future.result()

    def interrupt(self, count: int) -> None:
        """Leave so many jobs in the middle; their leases are ours until we are dead."""
        for _ in range(count):
            begun = self._begin(*self._create())
            try:
                run_flow(begun.context, begun.run, "move")
            except FlowSuspended:
                continue
            raise SystemExit("the job was not left in the middle")

    def resume(self, count: int) -> None:
        """Take over the runs that another process has left, and end them."""
        found = self._database.runs.list(states=[state for state in RunState if not state.is_terminal], limit=None)
        if len(found) != count:
            raise SystemExit(f"{len(found)} runs are open, not {count}")
        for future in [self._driver.go(self._take_up(run), "bench") for run in found]:
            future.result()

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def _create(self) -> tuple[Any, Any]:
        request = MoveRequest(
            request_id=str(uuid.uuid4()), pool_profile="bench", pool_uuid=str(uuid.UUID(int=1)),
            vm_uuid=str(uuid.uuid4()), vm_name="vm", source_uuid=str(uuid.UUID(int=3)), source_name="a",
            destination_uuid=str(uuid.UUID(int=4)), destination_name="b",
        )  # fmt: skip
        return self._database.runs.create(
            request, kind="migrate", owner=self._owner, lease_seconds=self._waits.lease_seconds, flows=FLOWS
        )

    def _take_up(self, run: Any) -> Any:
        fence, _previous = yield from take_lease(self._database, run, waits=self._waits, notify=ignore_notice)
        return (yield self._begin(run, fence))

    def _begin(self, run: Any, fence: Any) -> Begun:
        drive = Drive(self._database, self._waits)
        return Begun(drive, make_context(drive, _Nowhere(), run, fence), run, _do_job)  # type: ignore[arg-type]
