"""Tasks over the wire: records, cancel, destroy, loss."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.pool import SimulatedPool
from tests.support.wire import WireClient, in_background

CALL = "VM.pool_migrate"
ARGS = ("vm", "host", {"live": "true"})


class Migration:
    """An operation that does what the test tells it, when the test tells it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()
        self.context: Context | None = None
        self.ended = threading.Event()

    def __call__(self, ctx: Context, _vm: str, _host: str, _options: dict[str, str]) -> None:
        self.context = ctx
        self.entered.set()
        assert ctx.task is not None
        ctx.task.show_cancel()
        try:
            while not self.leave.wait(0.005):
                if ctx.task.cancellable:
                    ctx.task.raise_if_cancelled()
        finally:
            self.ended.set()

    @property
    def ctx(self) -> Context:
        assert self.entered.wait(10)
        assert self.context is not None
        return self.context


@pytest.fixture
def migration(operation: Callable[..., None]) -> Migration:
    made = Migration()
    operation(CALL, made)
    return made


def test_an_async_call_answers_with_a_pending_task(wire: WireClient, migration: Migration) -> None:
    task = wire.call(f"Async.{CALL}", *ARGS)
    assert migration.entered.wait(10)
    record = wire.call("task.get_record", task)
    created, uuid = record.pop("created"), record.pop("uuid")
    assert (created.value[8], created.value[-1]) == ("T", "Z")
    assert len(uuid) == 36
    assert record.pop("finished").value == "19700101T00:00:00Z"
    assert record.pop("allowed_operations") in ([], ["cancel"])
    assert record == {
        "name_label": "Async.VM.pool_migrate",
        "name_description": "",
        "current_operations": {},
        "status": "pending",
        "resident_on": wire.ref("host", "h1"),
        "progress": 0.0,
        "type": "<none/>",
        "result": "",
        "error_info": [],
        "other_config": {},
        "subtask_of": "OpaqueRef:NULL",
        "subtasks": [],
        "backtrace": "()",
    }
    migration.leave.set()
    ended = wire.wait_for_task(task)
    assert (ended["status"], ended["progress"], ended["result"]) == ("success", 1.0, "<value></value>")
    assert ended["allowed_operations"] == []
    assert ended["finished"].value > "2020"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (985661440, "<value>985661440</value>"),
        ("OpaqueRef:x", "<value>OpaqueRef:x</value>"),
        (["a"], "<value><array><data><value>a</value></data></array></value>"),
        (
            {"k": True},
            "<value><struct><member><name>k</name><value><boolean>1</boolean></value></member></struct></value>",
        ),
    ],
)
def test_a_result_is_kept_as_xml(wire: WireClient, operation: Callable[..., None], result: Any, text: str) -> None:
    operation(CALL, lambda *_: result)
    assert wire.wait_for_task(wire.call(f"Async.{CALL}", *ARGS))["result"] == text


def test_a_failure_is_kept_in_the_record(wire: WireClient, operation: Callable[..., None]) -> None:
    def refuse(_ctx: Context, vm: str, *_: Any) -> None:
        raise ApiFailure("VM_BAD_POWER_STATE", vm, "running", "halted")

    operation(CALL, refuse)
    record = wire.wait_for_task(wire.call(f"Async.{CALL}", *ARGS))
    assert record["status"] == "failure"
    assert record["error_info"] == ["VM_BAD_POWER_STATE", "vm", "running", "halted"]
    assert (record["progress"], record["result"]) == (1.0, "")
    assert wire.refuse(CALL, *ARGS) == record["error_info"]


def test_a_synchronous_call_has_a_record_while_it_runs(wire: WireClient, migration: Migration) -> None:
    with in_background(lambda: wire.raw(CALL, wire.session, *ARGS).inner) as call:
        assert migration.entered.wait(10)
        (record,) = wire.call("task.get_all_records").values()
        assert (record["name_label"], record["status"]) == (CALL, "pending")
        migration.leave.set()
    assert call.result == "<value></value>"
    assert wire.call("task.get_all") == []


def test_a_synchronous_call_that_is_cancelled_fails(wire: WireClient, migration: Migration) -> None:
    with in_background(lambda: wire.refuse(CALL, *ARGS)) as call:
        assert migration.entered.wait(10)
        (task,) = wire.call("task.get_all")
        wire.call("task.cancel", task)
    assert call.result == ["TASK_CANCELLED", task]


def test_cancel_becomes_allowed_and_is_lost_past_the_last_point(wire: WireClient, migration: Migration) -> None:
    task = wire.call(f"Async.{CALL}", *ARGS)
    handle = migration.ctx.task
    assert handle is not None
    token = ""
    seen: list[list[str]] = []
    while ["cancel"] not in seen:
        batch = wire.events([f"task/{task}"], token)
        token = batch["token"]
        seen += [event["snapshot"]["allowed_operations"] for event in batch["events"]]
    handle.set_cancellable(False)
    assert wire.call("task.get_allowed_operations", task) == []
    assert wire.call("task.cancel", task) == ""
    assert not handle.cancelled.is_set()
    migration.leave.set()
    assert wire.wait_for_task(task)["status"] == "success"


def test_a_cancelled_task_stays_pending_for_a_moment_and_ends_without_error(
    wire: WireClient, operation: Callable[..., None]
) -> None:
    leave = threading.Event()

    def migrate(ctx: Context, *_: Any) -> None:
        leave.wait(10)
        assert ctx.task is not None
        ctx.task.raise_if_cancelled()

    operation(CALL, migrate)
    task = wire.call(f"Async.{CALL}", *ARGS)
    assert wire.call("task.cancel", task) == ""
    record = wire.call("task.get_record", task)
    assert record["status"] == "pending"
    ((mark, kind),) = record["current_operations"].items()
    assert (mark.startswith("DummyRef:|"), mark.endswith("|task.cancel"), kind) == (True, True, "cancel")
    leave.set()
    ended = wire.wait_for_task(task)
    assert (ended["status"], ended["progress"], ended["error_info"]) == ("cancelled", 1.0, [])
    assert ended["current_operations"] == record["current_operations"]


def test_cancel_of_a_finished_task_has_no_effect(wire: WireClient, operation: Callable[..., None]) -> None:
    operation(CALL, lambda *_: None)
    task = wire.call(f"Async.{CALL}", *ARGS)
    wire.wait_for_task(task)
    assert wire.call("task.cancel", task) == ""
    assert wire.call("task.get_status", task) == "success"
    assert wire.refuse("task.cancel", "OpaqueRef:x") == ["HANDLE_INVALID", "task", "OpaqueRef:x"]


def test_cancel_as_async_gives_no_task(wire: WireClient, migration: Migration) -> None:
    task = wire.call(f"Async.{CALL}", *ARGS)
    dummy = wire.call("Async.task.cancel", task)
    assert dummy.startswith("DummyRef:|")
    assert dummy.endswith("|Async.task.cancel")
    assert wire.wait_for_task(task)["status"] == "cancelled"


def test_destroy_only_marks_a_pending_task(wire: WireClient, migration: Migration) -> None:
    task = wire.call(f"Async.{CALL}", *ARGS)
    assert wire.call("task.destroy", task) == ""
    assert wire.call("task.get_current_operations", task) == {"task": "destroy"}
    migration.leave.set()
    assert wire.wait_for_task(task)["status"] == "success"
    assert wire.call("task.destroy", task) == ""
    assert wire.refuse("task.destroy", task) == ["HANDLE_INVALID", "task", task]


def test_the_attempt_header_is_in_the_record_from_its_first_event(wire: WireClient, migration: Migration) -> None:
    header = {"X-Http-Other-Config-LMflow-Attempt": "Abc-123"}
    token = wire.events(["task"], timeout_seconds=0.0)["token"]
    task = wire.call(f"Async.{CALL}", *ARGS, headers=header)
    (event, *_) = wire.events(["task"], token)["events"]
    assert (event["ref"], event["operation"]) == (task, "add")
    assert event["snapshot"]["other_config"] == {"http:lmflow-attempt": "Abc-123"}
    wire.call("task.add_to_other_config", task, "mine", "1")
    migration.leave.set()
    assert wire.wait_for_task(task)["other_config"] == {"http:lmflow-attempt": "Abc-123", "mine": "1"}


def test_a_pool_may_ignore_the_attempt_header(
    make_pool: Callable[..., SimulatedPool], operation: Callable[..., None]
) -> None:
    operation(CALL, lambda *_: None)
    wire = WireClient(make_pool(ignore_attempt_header=True))
    wire.login()
    task = wire.call(f"Async.{CALL}", *ARGS, headers={"X-Http-Other-Config-lmflow-attempt": "a"})
    assert wire.call("task.get_other_config", task) == {}


def test_a_task_outlives_its_session(wire: WireClient, migration: Migration) -> None:
    task = wire.call(f"Async.{CALL}", *ARGS)
    assert migration.entered.wait(10)
    wire.call("session.logout")
    wire.login()
    migration.leave.set()
    assert wire.wait_for_task(task)["status"] == "success"


def test_tasks_are_lost_with_the_coordinator_and_their_operations_notice(
    wire: WireClient, migration: Migration
) -> None:
    task = wire.call(f"Async.{CALL}", *ARGS)
    handle = migration.ctx.task
    assert handle is not None
    token = wire.events([f"task/{task}"])["token"]
    wire.pool.tasks.lose_all()
    assert handle.lost
    handle.set_progress(0.5)
    handle.set_cancellable(True)
    migration.leave.set()
    assert migration.ended.wait(10)
    assert wire.refuse("task.get_record", task) == ["HANDLE_INVALID", "task", task]
    batch = wire.events([f"task/{task}"], token, 1.0)
    assert (batch["events"], batch["valid_ref_counts"]["task"]) == ([], 0)


def test_the_audit_log_names_the_task_and_when_the_effect_began(wire: WireClient, migration: Migration) -> None:
    task = wire.call(f"Async.{CALL}", *ARGS)
    (entry,) = [e for e in wire.pool.audit.entries() if e.method == f"Async.{CALL}"]
    ctx = migration.ctx
    assert (entry.task, entry.outcome, entry.effect) == (task, "ok", None)
    ctx.took_effect()
    assert entry.effect is True
    wire.call("task.cancel", task)
    wire.wait_for_task(task)
    assert entry.effect is True


def test_a_refused_operation_took_no_effect(wire: WireClient, operation: Callable[..., None]) -> None:
    def refuse(*_: Any) -> None:
        raise ApiFailure("HOST_DISABLED", "OpaqueRef:h")

    operation(CALL, refuse)
    wire.wait_for_task(wire.call(f"Async.{CALL}", *ARGS))
    (entry,) = [e for e in wire.pool.audit.entries() if e.method == f"Async.{CALL}"]
    assert entry.effect is False


def test_finished_records_go_after_65_minutes(
    make_pool: Callable[..., SimulatedPool], operation: Callable[..., None]
) -> None:
    operation(CALL, lambda *_: None)
    wire = WireClient(make_pool(time_scale=20_000.0))
    wire.login()
    task = wire.call(f"Async.{CALL}", *ARGS)
    assert wire.wait_for_task(task)["status"] == "success"
    wire.pool.clock.wait(4000.0)
    wire.pool.tasks.collect()
    assert wire.refuse("task.get_status", task) == ["HANDLE_INVALID", "task", task]


def test_more_than_200_records_push_out_the_oldest_finished(wire: WireClient, migration: Migration) -> None:
    running = wire.call(f"Async.{CALL}", *ARGS)
    tasks = wire.pool.tasks
    handles = [tasks.create("x", resident_on=wire.ref("host", "h1")) for _ in range(205)]
    for handle in handles:
        tasks.finish(handle, "success")
    tasks.collect()
    left = wire.pool.store.refs("task")
    assert len(left) == 200
    assert running in left
    assert handles[0].ref not in left
    assert handles[-1].ref in left
    migration.leave.set()
