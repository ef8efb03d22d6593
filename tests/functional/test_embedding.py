"""The library in a program of one's own: threads, asyncio, events, callbacks; nothing global, nothing twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lmflow.api import Notice, RunState, Steering, UsageError
from tests.support.embedding import (
    count_accepted,
    hold_in_the_copy,
    is_in_the_copy,
    let_go,
    make_async_client,
    open_client,
)
from tests.support.invariants import Invariants
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]

EIGHT = [f"vm-{number}" for number in range(8)]


def have_eight(world: dict[str, Any]) -> None:
    (like,) = world["vms"]
    world["vms"] = [{**like, "name": name} for name in EIGHT]


def test_eight_threads_migrate_with_one_client(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", have_eight))
    hold_in_the_copy(pool, *EIGHT)
    with open_client(scene) as client, ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(client.migrate, vm, "B", request_id=f"move-{vm}") for vm in EIGHT]
        scene.wait_until(lambda: count_accepted(scene) == 8, seconds=60)
        let_go(pool)
        outcomes = [job.result(90) for job in jobs]
    assert {outcome.run.state for outcome in outcomes} == {RunState.SUCCESS}
    assert [outcome.run.request.vm_name for outcome in outcomes] == EIGHT
    assert len(pool.effects()) == len(pool.audit("VM.pool_migrate")) == 8


def test_one_request_id_from_many_threads_is_one_migration(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    together = threading.Barrier(4)
    with open_client(scene) as client, ThreadPoolExecutor(4) as threads:

        def ask() -> Any:
            together.wait(30)
            return client.migrate("v", "B", request_id="move-v")

        outcomes = [job.result(90) for job in [threads.submit(ask) for _ in range(4)]]
    assert {outcome.run.state for outcome in outcomes} == {RunState.SUCCESS}
    assert len({outcome.run.uuid for outcome in outcomes}) == 1
    assert len(scene.runs()) == len(pool.audit("VM.pool_migrate")) == 1


def test_two_clients_of_one_process_know_nothing_of_each_other(
    simulator: Start, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    invariants.foreign_migrations["w"] = 1  # its run is in the other database
    pools = [simulator(write_world(tmp_path / "first.json"), name="first")]
    world = write_world(tmp_path / "second.json", lambda world: world["vms"][0].update(name="w"))
    pools.append(simulator(world, name="second"))
    other = f"sqlite:///{scene.directory / 'other.db'}"
    with (
        open_client(scene, pools[0]) as first,
        open_client(scene, pools[1], database_url=other) as second,
        ThreadPoolExecutor(2) as threads,
    ):
        jobs = [
            threads.submit(client.migrate, vm, "B", request_id="one id in two databases")
            for client, vm in ((first, "v"), (second, "w"))
        ]
        runs = [job.result(90).run for job in jobs]
        assert [run.state for run in runs] == [RunState.SUCCESS] * 2
        assert [[run.uuid for run in client.runs()] for client in (first, second)] == [[run.uuid] for run in runs]
        with pytest.raises(UsageError):
            first.run(runs[1].uuid)
    assert [pool.runs_on(vm) for pool, vm in zip(pools, "vw", strict=True)] == [["B"], ["B"]]


IMPORT = """
import importlib.util, logging, os, sys

opened, read = [], []
get = type(os.environ).__getitem__

def look_up(self, key):
    frame, callers = sys._getframe(1), []
    while frame is not None and len(callers) < 3:  # os.getenv and Mapping.get stand between
        callers.append(frame.f_globals.get("__name__", "").partition(".")[0])
        frame = frame.f_back
    if "lmflow" in callers:
        read.append(key)
    return get(self, key)

type(os.environ).__getitem__ = look_up
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event in ("open", "sqlite3.connect") else None)
level, here = logging.getLogger().level, os.path.dirname(importlib.util.find_spec("lmflow").origin)
import lmflow.api
for name in lmflow.api.__all__:
    getattr(lmflow.api, name)
code = (sys.prefix, sys.base_prefix, here)
strange = [path for path in opened if os.path.isabs(path) and not path.startswith(code)]
print([path for path in strange if not path.startswith(("/proc/", "/etc/mime.types", "/dev/"))], read)
loggers = [logging.getLogger(), *(one for name, one in logging.root.manager.loggerDict.items() if "lmflow" in name)]
assert not any(getattr(one, "handlers", ()) for one in loggers) and logging.getLogger().level == level

exec("import os; os.environ.get('HOME'); os.getenv('HOME'); open('/etc/hostname').close()", {"__name__": "lmflow.x"})
assert (read, opened[-1]) == (["HOME", "HOME"], "/etc/hostname"), "the ears are deaf"
"""


def test_the_import_configures_nothing_and_reads_neither_environment_nor_files(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT],
        cwd=tmp_path,
        env={"LMFLOW_CONFIG_FILE": "/no/such/file", "HOME": "/no/such/home"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[] []\n"), done.stderr


def test_a_cancelled_coroutine_has_let_go_of_its_run(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in_the_copy(pool)

    async def serve() -> None:
        handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        async with make_async_client(scene) as client:
            task = asyncio.create_task(client.migrate("v", "B", request_id="move-v"))
            await until(lambda: is_in_the_copy(scene))
            assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [run["state"] for run in scene.runs()] == ["suspended"]
            assert not ours_of(pool)
            let_go(pool)
            (outcome,) = await client.resume("move-v")
            assert (outcome.run.state, outcome.interruptions) == (RunState.SUCCESS, 1)

    asyncio.run(serve())
    assert pool.runs_on("v") == ["B"]
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_what_waits_for_its_turn_never_begins_when_it_is_cancelled(
    simulator: Start, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", have_eight))
    hold_in_the_copy(pool)

    async def serve() -> None:
        async with make_async_client(scene, at_once=1) as client:
            first = asyncio.create_task(client.migrate("vm-0", "B"))
            await until(lambda: is_in_the_copy(scene))
            second = asyncio.create_task(client.migrate("vm-1", "B"))
            await asyncio.sleep(0)
            assert len(await client.runs()) == 1, "looking does not wait for its turn"
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            let_go(pool)
            assert (await first).run.state is RunState.SUCCESS

    asyncio.run(serve())
    assert [run["vm"] for run in scene.runs()] == ["vm-0"]


def ours_of(pool: SimulatedPool) -> set[str]:
    """The sessions that lmflow holds in the pool."""
    sessions = pool.records("session").items()
    return {ref for ref, record in sessions if record.get("originator", "").startswith("lmflow")}


async def until(holds: Callable[[], bool]) -> None:
    """Look, in a thread, until the pool or the database shows what the test waits for."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.02)


def test_events_come_as_an_iterator_and_notices_as_callbacks_of_the_loop(
    simulator: Start, scene: Scene, tmp_path: Path
) -> None:
    simulator(write_world(tmp_path / "p.json"))
    notices: list[tuple[Notice, bool]] = []
    begun = asyncio.Event()

    def note(notice: Notice) -> None:
        notices.append((notice, threading.current_thread() is threading.main_thread()))
        if notice.kind == "run":
            begun.set()
        raise RuntimeError("what a watcher does wrong is its own affair")

    async def serve() -> list[Any]:
        failed: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
        async with make_async_client(scene, notify=note) as client:
            task = asyncio.create_task(client.migrate("v", "B", request_id="move-v"))
            await begun.wait()
            events = [event async for event in client.follow("move-v")]
            outcome = await task
            assert outcome.run.state is RunState.SUCCESS
            assert tuple(events) == await client.events(outcome.run.uuid)
            later = [event async for event in client.follow("move-v", after=events[3].sequence)]
            assert later == events[4:]
            assert (await client.wait("move-v")).run == outcome.run
        assert len(failed) == len(notices)
        return events

    events = asyncio.run(serve())
    assert events[0].kind == "created"
    assert all(in_loop for _, in_loop in notices)
    assert {"run", "atom", "verdict"} <= {notice.kind for notice, _ in notices}


def test_leaving_the_context_lets_go_of_what_goes_on(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in_the_copy(pool)

    async def serve() -> Any:
        async with make_async_client(scene) as client:
            task = asyncio.create_task(client.migrate("v", "B", request_id="move-v"))
            await until(lambda: is_in_the_copy(scene))
            running = await client.wait("move-v", timeout_seconds=0.1)
            assert (running.reason, running.run.state) == ("timeout", RunState.RUNNING)
        return await task

    outcome = asyncio.run(serve())
    assert (outcome.reason, outcome.run.state) == ("detached", RunState.SUSPENDED)
    let_go(pool)
    with open_client(scene) as client:
        assert client.migrate("v", "B", request_id="move-v").run.state is RunState.SUCCESS


def test_a_hand_on_a_run_cancels_it(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in_the_copy(pool)

    async def serve() -> Any:
        hand = Steering()
        async with make_async_client(scene) as client:
            task = asyncio.create_task(client.migrate("v", "B", steering=hand))
            await until(lambda: is_in_the_copy(scene))
            hand.cancel("the service", "no longer wanted")
            return await task

    outcome = asyncio.run(serve())
    assert (outcome.run.state, outcome.cancelled) == (RunState.FAILED, True)
    assert pool.runs_on("v") == ["A"]
