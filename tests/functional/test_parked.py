"""Runs that are parked hold no thread, and are cancelled, stopped, killed and woken like any other."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from lmflow.api import RunState
from tests.functional.test_driver import MANY, PARKING, have_many
from tests.support.embedding import count_accepted, hold_in_the_copy, let_go, make_async_client
from tests.support.invariants import Invariants
from tests.support.kills import kill, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import COMMAND_SECONDS, Command, Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


def begin_parked(scene: Scene, pool: SimulatedPool) -> Command:
    """Start a migration that stands in its copy, with a command whose waits park at once; return when it is watched."""
    hold_in_the_copy(pool)
    owner = scene.popen("migrate", "v", "--to", "B", "--request-id", "r")
    asked = "select max(progress) from lmflow_attempts"
    reached = wait_until(lambda: ((query(scene, asked) or [(0,)])[0][0] or 0) > 0.2, owner, "progress")
    assert reached, scene.read_output(owner)
    return owner


def start_pool(simulator: Start, scene: Scene, path: Path, **options: Any) -> SimulatedPool:
    scene.waits = {"park_seconds": 0.0}
    return simulator(write_world(path / "p.json"), **options)


def test_one_that_is_killed_is_taken_up_and_has_moved_once(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = start_pool(simulator, scene, tmp_path)
    kill(begin_parked(scene, pool))
    heir = scene.popen("resume", "r")
    assert wait_until(lambda: "still migrating" in scene.read_output(heir)[1], heir, "the watch")
    let_go(pool)
    assert heir.wait(COMMAND_SECONDS) == 0, scene.read_output(heir)
    assert pool.runs_on("v") == ["B"]
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_one_that_another_process_cancels_is_rolled_back(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = start_pool(simulator, scene, tmp_path)
    owner = begin_parked(scene, pool)
    asked = lmflow("cancel", "r")
    assert (asked.returncode, owner.wait(COMMAND_SECONDS)) == (0, 4), asked.stdout + asked.stderr
    assert pool.runs_on("v") == ["A"]
    assert len(pool.audit("task.cancel")) == 1


def test_one_that_is_told_to_stop_lets_go_and_leaves_no_session(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = start_pool(simulator, scene, tmp_path)
    owner = begin_parked(scene, pool)
    owner.send_signal(signal.SIGTERM)
    assert owner.wait(COMMAND_SECONDS) == 5, scene.read_output(owner)
    assert not pool.records("session")
    let_go(pool)
    assert lmflow("resume", "r").returncode == 0
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_one_whose_coordinator_restarts_goes_on_in_a_new_session(
    simulator: Start, scene: Scene, tmp_path: Path
) -> None:
    pool = start_pool(simulator, scene, tmp_path)
    owner = begin_parked(scene, pool)
    logins = len(pool.audit("session.login_with_password"))
    pool.control("POST", "/toolstack", {"host": "A", "action": "restart"})
    scene.wait_until(lambda: len(pool.audit("session.login_with_password")) > logins)
    let_go(pool)
    code = owner.wait(COMMAND_SECONDS)
    where = pool.runs_on("v")
    assert (code, where) in ((0, ["B"]), (4, ["A"])), scene.read_output(owner)
    assert len(pool.effects("v")) == 1


def test_many_on_two_threads_are_let_go_of_together_and_taken_up_together(
    simulator: Start, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", have_many))
    hold_in_the_copy(pool, *MANY)

    async def leave() -> None:
        async with make_async_client(scene, waits=PARKING, threads=2) as client:
            jobs = [asyncio.create_task(client.migrate(vm, "B", request_id=vm)) for vm in MANY]
            while count_accepted(scene) < len(MANY):
                await asyncio.sleep(0.05)
        with contextlib.suppress(asyncio.CancelledError):
            ended = await asyncio.gather(*jobs)
            assert {outcome.reason for outcome in ended} == {"detached"}

    async def take_up() -> list[Any]:
        async with make_async_client(scene, waits=PARKING, threads=2) as client:
            return list(await client.resume())

    asyncio.run(leave())
    assert not pool.records("session")
    let_go(pool)
    outcomes = asyncio.run(take_up())
    assert [outcome.run.state for outcome in outcomes] == [RunState.SUCCESS] * len(MANY)
    assert len(pool.audit("VM.pool_migrate")) == len(MANY)
    assert len(pool.audit("session.login_with_password")) == 2
    assert not [each for each in threading.enumerate() if each.name.startswith("lmflow-") and not each.daemon]


def test_a_pool_that_hangs_holds_up_no_other(
    simulator: Start, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    invariants.open_runs = True

    def rename(world: dict[str, Any]) -> None:
        world["vms"][0]["name"] = "w"

    stuck = simulator(write_world(tmp_path / "p.json", have_many))
    other = simulator(write_world(tmp_path / "q.json", rename), name="q")
    hold_in_the_copy(stuck, *MANY)

    async def serve() -> tuple[Any, set[str]]:
        async with make_async_client(scene, waits=PARKING, threads=2) as client:
            jobs = [asyncio.create_task(client.migrate(vm, "B", pool=stuck.name, request_id=vm)) for vm in MANY[:6]]
            while count_accepted(scene) < len(jobs):
                await asyncio.sleep(0.05)
            stuck.control("POST", "/hold", {"call": "event.inject", "point": "reply_written", "nth": 1})
            more = [asyncio.create_task(client.migrate(vm, "B", pool=stuck.name, request_id=vm)) for vm in MANY[6:]]
            moved = await client.migrate("w", "B", pool=other.name, request_id="w")
            assert any(hold["reached"] for hold in stuck.control("GET", "/hold"))
            assert not any(job.done() for job in jobs + more)
            stuck.control("POST", "/release", {})
            let_go(stuck)
            ended = await asyncio.gather(*jobs, *more)
            return moved, {str(outcome.run.state) for outcome in ended}

    moved, states = asyncio.run(serve())
    assert moved.run.state is RunState.SUCCESS
    assert states == {"success"}
    assert other.runs_on("w") == ["B"]
