"""The stream of a pool's events, against a simulated pool: looks that it answers, and whom it wakes."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmflow.models import PoolProfile
from lmflow.xapi import async_tasks, attendance, reads
from lmflow.xapi.connection import Connection
from tests.support.pool import SimulatedPool, start_pool

SECONDS = 30.0


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[SimulatedPool]:
    """The lab, thirty times as fast as in earnest."""
    made = start_pool(tmp_path / "pool", "lab", time_scale=30)
    yield made
    made.stop()


@pytest.fixture
def connect(pool: SimulatedPool) -> Iterator[Callable[[], Connection]]:
    """Open connections with a link each; closed after the test."""
    made: list[Connection] = []
    ready = pool.ready
    profile = PoolProfile("lab", (ready["coordinator"],), scheme=ready["scheme"], port=ready["port"])
    profile = dataclasses.replace(profile, catch_up_timeout_seconds=SECONDS)

    def open_one() -> Connection:
        made.append(Connection.open(profile, lambda: str(ready["password"])))
        return made[-1]

    yield open_one
    for handle in made:
        handle.close()


class Bell:
    """Counts how often it was rung, and lets somebody wait for the next time."""

    def __init__(self) -> None:
        self.rung = threading.Semaphore(0)
        self.times = 0

    def __call__(self) -> None:
        self.times += 1
        self.rung.release()

    def wait(self) -> None:
        assert self.rung.acquire(timeout=SECONDS)


def submit(conn: Connection, pool: SimulatedPool, vm: str) -> str:
    refs = (pool.find_ref("VM", vm), pool.find_ref("host", "xcp-b"))
    task_ref = conn.start("VM.pool_migrate", *refs, {"live": "true"}, attempt_id=f"a-{vm}")
    return str(conn.find_uuid("task", task_ref))


def see(conn: Connection, task_uuid: str, vm_uuid: str) -> tuple[Any, ...]:
    """Make one look, answered as the connection answers; without the free memory, which changes by itself.

    A fraction has one digit less in XML than in JSON.
    """
    with conn.look():
        task = async_tasks.find_task(conn, task_uuid=task_uuid)
        vm = reads.read_vm(conn, vm_uuid, guest=False)
        hosts = tuple(dataclasses.replace(host, memory_free_bytes=0) for host in reads.read_hosts(conn))
        assert task is not None
        task = dataclasses.replace(task, progress=round(task.progress, 9))
        return task, vm, hosts, attendance.read_attendance(conn, vm_uuid, guest=False)


def test_equal_answers_at_every_moment_of_a_migration(connect: Callable[[], Connection], pool: SimulatedPool) -> None:
    """Calls are made before and after a look: where they agree nothing happened, and the look has to say the same."""
    watching, asking = connect(), connect()
    vm_uuid, bell = pool.uuid("VM", "web-01"), Bell()
    asking.arm()
    task_uuid = submit(asking, pool, "web-01")
    watching.watch(task_uuid=task_uuid, vm_uuid=vm_uuid, wake=bell)
    bell.wait()
    states = set()
    before = see(asking, task_uuid, vm_uuid)
    while len(states) < 2 or before[0].status == "pending":
        told = see(watching, task_uuid, vm_uuid)
        after = see(asking, task_uuid, vm_uuid)
        if before == after:
            assert told == after
            states.add((told[0].status, told[1].resident_on_uuid))
        assert told[0].status in (before[0].status, after[0].status)
        assert told[1].resident_on_uuid in (before[1].resident_on_uuid, after[1].resident_on_uuid)
        before = after
    assert {status for status, _ in states} == {"pending", "success"}


def test_looks_cost_one_call(connect: Callable[[], Connection], pool: SimulatedPool) -> None:
    conn, bell, vm_uuid = connect(), Bell(), pool.uuid("VM", "web-01")
    conn.watch(task_uuid="", vm_uuid=vm_uuid, wake=bell)
    bell.wait()
    assert reads.read_vm(conn, vm_uuid, guest=False) is not None
    seen: list[list[str]] = []
    while ["event.inject"] not in seen:  # what a look has read is not kept when an event came meanwhile
        assert len(seen) < 9, seen
        before = len(pool.audit())
        with conn.look():
            vm, hosts = reads.read_vm(conn, vm_uuid, guest=False), reads.read_hosts(conn)
        assert vm is not None
        assert len(hosts) == 3
        seen.append([call["method"] for call in pool.audit()[before:] if call["method"] != "event.from"])


def test_a_look_sees_what_was_done_just_before_it(connect: Callable[[], Connection], pool: SimulatedPool) -> None:
    conn, other, bell = connect(), connect(), Bell()
    host_ref = pool.find_ref("host", "xcp-c")
    conn.watch(task_uuid="", vm_uuid="", wake=bell)
    bell.wait()
    for call, enabled in (("host.disable", False), ("host.enable", True)) * 5:
        other.call_once(call, host_ref)
        with conn.look():
            assert {h.name_label: h.enabled for h in reads.read_hosts(conn)}["xcp-c"] is enabled


def test_two_hundred_wait_and_only_the_one_concerned_is_woken(
    connect: Callable[[], Connection], pool: SimulatedPool
) -> None:
    conn, vm_uuid = connect(), pool.uuid("VM", "web-01")
    bells = [Bell() for _ in range(200)]
    for number, bell in enumerate(bells):
        conn.watch(task_uuid=f"task-{number}", vm_uuid="", wake=bell)
    mine = Bell()
    conn.watch(task_uuid="", vm_uuid=vm_uuid, wake=mine)
    for bell in (*bells, mine):
        bell.wait()  # the stream begins
    conn.arm()
    submit(conn, pool, "web-01")
    mine.wait()
    assert {bell.times for bell in bells} == {1}
    conn.call_once("host.disable", pool.find_ref("host", "xcp-c"))
    for bell in bells:
        bell.wait()
    assert {bell.times for bell in bells} == {2}


@pytest.mark.parametrize("kind", ["session", "toolstack", "connection"])
def test_a_lost_stream_wakes_and_begins_anew(connect: Callable[[], Connection], pool: SimulatedPool, kind: str) -> None:
    conn, bell, vm_uuid = connect(), Bell(), pool.uuid("VM", "web-01")
    conn.watch(task_uuid="", vm_uuid=vm_uuid, wake=bell)
    bell.wait()
    if kind == "session":
        assert connect().end_session(conn.session_uuid)
    elif kind == "toolstack":
        pool.control("POST", "/toolstack", {"host": "xcp-a", "action": "restart", "how": "KILL"})
    else:
        conn.link.stream.interrupt()
    bell.wait()  # it broke
    bell.wait()  # it goes on
    with conn.look():
        seen = reads.read_vm(conn, vm_uuid, guest=False)
    assert seen is not None
    assert seen == reads.read_vm(connect(), vm_uuid, guest=False)


def test_a_closed_link_ends_the_thread_at_once(connect: Callable[[], Connection]) -> None:
    conn, bell = connect(), Bell()
    conn.watch(task_uuid="", vm_uuid="", wake=bell)
    bell.wait()
    (thread,) = (each for each in threading.enumerate() if each.name == "lmflow-events")
    conn.close()
    thread.join(5)
    assert not thread.is_alive()
