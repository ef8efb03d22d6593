"""Conformance T: tasks from the call to their end. Each case as in xapi's source or seen at a real one."""

from collections.abc import Iterator
from typing import Any

import pytest

from lmflow.simulator.kernel import Options
from lmflow.simulator.migrations.migration import set_copy_seconds
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import world
from tests.support.recorded import lab
from tests.support.wire import WireClient

NULL = "OpaqueRef:NULL"
EPOCH = "19700101T00:00:00Z"
KEPT_COUNT = 200
KEPT_SECONDS, A_DAY_SECONDS = 3900, 86_400
"""Written out here, not taken from the simulated pool. Source: xapi_globs.ml, db_gc.ml."""


class Pool(WireClient):
    """A client that moves one VM to and fro between the two hosts that it can be on."""

    def __init__(self, pool: SimulatedPool, *, is_other: bool) -> None:
        super().__init__(pool)
        self.login()
        names = lab.OTHER_NAMES if is_other else {}
        self.vm = self.ref("VM", names.get("vm-run", "vm-run"))
        self.hosts = [self.ref("host", names.get(name, name)) for name in ("h1", "h2")]
        set_copy_seconds(pool, self.call("VM.get_uuid", self.vm), 4.0)

    def destination(self) -> str:
        here = self.call("VM.get_resident_on", self.vm)
        return next(host for host in self.hosts if host != here)

    def migrate(self) -> str:
        return str(self.call("Async.VM.pool_migrate", self.vm, self.destination(), {"live": "true"}))

    def wait_until(self, task: str, **fields: Any) -> dict[str, Any]:
        """Wait until a task's record has these values."""
        token = ""
        while True:
            batch = self.events([f"task/{task}"], token)
            token = batch["token"]
            for event in batch["events"]:
                snapshot = dict(event["snapshot"])
                if all(snapshot[name] == value for name, value in fields.items()):
                    return snapshot


@pytest.fixture(scope="module", params=["recorded", "second"])
def wire(request: pytest.FixtureRequest) -> Iterator[Pool]:
    is_other = request.param == "second"
    description = lab.make_other(lab.make_lab()) if is_other else lab.make_lab()
    with SimulatedPool(Options(time_scale=40.0), world=world.load(description)) as pool:
        yield Pool(pool, is_other=is_other)


def test_t01_an_async_call_gives_its_task_at_once(wire: Pool) -> None:
    task = wire.migrate()
    assert task in wire.call("task.get_all")
    assert wire.call("task.get_status", task) == "pending"
    assert wire.wait_for_task(task)["status"] == "success"
    late = wire.call("Async.VM.pool_migrate", "OpaqueRef:none", wire.hosts[0], {})
    assert wire.wait_for_task(late)["error_info"] == ["HANDLE_INVALID", "VM", "OpaqueRef:none"]


def test_t02_a_fresh_record_is_pending_and_on_the_coordinator(wire: Pool) -> None:
    task = wire.migrate()
    record = wire.wait_until(task, status="pending")
    assert record["name_label"] == "Async.VM.pool_migrate"
    assert (record["progress"], record["type"], record["result"], record["error_info"]) == (0.0, "<none/>", "", [])
    assert record["finished"] == EPOCH != record["created"]
    assert (record["subtask_of"], record["backtrace"]) == (NULL, "()")
    assert record["resident_on"] in wire.hosts
    wire.wait_for_task(task)


def test_t06_a_cancelled_task_has_no_error(wire: Pool) -> None:
    task, before = wire.migrate(), wire.call("VM.get_resident_on", wire.vm)
    wire.wait_until(task, allowed_operations=["cancel"])
    assert wire.call("task.cancel", task) == ""
    ended = wire.wait_for_task(task)
    assert (ended["status"], ended["progress"], ended["error_info"]) == ("cancelled", 1.0, [])
    assert wire.call("VM.get_resident_on", wire.vm) == before


def test_t08_a_cancel_after_the_suspend_is_ignored(wire: Pool) -> None:
    task, destination = wire.migrate(), wire.destination()
    wire.wait_until(task, allowed_operations=["cancel"])
    wire.wait_until(task, allowed_operations=[], status="pending", other_config={"debug_info:cancel_points_seen": "20"})
    assert wire.call("task.cancel", task) == ""
    ended = wire.wait_for_task(task)
    assert (ended["status"], list(ended["current_operations"].values())) == ("success", ["cancel"])
    assert wire.call("VM.get_resident_on", wire.vm) == destination


def test_t09_a_finished_task_is_destroyed(wire: Pool) -> None:
    task = wire.call("Async.VM.get_possible_hosts", wire.vm)
    wire.wait_for_task(task)
    assert wire.call("task.destroy", task) == ""
    for call in ("task.get_record", "task.destroy", "task.cancel"):
        assert wire.refuse(call, task) == ["HANDLE_INVALID", "task", task]


def test_t10_a_running_task_is_only_marked_and_collected_at_its_end(wire: Pool) -> None:
    task, destination = wire.migrate(), wire.destination()
    assert wire.call("task.destroy", task) == ""
    record = wire.call("task.get_record", task)
    assert (record["status"], record["current_operations"]) == ("pending", {"task": "destroy"})
    wire.pool.collect()
    store = wire.pool.store
    with store.changed:
        # Whoever collects next may come before anybody can ask for the end.
        assert store.changed.wait_for(
            lambda: not store.exists("task", task) or store.value("task", task, "status") == "success", 20
        )
    wire.pool.collect()
    assert wire.refuse("task.get_record", task) == ["HANDLE_INVALID", "task", task]
    assert wire.call("VM.get_resident_on", wire.vm) == destination


def test_t12_the_oldest_of_too_many_completed_tasks_go(wire: Pool) -> None:
    wire.pool.collect()
    pending = wire.call("task.create", "pending", "")
    done = [wire.call("Async.VM.get_possible_hosts", wire.vm) for _ in range(KEPT_COUNT + 5)]
    wire.wait_for_task(done[-1])
    wire.pool.collect()
    left = wire.call("task.get_all")
    assert KEPT_COUNT - 2 <= len(left) <= KEPT_COUNT
    assert pending in left
    assert done[-1] in left
    assert done[0] not in left


def test_t12_a_completed_task_is_kept_for_65_minutes(wire: Pool) -> None:
    old, young = (wire.call("Async.VM.get_possible_hosts", wire.vm) for _ in range(2))
    for task in (old, young):
        wire.wait_for_task(task)
    store, clock = wire.pool.store, wire.pool.clock
    with store.lock:
        for task in store.find("task", status="success"):
            if task not in (old, young):
                store.destroy("task", task)  # of too many the oldest go, which is another case
        for task, seconds in ((old, KEPT_SECONDS + 60), (young, KEPT_SECONDS - 600)):
            store.update("task", task, finished=clock.stamp(clock.now() - seconds))
        wire.pool.tasks.collect()
        assert (store.exists("task", old), store.exists("task", young)) == (False, True)


def test_t12_a_pending_task_that_does_not_move_for_a_day_goes(wire: Pool) -> None:
    stuck, moving, young = (wire.call("task.create", name, "") for name in ("stuck", "moving", "young"))
    less_ago = wire.pool.clock.stamp(wire.pool.clock.now() - A_DAY_SECONDS + 600)
    long_ago = wire.pool.clock.stamp(wire.pool.clock.now() - A_DAY_SECONDS - 60)
    store, tasks = wire.pool.store, wire.pool.tasks
    # A day is too long for a test; under the lock nobody else collects meanwhile.
    with store.lock:
        for task in (stuck, moving):
            store.update("task", task, created=long_ago)
        store.update("task", young, created=less_ago)
        tasks.collect()
        store.update("task", moving, progress=0.5)
        tasks.collect()
        assert [store.exists("task", task) for task in (stuck, moving, young)] == [False, True, True]
    assert wire.refuse("task.get_status", stuck) == ["HANDLE_INVALID", "task", stuck]


def test_t15_nobody_can_cancel_an_unknown_task(wire: Pool) -> None:
    assert wire.refuse("task.cancel", "OpaqueRef:x") == ["HANDLE_INVALID", "task", "OpaqueRef:x"]


def test_t15_the_task_of_somebody_else_needs_a_permission(wire: Pool) -> None:
    wire.pool.rbac.add_user("reader", "secret", "read-only")
    wire.pool.rbac.add_user("operator", "secret", "pool-operator")
    reader, operator = (
        wire.raw("session.login_with_password", name, "secret", "1.0", "test").value for name in ("reader", "operator")
    )
    task = wire.call("task.create", "of root", "")
    code, permission, _ = wire.raw("task.cancel", reader, task).failure
    assert (code, permission) == ("RBAC_PERMISSION_DENIED", "task.destroy/any")
    assert wire.raw("task.cancel", operator, task).value == ""


def test_t16_a_client_makes_and_ends_a_task(wire: Pool) -> None:
    task = wire.call("task.create", "n", "d")
    assert wire.call("task.set_progress", task, 0.5) == ""
    assert wire.call("task.set_other_config", task, {"a": "b"}) == ""
    assert wire.call("task.set_status", task, "success") == ""
    record = wire.call("task.get_record", task)
    assert (record["status"], record["progress"], record["other_config"]) == ("success", 0.5, {"a": "b"})
    assert (record["finished"], record["allowed_operations"]) == (EPOCH, [])
    assert record["resident_on"] == wire.pool.coordinator_ref


def test_t17_progress_falls_back_when_the_clean_up_begins(wire: Pool) -> None:
    seen: list[float] = []
    store = wire.pool.store

    def listen(_operation: str, cls: str, ref: str) -> None:
        if cls == "task" and store.value("task", ref, "name_label") == "Async.VM.pool_migrate":
            seen.append(store.value("task", ref, "progress"))

    store.listeners.append(listen)
    wire.wait_for_task(wire.migrate())
    store.listeners.remove(listen)
    peak = max(range(len(seen)), key=lambda i: seen[i] if seen[i] < 1 else 0)
    assert seen[peak] == pytest.approx(10 / 11, abs=0.1)
    assert min(seen[peak:]) < 0.6
    assert seen[-1] == 1.0
