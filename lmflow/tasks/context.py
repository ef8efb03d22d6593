"""The live things a task may use. Injected transiently: none of it is ever stored."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from lmflow.db.database import Database
from lmflow.db.fence import Fence
from lmflow.exceptions import FlowSuspended, LeaseLost, UnreachableError
from lmflow.models import MoveRequest, Notice, Site, Waits
from lmflow.tasks.steering import CancelWish, Standing, Steering
from lmflow.xapi.connection import Connection


def ignore_notice(notice: Notice) -> None:
    """Drop a notice: what is done when nobody watches."""


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
    """One owner's hold on one run. ``steering`` and ``lost`` are set from other threads."""

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
    lost: threading.Event = dataclasses.field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    started_at: float = dataclasses.field(default_factory=time.monotonic)

    def check_hold(self) -> None:
        """Raise LeaseLost or FlowSuspended when this owner may, or shall, not go on."""
        if self.lost.is_set():
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
        """Wait, but wake at once when told to stop; then raise as ``check_hold``."""
        self.steering.stop.wait(seconds)
        self.check_hold()

    def pause_for_pool(self, since: float, error: UnreachableError) -> None:
        """Wait a moment for a pool that does not answer; FlowSuspended once it has not for ``waits.pool_seconds``."""
        if self.clock() - since > self.waits.pool_seconds:
            raise FlowSuspended("unreachable", error.message)
        self.pause(self.waits.poll_seconds)

    def adopt_session(self) -> None:
        """Make the present session the one that the lease names, and allow it to make changing calls.

        Renews the lease under a new fencing token and stores the session's UUID in that one transaction; an owner
        whose lease was taken gets LeaseLost here and never sends again.
        """
        if not self.connection.armed:
            self.database.leases.store_session(self.fence, self.connection.session_uuid)
            self.connection.arm()

    def fence_off(self) -> None:
        """End our own session after a call without a reply, so that the call cannot begin any more, and log in anew."""
        before = self.connection.session_uuid
        self.connection.login_again()
        self.connection.end_session(before)
        self.adopt_session()

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        """Append an event to the run, durably, before going on."""
        self.database.events.append(self.fence, kind, data)

    def say(self, kind: str, text: str, *, atom: str = "", state: str = "", progress: float | None = None) -> None:
        """Tell whoever watches; nothing depends on it."""
        self.notify(Notice(kind=kind, text=text, run_uuid=self.run_uuid, atom=atom, state=state, progress=progress))
