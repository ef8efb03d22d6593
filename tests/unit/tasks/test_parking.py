"""A step that is parked is executed again, and what comes of it is what would have come of it in one piece."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from taskflow import flow
from taskflow.patterns import linear_flow

from lmflow.db.database import Database
from lmflow.db.owner import current_owner
from lmflow.db.runs import FlowSpec
from lmflow.exceptions import FlowSuspended, MigrationFailedError, Parked, UnreachableError
from lmflow.models import VM, MoveRequest, Notice, Run, Waits
from lmflow.runner.engine import run_flow
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.other_operations import wait_while_busy
from lmflow.visualize import EXAMPLE_REQUEST
from tests.support.overviews import make_vm


class First(BaseTask):
    """Does nothing; the pool does not answer its revert at first."""

    NAME = "first"
    DURABLE = False

    def act(self, context: Context, **inputs: Any) -> str:
        return "done"

    def undo(self, context: Context) -> None:
        Second.log.append("undo")
        if Second.log.count("undo") < 3:
            raise UnreachableError("away")


class Second(BaseTask):
    """Waits twice, then fails."""

    NAME = "second"
    log: ClassVar[list[str]] = []

    def act(self, context: Context, **inputs: Any) -> str:
        self.log.append("act")
        with context.keeping("second", list[int]) as waits:
            while len(waits) < 2:
                waits.append(1)
                context.wait(60)
        raise MigrationFailedError("it failed")


def make_flow() -> flow.Flow:
    """Compose the two."""
    return linear_flow.Flow("move").add(First(), Second())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.open(f"sqlite:///{tmp_path}/lmflow.db")
    yield made
    made.close()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def begin(database: Database, told: list[str]) -> Callable[..., tuple[Context, Run]]:
    """Create a run whose waits park at once, or never: ``begin(parks=False)``. ``told`` are its messages."""

    def call(*, parks: bool = True, **options: Any) -> tuple[Context, Run]:
        request = MoveRequest.from_json(EXAMPLE_REQUEST)
        request = dataclasses.replace(request, options=dataclasses.replace(request.options, **options))
        factory = f"{__name__}:make_flow"
        run, fence = database.runs.create(
            request,
            kind="migrate",
            owner=current_owner(),
            lease_seconds=60,
            flows=tuple(FlowSpec(name, factory, {}) for name in ("move", "settle")),
        )
        none: Any = None
        patience = 0.0 if parks else float("inf")

        def note(notice: Notice) -> None:
            if notice.kind == "message":
                told.append(notice.text)

        context = Context(
            none,
            database,
            fence,
            run.uuid,
            request,
            Waits(poll_seconds=0.001, settle_seconds=60),
            notify=note,
            patience_seconds=lambda: patience,
        )
        return context, run

    return call


def test_a_flow_that_is_parked_also_while_it_reverts_ends_as_any_other(
    begin: Callable[..., tuple[Context, Run]], database: Database
) -> None:
    context, run = begin()
    Second.log.clear()
    parked = 0
    while True:
        try:
            state = run_flow(context, run, "move")
            break
        except Parked:
            parked += 1
            context.alarm.clear()
    assert (state, parked) == ("REVERTED", 4)
    assert Second.log == ["act"] * 3 + ["undo"] * 3
    database.barrier(context.fence)
    assert {atom.name: atom.state for atom in database.atoms(run, "move")} == {
        "first": "REVERTED",
        "second": "REVERTED",
    }
    assert [e.data["text"] for e in database.events.list(run.uuid, kind="failure")] == ["it failed"]
    assert not database.events.list(run.uuid, kind="left")
    assert context.kept == {}


def drive(context: Context, work: Callable[[], Any]) -> tuple[Any, int]:
    """Do the work again for as long as it parks; return its result and how often it did."""
    parked = 0
    while True:
        try:
            return work(), parked
        except Parked:
            parked += 1
            context.alarm.clear()


def look_at(operations: list[tuple[str, ...]]) -> Callable[[], VM]:
    vm = make_vm("web-01", "a")
    looks = iter(operations)
    return lambda: dataclasses.replace(vm, current_operations=next(looks))


@pytest.mark.parametrize("parks", [True, False])
def test_another_operation_is_waited_for_parked_or_not(
    begin: Callable[..., tuple[Context, Run]], told: list[str], parks: bool
) -> None:
    context, _ = begin(parks=parks)
    look = look_at([("snapshot",), ("snapshot",), ()])
    vm, parked = drive(context, lambda: wait_while_busy(context, look, lambda seen: seen))
    assert vm.current_operations == ()
    assert len(told) == 2
    assert parked == (2 if parks else 0)
    assert context.kept == {}


def test_the_time_for_another_operation_counts_over_parks(begin: Callable[..., tuple[Context, Run]]) -> None:
    context, _ = begin()
    now = [1000.0]
    context.clock = lambda: now[0]
    look = look_at([("snapshot",)] * 3)
    seconds = context.waits.operation_seconds
    with pytest.raises(Parked):
        wait_while_busy(context, look, lambda seen: seen)
    now[0] += seconds - 1
    with pytest.raises(Parked):
        wait_while_busy(context, look, lambda seen: seen)
    now[0] += 1
    assert wait_while_busy(context, look, lambda seen: seen).current_operations == ("snapshot",)


class Silent(BaseTask):
    """The pool does not answer it, unless ``answers`` says so; then it waits."""

    NAME = "silent"

    def __init__(self) -> None:
        super().__init__()
        self.answers = False

    def act(self, context: Context, **inputs: Any) -> None:
        if not self.answers:
            raise UnreachableError("away")
        context.wait(60)

    def undo(self, context: Context) -> None:
        self.act(context)


def test_the_time_for_a_silent_pool_counts_over_parks_and_from_its_last_answer(
    begin: Callable[..., tuple[Context, Run]],
) -> None:
    context, _ = begin()
    now = [1000.0]
    context.clock = lambda: now[0]
    step, seconds = Silent(), context.waits.pool_seconds
    for answers in (False, True, False, False):
        step.answers = answers
        with pytest.raises(Parked):
            step.execute(context)
        now[0] += seconds / 2 + 1
    with pytest.raises(FlowSuspended) as why:
        step.execute(context)
    assert why.value.reason == "unreachable"


def test_parking_is_no_failure(begin: Callable[..., tuple[Context, Run]], database: Database) -> None:
    context, run = begin()
    step = Silent()
    with pytest.raises(Parked):
        step.execute(context)
    with pytest.raises(Parked):
        step.revert(context)
    assert [e.kind for e in database.events.list(run.uuid)] == ["created"]
