"""Group commit: what many threads want to write at one moment goes into one transaction, and onto the disk once."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from lmflow.db import fence as fences
from lmflow.db.fence import Fence, Hold
from lmflow.exceptions import LeaseLost

T = TypeVar("T")

LARGEST = 64
"""Units in one transaction: it stays short, and one that fails costs the others little."""
QUEUE_SECONDS = 0.25
"""On a server, whoever is not taken along for so long commits alone: somebody's row may be locked by a paused owner."""


class Unit:
    """What one thread wants to have written, and what became of it."""

    __slots__ = ("alone", "error", "hold", "leads", "result", "signal", "taken", "work")

    def __init__(self, work: Callable[[sa.Connection], Any], hold: Hold | None) -> None:
        self.work, self.hold = work, hold
        self.result: Any = None
        self.error: BaseException | None = None
        self.taken = self.leads = self.alone = False
        self.signal = threading.Event()

    def write(self, conn: sa.Connection) -> None:
        """Write what was deferred before, then what is wanted now."""
        if self.hold is not None:
            self.hold.deferred.write(conn)
        self.result = self.work(conn)

    def settle(self) -> None:
        """Note that all of it is committed."""
        if self.hold is not None:
            self.hold.deferred.committed()

    def fail(self, error: BaseException) -> None:
        """Note why nothing of it is."""
        self.error = error
        if isinstance(error, LeaseLost) and self.hold is not None:
            self.hold.deferred.clear()  # nobody may ever write it


class Committer:
    """Commits units, one transaction at a time: the thread that leads writes its own and all that wait.

    Whoever brings a unit holds its lock meanwhile, so that the leader needs none. A unit that fails is told to its
    own thread, and the others are written again without it; an outage, whose effect is unknown, is told to all.
    """

    def __init__(self, engine: sa.Engine, is_outage: Callable[[Exception], bool]) -> None:
        self._engine = engine
        self._is_outage = is_outage
        self._queue_seconds = None if engine.dialect.name == "sqlite" else QUEUE_SECONDS
        self._mutex = threading.Lock()
        self._queue: collections.deque[Unit] = collections.deque()
        self._led = False

    def commit(self, work: Callable[[sa.Connection], T], hold: Hold | None) -> T:
        """Have the work written behind the hold's check, together with that of other threads; return its result."""
        unit = Unit(work, hold)
        with self._mutex:
            unit.leads, self._led = not self._led, True
            if not unit.leads:
                self._queue.append(unit)
        if not unit.leads:
            self._await(unit)
        if unit.leads:
            self._lead(unit)
        if unit.alone:
            return self.commit_alone(work, hold)
        if unit.error is not None:
            raise unit.error
        result: T = unit.result
        return result

    def commit_alone(self, work: Callable[[sa.Connection], T], hold: Hold | None) -> T:
        """Write in a transaction of its own, beside those of others."""
        unit = Unit(work, hold)
        try:
            with self._engine.begin() as conn:
                if hold is not None:
                    hold.check(conn)
                unit.write(conn)
        except LeaseLost as error:
            unit.fail(error)
            raise
        unit.settle()
        result: T = unit.result
        return result

    def _await(self, unit: Unit) -> None:
        """Wait until the unit was written, or it is its thread's turn to lead, or its patience is over."""
        try:
            while not unit.signal.wait(self._queue_seconds):
                with self._mutex:
                    if not unit.taken and not unit.signal.is_set():
                        self._queue.remove(unit)
                        unit.alone = True
                        return
        except BaseException:  # the thread is interrupted, and must leave neither its unit nor the lead behind
            with self._mutex:
                if not unit.taken and unit in self._queue:
                    self._queue.remove(unit)
            if unit.leads:
                self._pass_on()
            elif unit.taken:
                unit.signal.wait()
            raise

    def _lead(self, unit: Unit) -> None:
        units = [unit]
        with self._mutex:
            while self._queue and len(units) < LARGEST:
                units.append(self._queue.popleft())
            for each in units:
                each.taken = True
        try:
            if len(units) == 1:
                unit.result = self.commit_alone(unit.work, unit.hold)
            else:
                self._write(units)
        finally:
            for each in units[1:]:
                each.signal.set()
            self._pass_on()

    def _pass_on(self) -> None:
        with self._mutex:
            self._led = bool(self._queue)
            if self._led:
                heir = self._queue.popleft()
                heir.leads = True
                heir.signal.set()

    def _write(self, units: list[Unit]) -> None:
        """Write what can be written in one transaction; each unit has its result or its error afterwards."""
        left = sorted(units, key=_order)
        while left:
            culprit: Unit | None = None
            try:
                with self._engine.begin() as conn:
                    left = _admit(conn, left)
                    for culprit in left:
                        culprit.write(conn)
                    culprit = None
            except BaseException as error:
                own = isinstance(error, (Exception, LeaseLost))
                if own and culprit is not None and not (isinstance(error, Exception) and self._is_outage(error)):
                    culprit.fail(error)
                    left.remove(culprit)
                    continue
                for each in left:
                    each.error, each.alone = (error, False) if own else (None, True)
                if not own:  # meant for this thread, not for the others
                    raise
                return
            for each in left:
                each.settle()
            return


def _order(unit: Unit) -> str:
    """Rows are locked in one order everywhere, so that two transactions do not wait for each other."""
    return unit.hold.run_uuid if isinstance(unit.hold, Fence) else ""


def _admit(conn: sa.Connection, units: list[Unit]) -> list[Unit]:
    """Check all fences at once; who lost the lease fails, and whose lease is locked elsewhere has to wait alone."""
    fenced = [unit.hold.run_uuid for unit in units if isinstance(unit.hold, Fence)]
    if not fenced:
        return units
    tokens = fences.lock_all(conn, fenced)
    admitted = []
    for unit in units:
        if not isinstance(unit.hold, Fence) or tokens.get(unit.hold.run_uuid) == unit.hold.token:
            admitted.append(unit)
        elif unit.hold.run_uuid in tokens:
            unit.fail(fences.make_lost(unit.hold))
        else:
            unit.alone = True
    return admitted
