"""One driver, many engines: runs that do something occupy a few threads, runs that wait for their pool occupy none."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

from lmflow.db.database import Database
from lmflow.exceptions import FlowSuspended, LeaseLost, Parked
from lmflow.models import Outcome, Run, Waits
from lmflow.runner import ending
from lmflow.runner.heartbeat import Beat
from lmflow.runner.retrying import Handed
from lmflow.runner.runs import Begun, Work, go_on, make_context, make_locked, release, reported_loss, say_begun
from lmflow.runner.signals import steered_by_signals
from lmflow.runner.turns import Pause, Steps, Turn, Turns
from lmflow.tasks.context import Context

T = TypeVar("T")

THREADS = 8
"""For the runs of one driver, at a time."""

Way = Generator[Pause | Begun, Any, T]
"""What a caller wants done: it pauses, and asks for what it has begun to be driven, of which it gets the outcome."""


class Driver:
    """Drives the runs of one process, each in stretches: from where it stands to its end, or until a step parks.

    Then its engine is dropped and its thread is free for others. An event of its pool, the end of its time, a request,
    its owner's hand or a lost lease wakes it: its flow is loaded again, and the step that had parked is executed again.
    """

    def __init__(self, database: Database, waits: Waits, *, threads: int = THREADS) -> None:
        self._waits = waits
        self._turns = Turns(threads)
        self._beat = Beat(database, waits)

    def drive(self, begun: Begun) -> Future[Outcome]:
        """Drive a run that is ours; the future has its outcome, or the error that it was let go of with."""
        return self._turns.begin(begun.run.request.pool_profile, lambda turn: self._ride(begun, turn))

    def await_end(self, begun: Begun) -> Outcome:
        """Drive a run and wait here for its outcome, steered by signals in the main thread.

        Whoever is interrupted in that, by a second signal, leaves the run at once: its lease is given back.
        """
        drive = begun.drive
        with steered_by_signals(drive.steering, cancel_by=drive.cancel_by):
            future = self.drive(begun)
            try:
                return self.outlast(future)
            except BaseException:
                if not future.done():
                    begun.context.connection.close()
                    release(begun.context)
                raise

    def outlast(self, future: Future[T]) -> T:
        """Wait in this thread for the end of one that is driven, and return its result.

        The wait begins anew each ``waits.poll_seconds``: a signal that comes in the very moment in which a thread
        begins to wait for a lock is not handled before that is over (source: CPython's PyThread_acquire_lock_timed).
        """
        while not concurrent.futures.wait((future,), timeout=self._waits.poll_seconds).done:
            pass
        return future.result()

    def is_at_rest(self, count: int) -> bool:
        """Tell whether so many runs are held here and all of them are parked."""
        held = self._beat.list_held()
        return len(held) == count and self._turns.resting

    def drop_all(self) -> None:
        """Give all leases back at once; what the pools have begun goes on."""
        for context in self._beat.list_held():
            context.connection.close()
            release(context)

    def go(self, way: Way[T], pool: str) -> Future[T]:
        """Go a caller's way without a thread of his, and drive what he begins on it. It is begun in that pool."""
        return self._turns.begin(pool, lambda turn: self._follow(way, turn))

    def _follow(self, way: Way[T], turn: Turn[T]) -> Steps[T]:
        on: Callable[[], Pause | Begun] = functools.partial(next, way)
        while True:
            try:
                wanted = on()
            except StopIteration as end:
                result: T = end.value
                return result
            on = functools.partial(next, way)
            if isinstance(wanted, Pause):
                yield wanted
                continue
            try:
                outcome = yield from self._ride(wanted, turn)
                on = functools.partial(way.send, outcome)
            except BaseException as error:
                on = functools.partial(way.throw, error)

    def _ride(self, begun: Begun, turn: Turn[Any]) -> Steps[Outcome]:
        """Drive a run, and the tries that follow from it, as long as one leads to another."""
        drive, context, run, work = begun.drive, begun.context, begun.run, begun.work
        turn.lane = run.request.pool_profile
        drive.steering.listen(turn.wake)
        try:
            while True:
                ended = yield from self._try(context, run, work, turn)
                if isinstance(ended, Outcome):
                    return ended
                release(context)
                run, work = ended.run, go_on
                context = make_context(drive, context.connection, run, ended.fence)
                say_begun(context, run, ended.because)
        finally:
            drive.steering.forget(turn.wake)
            context.connection.close()
            release(context)

    def _try(self, context: Context, run: Run, work: Work, turn: Turn[Any]) -> Steps[Outcome | Handed]:
        held = self._beat.hold(context)  # and hears what was asked of the run before anything is sent
        try:
            ended = self._stretch(context, run, work)
            while isinstance(ended, Pause):
                held.progress = context.find_progress() or 0.0
                held.parked, held.attempt_uuid = True, ""
                context.alarm.listen(turn.wake)
                yield ended
                context.alarm.listen(None)
                context.alarm.clear()  # whatever it rang for is looked at from here on
                held.parked = False
                ended = self._stretch(context, run)
            return ended
        finally:
            context.alarm.listen(None)
            context.unwatch()
            self._beat.let_go(held)

    def _stretch(self, context: Context, run: Run, work: Work | None = None) -> Outcome | Handed | Pause:
        """Go on to the end of this try, or until a step parks. ``work`` is what is to be done before it is gone on."""
        try:
            context.check_hold()
            if work is None:
                return self._go_on(context, context.database.runs.get(run.uuid))
            if work is go_on:
                return self._go_on(context, run)
            ended = work(context, run)
            return self._go_on(context, context.database.runs.get(run.uuid)) if ended is None else ended
        except Parked as parked:
            return Pause(parked.seconds)
        except FlowSuspended as why:
            with reported_loss(run):
                return ending.suspend(context, run, why)
        except LeaseLost as error:
            raise make_locked(run.uuid) from error

    def _go_on(self, context: Context, run: Run) -> Outcome | Handed:
        context.patience_seconds = self._find_patience  # from here on its steps may park
        return go_on(context, run)

    def _find_patience(self) -> float:
        return 0.0 if self._turns.pressed else self._waits.park_seconds
