"""How much a parked run costs: real runs in a real database, held by a driver, parked by a stub of a step.

The stub parks at once and its connection does nothing: what is measured is what the driver keeps of a run, not its
engine, which is dropped while it is parked, nor the pool's link, which is one a pool.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import sys
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

from lmflow.db.database import Database, Fence
from lmflow.db.owner import current_owner
from lmflow.exceptions import Parked
from lmflow.models import MoveRequest, Outcome, Run, Waits
from lmflow.runner.driver import Driver
from lmflow.runner.runs import KIND, Begun, Drive, make_context
from lmflow.runner.specs import make_flow_specs
from lmflow.tasks.context import Context


class _Nowhere:
    """A connection to no pool."""

    __slots__ = ()

    def close(self) -> None:
        """Do nothing."""


def _park(context: Context, run: Run) -> Outcome:
    raise Parked(3600.0)


def _make_request(number: int) -> MoveRequest:
    uuid = f"00000000-0000-4000-8000-{number:012d}"
    return MoveRequest(
        request_id=f"request-{number}",
        pool_profile="pool",
        pool_uuid="pool",
        vm_uuid=uuid,
        vm_name=f"vm-{number}",
        source_uuid="source",
        source_name="A",
        destination_uuid="destination",
        destination_name="B",
        reason="",
        requested_by="bench",
    )


def _begin(database: Database, drive: Drive, number: int) -> Begun:
    request = _make_request(number)
    flows = make_flow_specs(request)
    owner = current_owner()
    run, fence = database.runs.create(request, kind=KIND, owner=owner, lease_seconds=600.0, flows=flows)
    hold = Fence(fence.run_uuid, fence.token)
    return Begun(drive, make_context(drive, _Nowhere(), run, hold), run, _park)  # type: ignore[arg-type] - a stub


def measure(count: int) -> dict[str, Any]:
    """Park so many runs; return the KB that each keeps alive, the threads, and the process's peak in MB."""
    with tempfile.TemporaryDirectory() as directory:
        database = Database.open(f"sqlite:///{Path(directory) / 'bench.db'}")
        waits = dataclasses.replace(Waits(), heartbeat_seconds=60.0, lease_seconds=600.0, poll_seconds=30.0)
        driver, parked = Driver(database, waits), []
        drive = Drive(database, waits)
        driver.drive(_begin(database, drive, 0))  # what is made once
        tracemalloc.start()
        before, began = tracemalloc.get_traced_memory()[0], time.perf_counter()
        for number in range(1, count + 1):
            parked.append(driver.drive(_begin(database, drive, number)))
        while not driver.is_at_rest(count + 1):
            time.sleep(0.05)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        return {
            "count": count,
            "kilobytes_each": round(grown / count / 1024, 2),
            "threads": threading.active_count(),
            "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "seconds": round(time.perf_counter() - began, 1),
        }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)))  # noqa: T201 - its result
