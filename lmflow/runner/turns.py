"""Many things that go on by turns on a few threads, and wait without one."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import functools
import heapq
import queue
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Of one wait on the clock: some systems cannot wait longer at a time, and nobody does (threading.TIMEOUT_MAX).
_DAY_SECONDS = 86400.0

# How many pauses that were ended early are kept beyond those that last: they are thrown out together.
_SLACK = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    """Yielded by who has nothing to do for so long; it may be woken earlier."""

    seconds: float


Steps = Generator[Pause, None, T]
"""What goes on by turns: it works from one pause to the next, and returns its result."""


class _State(enum.Enum):
    QUEUED = enum.auto()
    RUNNING = enum.auto()
    PAUSING = enum.auto()
    ENDED = enum.auto()


class Turn(Generic[T]):
    """One of those that go on. ``future`` will have its result. What else is here belongs to the thread that decides.

    ``lane`` may be changed by its own steps; ``served`` is the one in which it has its thread. ``pause`` counts its
    pauses. ``woken``: while it was at work; its next pause is none.
    """

    __slots__ = ("_turns", "future", "lane", "pause", "served", "state", "steps", "woken")

    def __init__(self, turns: Turns, lane: str) -> None:
        self._turns = turns
        self.lane = self.served = lane
        self.future: Future[T] = Future()
        self.future.set_running_or_notify_cancel()  # it hears by its own ways that it shall end
        self.steps: Steps[T] | None = None
        self.state, self.pause, self.woken = _State.QUEUED, 0, False

    def wake(self) -> None:
        """End its pause, or the next one when it is in none. For any thread or signal handler."""
        self._turns.wake(self)

    def step(self) -> Pause | None:
        """Go on to the next pause and return that; None at the end, which ``future`` tells."""
        try:
            if self.steps is not None:
                return next(self.steps)
        except StopIteration as end:
            self.future.set_result(end.value)
        except BaseException as error:
            self.future.set_exception(error)
        self.steps = None
        return None


class Turns:
    """Drives many on ``threads`` threads, which are made when they are needed and end with the last of the many.

    Each belongs to a lane, and lanes are served in turn. One whose work has no thread gets one even when all are busy,
    up to as many again: what one lane hangs on holds up no other. One thread more decides who is next, all alone, so
    that what it decides by needs no lock.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        # Of what happened, as calls. This kind of queue may be filled by a signal handler.
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lanes: collections.OrderedDict[str, collections.deque[Turn[Any]]] = collections.OrderedDict()
        self._busy: collections.Counter[str] = collections.Counter()
        self._idle: list[queue.SimpleQueue[Turn[Any] | None]] = []
        self._pausing: list[tuple[float, int, int, Turn[Any]]] = []
        self._open, self._deciding, self._lock = 0, False, threading.Lock()

    @property
    def pressed(self) -> bool:
        """Tell whether threads are scarce: somebody waits for one, or more than half are in use by several."""
        return bool(self._lanes) or (self._open > 1 and self._busy.total() * 2 > self._threads)

    @property
    def resting(self) -> bool:
        """Tell whether nobody has or wants a thread."""
        return not self._lanes and not self._busy.total() and self._inbox.empty()

    def begin(self, lane: str, make: Callable[[Turn[T]], Steps[T]]) -> Future[T]:
        """Let what is made go on by turns until it ends."""
        turn: Turn[T] = Turn(self, lane)
        turn.steps = make(turn)
        with self._lock:
            self._open += 1
            if not self._deciding:
                self._deciding = True
                threading.Thread(target=self._decide, name="lmflow-turns", daemon=True).start()
        self._inbox.put(functools.partial(self._queue, turn))
        return turn.future

    def wake(self, turn: Turn[Any]) -> None:
        """End its pause, or the next one when it is in none."""
        self._inbox.put(functools.partial(self._wake, turn))

    def _decide(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                self._inbox.get(timeout=self._find_patience())()
            self._wake_due()
            self._hand_out()
            with self._lock:
                if not self._open:
                    self._deciding = False
                    break
        while self._idle:
            self._idle.pop().put(None)

    def _find_patience(self) -> float | None:
        """Return how long nothing is due; None when nobody pauses."""
        return min(max(0.0, self._pausing[0][0] - time.monotonic()), _DAY_SECONDS) if self._pausing else None

    def _wake_due(self) -> None:
        while self._pausing and self._pausing[0][0] <= time.monotonic():
            _, _, pause, turn = heapq.heappop(self._pausing)
            if turn.pause == pause:  # else it was woken from that one before
                self._wake(turn)

    def _wake(self, turn: Turn[Any]) -> None:
        if turn.state is _State.PAUSING:
            self._queue(turn)
        elif turn.state is _State.RUNNING:
            turn.woken = True

    def _queue(self, turn: Turn[Any]) -> None:
        turn.state = _State.QUEUED
        turn.pause += 1
        self._lanes.setdefault(turn.lane, collections.deque()).append(turn)

    def _hand_out(self) -> None:
        while (lane := self._find_lane()) is not None:
            turns = self._lanes[lane]
            turn = turns.popleft()
            if turns:
                self._lanes.move_to_end(lane)
            else:
                del self._lanes[lane]
            self._busy[lane] += 1
            turn.state, turn.served, turn.woken = _State.RUNNING, lane, False
            (self._idle.pop() if self._idle else self._hire()).put(turn)

    def _find_lane(self) -> str | None:
        """Return the lane that is served next; None while there is no work, or no thread for it."""
        busy = self._busy.total()
        if busy < self._threads:
            return next(iter(self._lanes), None)
        if busy < 2 * self._threads:
            return next((lane for lane in self._lanes if not self._busy[lane]), None)
        return None

    def _hire(self) -> queue.SimpleQueue[Turn[Any] | None]:
        orders: queue.SimpleQueue[Turn[Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, args=(orders,), name="lmflow-work", daemon=True).start()
        return orders

    def _work(self, orders: queue.SimpleQueue[Turn[Any] | None]) -> None:
        while (turn := orders.get()) is not None:
            pause = turn.step()
            self._inbox.put(functools.partial(self._take_back, orders, turn, pause))
            del turn, pause  # nothing is kept alive by a thread that waits

    def _take_back(self, orders: queue.SimpleQueue[Turn[Any] | None], turn: Turn[Any], pause: Pause | None) -> None:
        if len(self._idle) < self._threads:
            self._idle.append(orders)
        else:
            orders.put(None)
        self._busy[turn.served] -= 1
        if pause is None:
            turn.state = _State.ENDED
            with self._lock:
                self._open -= 1
        elif turn.woken:
            self._queue(turn)
        else:
            turn.state = _State.PAUSING
            if len(self._pausing) > 2 * self._open + _SLACK:
                self._pausing = [each for each in self._pausing if each[3].pause == each[2]]
                heapq.heapify(self._pausing)
            heapq.heappush(self._pausing, (time.monotonic() + pause.seconds, id(turn), turn.pause, turn))
