"""Keeping the leases of runs alive while they go on, and hearing what others ask of them: one thread for them all."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Mapping, Sequence

from lmflow.db.control import ControlRequest
from lmflow.db.database import Database
from lmflow.exceptions import LeaseLost, UnreachableError
from lmflow.models import Waits
from lmflow.tasks import limits
from lmflow.tasks.cancelling import ANSWER
from lmflow.tasks.context import Context
from lmflow.tasks.steering import CancelWish

LOG = logging.getLogger(__name__)

CANCEL = "cancel"

# Progress that is less than this is not worth a write.
_STEP = 0.01


@dataclasses.dataclass(slots=True, eq=False)
class Held:
    """A run that is held here. ``heard``: the number of its latest request, behind ``lock``.

    ``parked``: no thread works on it.
    ``attempt_uuid`` and ``progress``: of its migration, as they were told last, while it is parked.
    """

    context: Context
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    heard: int = 0
    parked: bool = False
    attempt_uuid: str = ""
    progress: float = 0.0


class Beat:
    """Holds runs: renews their leases each ``waits.heartbeat_seconds``, in one transaction.

    A run whose lease is no longer ours is told so: ``context.lost``. Each ``waits.poll_seconds`` it looks for requests
    to cancel one of them, which anybody may store, commits what has waited to be written for ``waits.write_seconds``,
    and keeps the progress of those that are parked. A database that does not answer proves nothing about a lease:
    whoever takes it over meanwhile ends our session in the pool before it may send anything, so that we cannot either.
    """

    def __init__(self, database: Database, waits: Waits) -> None:
        self._database = database
        self._waits = waits
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._over: threading.Event | None = None
        self._heard = 0

    def hold(self, context: Context) -> Held:
        """Keep the run's lease until it is let go of. What was asked of the run before is passed on first.

        Also what an owner before us heard and did not answer. UnreachableError when the database is away for long.
        """
        held = Held(context)
        with self._lock:
            self._held[context.run_uuid] = held
            if self._over is None:
                self._over = threading.Event()
                threading.Thread(target=self._go_on, args=(self._over,), name="lmflow-beat", daemon=True).start()
        try:
            _take_in(held, self._database.control.list(context.run_uuid))
        except BaseException:
            self.let_go(held)
            raise
        return held

    def let_go(self, held: Held) -> None:
        """Do nothing more for that run."""
        with self._lock:
            if self._held.get(held.context.run_uuid) is held:
                del self._held[held.context.run_uuid]
            if not self._held and self._over is not None:
                self._over.set()
                self._over = None

    def list_held(self) -> tuple[Context, ...]:
        """Return the runs that are held now."""
        with self._lock:
            return tuple(held.context for held in self._held.values())

    def _go_on(self, over: threading.Event) -> None:
        waits, renewed = self._waits, time.monotonic()
        while not over.wait(min(waits.heartbeat_seconds, waits.poll_seconds)):
            with self._lock:
                held = dict(self._held)
            try:
                self._hear(held)
                if time.monotonic() - renewed >= waits.heartbeat_seconds:
                    self._renew(held)
                    renewed = time.monotonic()
                self._write(held)
                self._keep_progress([each for each in held.values() if each.parked])
            except UnreachableError as error:
                LOG.warning("the leases of %s could not be renewed: %s", _name(held), error)

    def _hear(self, held: Mapping[str, Held]) -> None:
        found = self._database.control.list_since(self._heard)
        asked: dict[str, list[ControlRequest]] = {}
        for request in found:
            asked.setdefault(request.run_uuid, []).append(request)
        for run_uuid in asked.keys() & held.keys():
            _take_in(held[run_uuid], asked[run_uuid])
        if found:
            self._heard = found[-1].number

    def _renew(self, held: Mapping[str, Held]) -> None:
        for fence in self._database.leases.renew_many([each.context.fence for each in held.values()]):
            _lose(held[fence.run_uuid].context)

    def _write(self, held: Mapping[str, Held]) -> None:
        """Commit what is deferred: a run that does nothing for a while must not keep it to itself."""
        for each in held.values():
            since = each.context.fence.deferred_since
            if since is not None and time.monotonic() - since >= self._waits.write_seconds:
                try:
                    self._database.barrier(each.context.fence)
                except LeaseLost:
                    _lose(each.context)

    def _keep_progress(self, parked: Sequence[Held]) -> None:
        values, fences = {}, []
        for held in parked:
            progress = held.context.find_progress()
            if progress is None or abs(progress - held.progress) < _STEP:
                continue
            if not held.attempt_uuid:
                attempt = self._database.attempts.latest(held.context.run_uuid)
                held.attempt_uuid = attempt.uuid if attempt else ""
            held.progress = progress
            limits.note_progress(held.context, progress)
            values[held.attempt_uuid] = progress
            fences.append(held.context.fence)
            text = f"pool_migrate {progress:.0%}"
            held.context.say("progress", text, atom="await_pool_migrate", progress=progress)
        if values:
            self._database.attempts.progress_many(values, fences)


def _take_in(held: Held, requests: Sequence[ControlRequest]) -> None:
    """Tell the run of the latest of its requests that nobody has heard here or answered anywhere."""
    context = held.context
    with held.lock:
        new = [each for each in requests if each.number > held.heard]
        if not new:
            return
        answers = context.database.events.list(context.run_uuid, kind=ANSWER)
        answered = max((int(event.data["number"]) for event in answers), default=0)
        held.heard = new[-1].number
        for request in new:
            if request.kind == CANCEL and request.number > answered:
                by, reason = str(request.data["by"]), str(request.data["reason"])
                context.cancelling.asked = CancelWish(by, reason, request.number)
                context.alarm.ring()
                context.say("message", f"{by} asks for a cancel" + (f": {reason}" if reason else ""))


def _lose(context: Context) -> None:
    context.lost = True
    context.alarm.ring()


def _name(held: Mapping[str, Held]) -> str:
    return f"run {next(iter(held))}" if len(held) == 1 else f"{len(held)} runs"
