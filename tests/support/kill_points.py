"""Which points there are to kill a command at: recorded from a run that nobody kills, in an order that repeats."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence

from tests.support.kill_flows import AWAIT, FLOWS
from tests.support.kill_reports import CALLS, Point, Watch
from tests.support.kill_runs import Bench, Schedule
from tests.support.pool import is_reading

POLLED = ("event.from", "event.inject", "task.get_by_uuid", "task.get_record", "progress")
"""What is repeated until something has happened; how often is chance."""
FOLLOWED = ("VM", "VBD", "VIF", "host", "host_metrics", "pool")
"""Of these the events tell once a task is waited for: whether a look still asks is chance."""
ASYNC = ("Async.VM.pool_migrate",)
"""Whether it has had an effect is known later than its reply, also where it fails."""
READ_MOMENTS = CALLS
"""At which moments of a call that changes nothing: pool and database are the same at both."""
TRIES = 3
"""On how many VMs a point is waited for that chance has a hand in."""
WALK = 20
"""How many points one migration is killed at, one after the other, where nothing of our own is at stake."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """Something that a process did, the ``nth`` time in its step: a call of the pool, or a commit.

    ``reads``: a call that changed nothing.
    """

    step: str
    what: str
    nth: int
    is_call: bool
    reads: bool = False

    def at(self, moment: str) -> Point:
        """Return a point of it."""
        return Point(self.step, moment, self.what, self.nth, self.reads)


class Recorder(Watch):
    """Writes down calls and commits in the order in which they happened."""

    def __init__(self, bench: Bench, flow: str, vm: str) -> None:
        self.marks: list[Mark] = []
        self._calls: Counter[tuple[str, str]] = Counter()
        self._known = len(bench.pool.audit())
        super().__init__(bench.pool, None, lambda step: bench.enter(FLOWS[flow], vm, step))

    def note(self, point: Point) -> None:
        """Take what the pool was asked since the last commit, then the commit."""
        if point.moment == "before":
            self.catch_up()
            self.marks.append(Mark(point.step, point.what, point.nth, is_call=False))

    def leave(self) -> None:
        """Take what the pool was asked since the last commit of the step that ends."""
        self.catch_up()

    def catch_up(self) -> None:
        """Take what the pool was asked since the last look."""
        new = self._pool.audit()[self._known :]
        self._known += len(new)
        for entry in new:
            self._calls[self.step, entry["method"]] += 1
            nth = self._calls[self.step, entry["method"]]
            reads = is_reading(entry["method"]) or (entry["effect"] is False and entry["method"] not in ASYNC)
            self.marks.append(Mark(self.step, entry["method"], nth, is_call=True, reads=reads))


def record(bench: Bench, flow: str) -> list[Mark]:
    """Let a migration go its way, and return what it did; what is polled stands there once a step."""
    recorder: list[Recorder] = []

    def watch(vm: str) -> Recorder:
        recorder.append(Recorder(bench, flow, vm))
        return recorder[-1]

    outcome = bench.run(Schedule(flow), watch)
    assert (outcome.killed, len(recorder)) == (0, 1), outcome
    recorder[0].catch_up()
    return [mark for mark in recorder[0].marks if mark.nth == 1 or not _is_polled(mark)]


def _is_polled(mark: Mark) -> bool:
    return mark.what in POLLED or (mark.reads and mark.step == AWAIT)


def list_points(flow: str, marks: Sequence[Mark]) -> list[Point]:
    """Return all points of a way's own: of each call both, of each commit both.

    After a commit is the same as before the next one, if nothing was asked of the pool in between: that is one point.
    """
    found: list[Point] = []
    since = FLOWS[flow].since
    own = itertools.dropwhile(lambda mark: bool(since) and mark.step != since, marks)
    for mark, following in itertools.zip_longest(marks_ := list(own), marks_[1:]):
        if mark.is_call:
            found += [mark.at(moment) for moment in (READ_MOMENTS if mark.reads else CALLS)]
        else:
            found.append(mark.at("before"))
            if following is None or following.is_call:
                found.append(mark.at("after"))
    return found


def is_of_servers(point: Point) -> bool:
    """Tell whether a point is one of submit, await, settle or a revert, which all databases are shown."""
    before = ("begin", "record_intent", "observe", "validate", "hooks_before", "claim_vm", "copy_kernel")
    return point.step not in (*before, "eject_local_iso", "connect_storage")


def is_own(point: Point) -> bool:
    """Tell whether lmflow changes the pool at a point, or records what it does; the rest is TaskFlow's, or reads."""
    if point.moment in CALLS:
        return not point.reads and point.what != "task.destroy"
    return point.what not in ("atoms", "progress")


def make_walks(points: Sequence[Point]) -> list[tuple[Point, ...]]:
    """Share points out to migrations that are killed some ``WALK`` times: each from all over the way, in its order."""
    count = -(-len(points) // WALK)
    return [tuple(points[first::count]) for first in range(count)]


def run_schedule(bench: Bench, schedule: Schedule) -> list[Point]:
    """Kill a migration at each of the points, one process after the other; return the points not reached.

    Where the way ends early, because a kill has led around a point, the others have their turn on another VM. One that
    is not met first on a VM of its own is missed, after ``TRIES`` of them where chance has a hand in it.
    """
    left, missed, tries = list(schedule.kills), [], 0
    while left:
        outcome = bench.run(dataclasses.replace(schedule, kills=tuple(left)))
        tries = 0 if outcome.killed else tries + 1
        left = left[outcome.killed :]
        if tries and tries == (TRIES if is_chance(left[0]) else 1):
            missed.append(left.pop(0))
            tries = 0
    return missed


def is_chance(point: Point) -> bool:
    """Tell whether it is chance that a migration comes to a point; every other one has to be met.

    It looks again while it waits, by events or by asking, tells progress, and which of the checks that run side by side
    comes first, and so how many have begun or ended by then, is nobody's choice.
    """
    told = point.moment in ("before", "after")
    # Their reverts run side by side as well, behind that of the step after them.
    beside = "validate_" in point.what or (told and point.step in ("observe", "validate", "~hooks_before"))
    followed = point.reads and is_of_servers(point) and point.what.partition(".")[0] in FOLLOWED
    return point.what in POLLED or (point.reads and point.nth > 1) or beside or followed
