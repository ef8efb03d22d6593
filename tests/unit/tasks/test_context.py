"""A wait wakes, lets go of its thread, or lets go of the run; what it remembers lasts as long as it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.exceptions import FlowSuspended, LeaseLost, Parked, UnreachableError
from lmflow.models import MoveRequest, Waits
from lmflow.tasks.context import Context
from lmflow.visualize import EXAMPLE_REQUEST

LONG = 3600.0


class Pool:
    """A pool that tells of a change when a test says so; ``open`` are those who watch."""

    def __init__(self) -> None:
        self.open: list[Watcher] = []

    def watch(self, *, task_uuid: str, vm_uuid: str, wake: Callable[[], None]) -> Watcher:
        self.open.append(Watcher(self, (task_uuid, vm_uuid), wake))
        return self.open[-1]


class Watcher:
    """Whom a pool tells."""

    progress = 0.25

    def __init__(self, pool: Pool, what: tuple[str, str], wake: Callable[[], None]) -> None:
        self.pool, self.what, self.wake = pool, what, wake

    def close(self) -> None:
        self.pool.open.remove(self)


def make_context(pool: Pool | None = None, *, patience: float = LONG) -> Context:
    connection: Any = pool or Pool()
    none: Any = None
    request = MoveRequest.from_json(EXAMPLE_REQUEST)
    waits = Waits(poll_seconds=0.001)
    return Context(connection, none, none, "run", request, waits, patience_seconds=lambda: patience)


def test_a_wait_ends_with_its_time_and_tells_meanwhile() -> None:
    told: list[None] = []
    make_context().wait(0.02, meanwhile=lambda: told.append(None))
    assert told


@pytest.mark.parametrize("patience", [0.0, 0.01])
def test_a_wait_gives_its_thread_back_and_says_until_when(patience: float) -> None:
    context = make_context(patience=patience)
    context.watch("t", "v")
    with pytest.raises(Parked) as parked:
        context.wait(LONG, task_uuid="t", vm_uuid="v")
    assert (parked.value.task_uuid, parked.value.vm_uuid) == ("t", "v")
    assert 0 < parked.value.seconds <= LONG - patience


def test_one_that_may_not_park_holds_its_thread() -> None:
    make_context(patience=0).wait(0.01, parks=False)


def test_a_wait_that_is_over_does_not_park() -> None:
    make_context(patience=0).wait(0)


def test_a_wait_wakes_when_the_pool_tells_of_a_change() -> None:
    pool = Pool()
    context = make_context(pool)
    context.watch("t", "v")
    threading.Timer(0.02, pool.open[0].wake).start()
    context.wait(LONG, task_uuid="t", vm_uuid="v")


def test_what_changed_between_the_look_and_the_wait_is_not_missed() -> None:
    pool = Pool()
    context = make_context(pool, patience=0)
    context.watch("t", "v")
    pool.open[0].wake()
    context.wait(LONG, task_uuid="t", vm_uuid="v")
    with pytest.raises(Parked):  # it was heard, once
        context.wait(LONG, task_uuid="t", vm_uuid="v")


def test_what_changes_while_a_run_is_being_parked_is_heard_by_whoever_listens_next() -> None:
    pool, heard = Pool(), threading.Event()
    context = make_context(pool, patience=0)
    context.watch("t", "v")
    with pytest.raises(Parked):
        context.wait(LONG, task_uuid="t", vm_uuid="v")
    pool.open[0].wake()
    context.alarm.listen(heard.set)
    assert heard.is_set()


def test_who_did_not_watch_before_looks_again_before_it_waits() -> None:
    pool = Pool()
    context = make_context(pool, patience=0)
    context.wait(LONG, task_uuid="t", vm_uuid="v")
    assert [each.what for each in pool.open] == [("t", "v")]
    assert context.find_progress() == 0.25
    context.wait(LONG, task_uuid="t2", vm_uuid="v")
    assert [each.what for each in pool.open] == [("t2", "v")]
    context.unwatch()
    assert not pool.open
    assert context.find_progress() is None


@pytest.mark.parametrize("before", [True, False])
def test_a_wait_ends_at_once_when_it_is_let_go_of(before: bool) -> None:
    context = make_context()
    if before:
        context.steering.detach()
    else:
        threading.Timer(0.02, context.steering.detach).start()
    with pytest.raises(FlowSuspended) as why:
        context.wait(LONG)
    assert why.value.reason == "detached"


def test_a_cancel_by_hand_wakes_a_wait_which_then_looks() -> None:
    context = make_context()
    threading.Timer(0.02, lambda: context.steering.cancel("ann")).start()
    context.wait(LONG)
    assert [wish.by for wish in context.find_wishes()] == ["ann"]


def test_a_lost_lease_wakes_a_wait_and_ends_it() -> None:
    context = make_context()

    def lose() -> None:
        context.lost = True
        context.alarm.ring()

    threading.Timer(0.02, lose).start()
    with pytest.raises(LeaseLost):
        context.wait(LONG)


def test_a_hand_that_holds_many_runs_does_not_keep_those_that_wait_no_more() -> None:
    context = make_context()
    told: list[None] = []
    context.wait(0)
    context.steering.listen(lambda: told.append(None))
    context.steering.detach()
    assert len(told) == 1
    with pytest.raises(FlowSuspended):
        context.wait(LONG)


def test_what_a_wait_remembers_lasts_over_parks_and_no_longer() -> None:
    context = make_context()
    seen: list[list[int]] = []

    def wait(error: BaseException | None = None) -> None:
        with context.keeping("it", list[int]) as kept:
            seen.append([*kept])
            kept.append(len(seen))
            if error is not None:
                raise error

    for error in (Parked(1), UnreachableError("away")):
        with pytest.raises(type(error)):
            wait(error)
    wait()
    assert seen == [[], [1], []]
    assert context.kept == {}
