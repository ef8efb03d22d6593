"""The ways that callers go, one at a time in their own thread, or many at once on the driver's."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from lmflow.api import asking
from lmflow.api.driving import Driving
from lmflow.exceptions import DamagedError, LmflowError, LockedError, UnreachableError, UsageError
from lmflow.models import Cancellation, MoveRequest, Notice, Outcome, Run
from lmflow.runner import runs
from lmflow.runner.cancels import cancel_run
from lmflow.runner.conditions import is_to_be_taken_up
from lmflow.runner.driver import Way
from lmflow.runner.resolving import Decision, resolve_run
from lmflow.runner.runs import Begun
from lmflow.runner.signals import steered_by_signals
from lmflow.runner.turns import Pause
from lmflow.tasks.steering import Steering

T = TypeVar("T")

_LEFT: tuple[tuple[type[LmflowError], str], ...] = (
    (UnreachableError, "unreachable"),
    (LockedError, "locked"),
    (UsageError, "misconfigured"),
)


class Going(Driving):
    """Driving, and who waits for it."""

    def _go_aside(self, way: Way[T], pool: str = "") -> Future[T]:
        """Go that way on the driver's threads. It is begun in that pool, '' for the only one."""
        return self._driver.go(way, pool or (next(iter(self._profiles)) if len(self._profiles) == 1 else ""))

    def _resume_open(self, steering: Steering) -> list[tuple[Run, Future[Outcome | None]]]:
        """Take up every open run whose owner is gone; None of one that was not begun any more, since all shall end."""
        return [
            (run, self._go_aside(self._resume_unless_stopped(run, steering), run.request.pool_profile))
            for run in self._list_open()
            if is_to_be_taken_up(self._database, run)
        ]

    def _resume_unless_stopped(self, run: Run, steering: Steering) -> Way[Outcome | None]:
        if steering.stop.is_set() or steering.wish is not None:  # whoever wants one to end wants no other begun
            return None
        try:
            return (yield from self._resuming(run, steering))
        except LmflowError as error:  # one pool that cannot be reached is no reason to leave the others' runs
            return self._tell_left(run, error)

    def _await_all(
        self, going: Sequence[tuple[Run, Future[Outcome | None]]], steering: Steering
    ) -> tuple[Outcome, ...]:
        """Wait for all of them, in this thread, which may hear signals. When one raises, the others are let go of."""
        with steered_by_signals(steering, cancel_by=self._cancel_by):
            try:
                ended = [self._driver.outlast(future) for _, future in going]
            except BaseException as error:
                steering.detach()
                if isinstance(error, Exception):
                    for _, future in going:
                        future.exception()
                else:
                    self._driver.drop_all()
                raise
        return tuple(outcome for outcome in ended if outcome is not None)

    def _list_open(self) -> tuple[Run, ...]:
        """Return the open runs, and tell which of them cannot be read."""
        found = self.find_runs(active_only=True, limit=None)
        for damaged in found.damaged:
            self._notify(Notice(kind="message", text=damaged.message, run_uuid=damaged.run_uuid))
        return found.runs

    def _tell_left(self, run: Run, error: LmflowError) -> Outcome:
        text = f"run {run.uuid[:8]} of {run.request.vm_name}: {error.message}"
        self._notify(Notice(kind="message", text=text, run_uuid=run.uuid))
        reason = next((word for kind, word in _LEFT if isinstance(error, kind)), "error")
        place = f"cannot say where {run.request.vm_name} is: {error.message}"
        told = Outcome(run, reason=reason) if isinstance(error, DamagedError) else self._recall(run, reason)
        return dataclasses.replace(told, vm_state=place, advice=error.advice)

    def _cancelling(
        self, run: Run, reason: str, timeout_seconds: float | None, steering: Steering
    ) -> Way[Cancellation]:
        """Have the run cancelled, and say what came of it."""
        return cancel_run(
            self._drive(steering),
            functools.partial(self._open, run.request.pool_profile),
            run,
            by=asking.find_user(),
            reason=reason,
            timeout_seconds=timeout_seconds,
        )

    def _resolving(self, run: Run, runs_on: str, reason: str, steering: Steering) -> Way[Outcome]:
        """Record a person's decision and bring the run to its end by it; all as in ``Client.resolve``."""
        text = reason.strip()
        if not text:
            raise UsageError(
                "a decision needs a reason: it is kept for those who read it later", advice="--reason TEXT"
            )
        decision = Decision(_find_place(run.request, runs_on), asking.find_user(), text)
        opening = functools.partial(self._open, run.request.pool_profile)
        return (yield from resolve_run(self._drive(steering), opening, run, decision))

    def _repairing(self, run: Run, steering: Steering) -> Way[Outcome]:
        """Finish what the reverts of a dirty run could not."""
        if not run.state.is_terminal:
            raise UsageError(f"run {run.uuid[:8]} has not ended", advice=f"lmflow resume {run.uuid[:8]}")
        opening = functools.partial(self._open, run.request.pool_profile)
        return (yield from runs.repair_run(self._drive(steering), opening, run))

    def _go(self, way: Way[T], steering: Steering) -> T:
        """Go that way in this thread, which only waits while a run is driven, and so may hear signals."""
        on: Callable[[], Pause | Begun] = functools.partial(next, way)
        while True:
            try:
                wanted = on()
            except StopIteration as end:
                result: T = end.value
                return result
            on = functools.partial(next, way)
            if isinstance(wanted, Pause):
                waiting = time.sleep if steering.stop.is_set() else steering.stop.wait
                waiting(wanted.seconds)
                continue
            try:
                on = functools.partial(way.send, self._driver.await_end(wanted))
            except BaseException as error:
                on = functools.partial(way.throw, error)


def _find_place(request: MoveRequest, text: str) -> str:
    """Return the UUID of source or destination that the text means, '' for neither; UsageError for another host."""
    if not text:
        return ""
    hosts = {request.source_uuid: request.source_name, request.destination_uuid: request.destination_name}
    found = [u for u, name in hosts.items() if text in (u, name)]
    found = found or [u for u, name in hosts.items() if u.startswith(text) or name.startswith(text)]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"{text!r} is neither the source nor the destination of this run",
        candidates=tuple(hosts.values()),
        advice="say that it runs on neither of them: --nowhere",
    )
