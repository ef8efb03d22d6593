"""The live things a task may use. Injected transiently: none of it is ever stored."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from lmflow.db.database import Database
from lmflow.db.fence import Fence
from lmflow.exceptions import FlowSuspended, LeaseLost, Parked, UnreachableError
from lmflow.models import MoveRequest, Notice, Site, Waits
from lmflow.tasks.steering import CancelWish, Standing, Steering
from lmflow.tasks.waking import Alarm
from lmflow.xapi.connection import Connection
from lmflow.xapi.stream import Watcher

T = TypeVar("T")


def ignore_notice(notice: Notice) -> None:
    """Drop a notice: what is done when nobody watches."""


def has_endless_patience() -> float:
    """Return how long a wait may hold its thread where the run has one for itself: for ever."""
    return math.inf


@dataclasses.dataclass(slots=True)
class Watched:
    """What the run watches in the pool, until it watches something else. ``watcher`` tells the task's progress."""

    task_uuid: str
    vm_uuid: str
    watcher: Watcher


@dataclasses.dataclass(slots=True)
class Cancelling:
    """What this owner has heard, seen and done about wishes to cancel.

    ``asked`` is the latest stored request, ``limit`` the wish that a limit of the run made; ``lock`` is for those two
    that several steps look at: ``limit`` and ``standing``. ``asked_of``: the task that a cancel was sent for last;
    ``sent_to``: the one of which the pool said that it took it.
    """

    asked: CancelWish | None = None
    limit: CancelWish | None = None
    standing: Standing | None = None
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    answered: list[CancelWish] = dataclasses.field(default_factory=list)
    seen_cancellable: bool = False
    sent_to: str = ""
    asked_of: str = ""
    since: float | None = None


@dataclasses.dataclass(slots=True)
class Context:
    """One owner's hold on one run. ``steering`` and ``lost`` are set from other threads, which then ring ``alarm``.

    ``patience_seconds`` says, whenever it is asked, how long a wait may hold its thread before it parks. ``kept`` is
    what waits remember while they are parked: live objects of this process, none of which is needed after a crash.
    ``watched`` stays open until the run watches something else, or ends here: meanwhile looks cost few calls.
    """

    connection: Connection
    database: Database
    fence: Fence
    run_uuid: str
    request: MoveRequest
    waits: Waits
    site: Site = dataclasses.field(default_factory=Site)
    notify: Callable[[Notice], None] = ignore_notice
    steering: Steering = dataclasses.field(default_factory=Steering)
    cancelling: Cancelling = dataclasses.field(default_factory=Cancelling)
    lost: bool = False
    clock: Callable[[], float] = time.monotonic
    started_at: float = dataclasses.field(default_factory=time.monotonic)
    patience_seconds: Callable[[], float] = has_endless_patience
    kept: dict[str, Any] = dataclasses.field(default_factory=dict)
    alarm: Alarm = dataclasses.field(default_factory=Alarm)
    watched: Watched | None = None

    def check_hold(self) -> None:
        """Raise LeaseLost or FlowSuspended when this owner may, or shall, not go on."""
        if self.lost:
            raise LeaseLost(f"the lease of run {self.run_uuid} was lost")
        if self.steering.stop.is_set():
            raise FlowSuspended("detached", "lmflow was told to stop watching")

    def check_deadline(self) -> None:
        """Raise FlowSuspended when the run has had its time; what is under way in the pool goes on."""
        if self.clock() - self.started_at > self.waits.deadline_seconds:
            raise FlowSuspended("deadline", f"not done within {self.waits.deadline_seconds:g} s; the pool may go on")

    def find_wishes(self) -> tuple[CancelWish, ...]:
        """Return the wishes to cancel this run that were not answered yet.

        A stored one, one of the caller's hand, one of a limit that has passed.
        """
        made = (self.cancelling.asked, self.steering.wish, self.cancelling.limit)
        return tuple(w for w in made if w is not None and not any(w is a for a in self.cancelling.answered))

    def pause(self, seconds: float) -> None:
        """Wait in this thread, but wake at once when told to stop; then raise as ``check_hold``.

        For waits between a change and the proof of it: its step cannot be left there without ending our own session.
        """
        self.steering.stop.wait(seconds)
        self.check_hold()

    def wait(
        self,
        seconds: float,
        *,
        task_uuid: str = "",
        vm_uuid: str = "",
        meanwhile: Callable[[], None] | None = None,
        parks: bool = True,
    ) -> None:
        """Wait until that task or VM has changed, somebody rings, or the time is over; then raise as ``check_hold``.

        The caller looks again afterwards. Returns at once when these two were not watched yet (see ``watch``).
        ``meanwhile`` is called each ``waits.poll_seconds``. Once the thread was held for as long as may be, Parked
        leaves the flow as a crash would: for steps only that may begin anew here, and remember with ``keeping``; others
        wait with ``parks`` off.
        """
        self.check_hold()
        if (task_uuid or vm_uuid) and self.watch(task_uuid, vm_uuid):
            return
        rung, began = threading.Event(), time.monotonic()
        self.alarm.listen(rung.set)
        self.steering.listen(rung.set)
        try:
            if self.steering.stop.is_set():
                rung.set()
            while not rung.is_set():
                held = time.monotonic() - began
                if held >= seconds:
                    break
                patience = self.patience_seconds() if parks else math.inf
                if held >= patience:
                    raise Parked(seconds - held, task_uuid=task_uuid, vm_uuid=vm_uuid)
                rung.wait(min(seconds - held, patience - held, self.waits.poll_seconds))
                if meanwhile is not None:
                    meanwhile()
        finally:
            self.steering.forget(rung.set)
            self.alarm.listen(None)
        self.alarm.clear()
        self.check_hold()

    def watch(self, task_uuid: str, vm_uuid: str) -> bool:
        """Have the alarm rung when something of these changes; False when they are watched already.

        To be called before the look after which they are waited for: what changes in between is then not missed.
        """
        watched = self.watched
        if watched is not None and (watched.task_uuid, watched.vm_uuid) == (task_uuid, vm_uuid):
            return False
        self.unwatch()
        watcher = self.connection.watch(task_uuid=task_uuid, vm_uuid=vm_uuid, wake=self.alarm.ring)
        self.watched = Watched(task_uuid, vm_uuid, watcher)
        return True

    def find_progress(self) -> float | None:
        """Return the watched task's progress as last heard of, from 0.0 to 1.0; None where nothing was."""
        return self.watched.watcher.progress if self.watched is not None else None

    def unwatch(self) -> None:
        """Watch nothing any more."""
        watched, self.watched = self.watched, None
        if watched is not None:
            watched.watcher.close()

    @contextlib.contextmanager
    def keeping(self, what: str, make: Callable[[], T]) -> Iterator[T]:
        """Yield what a wait remembers: made anew, unless its step was parked in that wait. Dropped at its end."""
        kept = self.kept.get(what)
        if kept is None:
            kept = self.kept[what] = make()
        parked = False
        try:
            yield kept
        except Parked:
            parked = True
            raise
        finally:
            if not parked:
                self.kept.pop(what, None)

    def pause_for_pool(self, since: float, error: UnreachableError, *, parks: bool = False) -> None:
        """Wait a moment for a pool that does not answer; FlowSuspended once it has not for ``waits.pool_seconds``.

        ``parks``: the step may be left there, and begin anew.
        """
        if self.clock() - since > self.waits.pool_seconds:
            raise FlowSuspended("unreachable", error.message)
        self.wait(self.waits.poll_seconds, parks=parks)

    def adopt_session(self) -> None:
        """Make the present session the one that the lease names, and allow it to make changing calls.

        Renews the lease under a new fencing token and stores the session's UUID in that one transaction; an owner
        whose lease was taken gets LeaseLost here and never sends again.
        """
        if not self.connection.armed:
            session_uuid = self.connection.session_uuid  # another run's login may replace it at any moment
            self.database.leases.store_session(self.fence, session_uuid)
            self.connection.arm(session_uuid)

    def fence_off(self) -> None:
        """End the session of a call without a reply, so that it cannot begin any more, and adopt the present one."""
        self.connection.fence_off()
        self.adopt_session()

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        """Append an event to the run, durably, before going on."""
        self.database.events.append(self.fence, kind, data)

    def record_later(self, kind: str, data: Mapping[str, Any]) -> None:
        """Append an event to the run with its next write: for what no change to the pool may need after a crash."""
        self.database.events.defer(self.fence, kind, data)

    def say(self, kind: str, text: str, *, atom: str = "", state: str = "", progress: float | None = None) -> None:
        """Tell whoever watches; nothing depends on it."""
        self.notify(Notice(kind=kind, text=text, run_uuid=self.run_uuid, atom=atom, state=state, progress=progress))
