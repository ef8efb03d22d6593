"""Many runs in one process on a few threads: those that wait for their pool occupy none, and hear all the same."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmflow.api import RunState
from lmflow.cli.demo_pool import make_waits
from tests.support.embedding import count_accepted, hold_in_the_copy, let_go, make_async_client
from tests.support.pool import SimulatedPool
from tests.support.scene import TIME_SCALE, Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]

MANY = [f"vm-{number:02}" for number in range(12)]
PARKING = dataclasses.replace(make_waits(TIME_SCALE), park_seconds=0.0)


def have_many(world: dict[str, Any]) -> None:
    (like,) = world["vms"]
    world["vms"] = [{**like, "name": name, "memory": 64 << 20} for name in MANY]


def count_threads() -> int:
    return len([each for each in threading.enumerate() if each.name == "lmflow-work"])


def test_twelve_runs_that_park_end_right_on_three_threads(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", have_many))
    hold_in_the_copy(pool, *MANY)

    async def serve() -> list[Any]:
        async with make_async_client(scene, waits=PARKING, threads=3) as client:
            jobs = [asyncio.create_task(client.migrate(vm, "B", request_id=f"move-{vm}")) for vm in MANY]
            while count_accepted(scene) < len(MANY):
                assert count_threads() <= 3
                await asyncio.sleep(0.05)
            let_go(pool)
            return await asyncio.gather(*jobs)

    outcomes = asyncio.run(serve())
    assert {outcome.run.state for outcome in outcomes} == {RunState.SUCCESS}
    assert len(pool.effects()) == len(pool.audit("VM.pool_migrate")) == len(MANY)
