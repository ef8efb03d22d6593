"""Following one process of the command from outside: what it commits, in which step it is; and stopping it there.

The process tells each commit and each step (tests.support.kill_site) and stands still until it is answered. So a hold
for a call of the next step is set in the pool before the step can make its first call, and who listens may look around
in between.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

from tests.support.kill_site.commit_reports import VARIABLE
from tests.support.pool import SimulatedPool

SITE = Path(__file__).parent / "kill_site"
BEGIN = "begin"
"""The step before the first one: the command starts, logs in, creates or takes up its run."""
CALLS, COMMITS = ("request_read", "reply_written"), ("before", "after")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Point:
    """Where a process is killed: the ``nth`` time in ``step`` that ``what`` comes to ``moment``.

    ``what`` is a call of the pool for ``request_read`` (it has no effect yet) and ``reply_written`` (the reply is made,
    and not sent), or what a transaction writes for ``before`` and ``after`` its commit. A revert's step has a ``~``.
    ``reads``: it is a call that had no effect when the points were recorded.
    """

    step: str
    moment: str
    what: str
    nth: int = 1
    reads: bool = dataclasses.field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.step}|{self.moment}|{self.what}|{self.nth}{'|reads' if self.reads else ''}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` made."""
        step, moment, what, nth, *reads = text.split("|")
        return cls(step, moment, what, int(nth), bool(reads))


class Watch:
    """One process. ``target`` is where it is to stand still for ever, None to let it go on to its end.

    ``entering`` is called with each step that begins, while the process stands still. ``former``: the step in which the
    process before was killed; ``done`` are the commits of that step by then, from which it is counted on.
    """

    def __init__(
        self,
        pool: SimulatedPool,
        target: Point | None = None,
        entering: Callable[[str], object] | None = None,
        former: str = "",
        done: Mapping[str, int] | None = None,
    ) -> None:
        self.step = BEGIN
        self.target, self._pool, self._entering, self._former = target, pool, entering, former
        self._done = done or {}
        self._seen: Counter[tuple[str, str]] = Counter()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._held = False
        self._problem: BaseException | None = None
        self._channel = http.client.HTTPConnection("127.0.0.1", int(pool.ready["control_port"]), timeout=60)
        self._hold_in(BEGIN)

    def hear(self, moment: str, what: str) -> bool:
        """Take a report, of any thread; False when the process is to stand still."""
        if moment == "enter":
            if what != self.step:
                self._enter(what)
            return not self._stopped.is_set()
        with self._lock:
            if self._stopped.is_set():
                return False
            self._seen[moment, what] += 1
            point = Point(self.step, moment, what, self._seen[moment, what])
            self.note(point)
            if point == self.target:
                self._stopped.set()
                return False
        return True

    def note(self, point: Point) -> None:
        """Do nothing: for who records."""

    def leave(self) -> None:
        """Do nothing at the end of a step: for who records."""

    def is_reached(self) -> bool:
        """Tell whether the process stands at its point."""
        if self._problem is not None:
            raise self._problem
        if self._stopped.is_set():
            return True
        if not self._held or self.target is None:
            return False
        self._channel.request("GET", "/hold")
        holds = json.loads(self._channel.getresponse().read())
        return bool(holds) and bool(holds[-1]["reached"])  # one before it may be of a process that is dead

    def get_done(self) -> dict[str, int]:
        """Return how many commits of each kind the step has behind it."""
        return {what: count for (moment, what), count in self._seen.items() if moment == "after"}

    def fail(self, problem: BaseException) -> None:
        """Keep what went wrong in the thread that listens."""
        self._problem = problem

    def close(self) -> None:
        """Close the connection to the pool's control channel."""
        self._channel.close()

    def _enter(self, step: str) -> None:
        self.leave()
        with self._lock:
            self.step = step
            self._seen.clear()
            if step == self._former:
                self._seen.update({(moment, what): count for what, count in self._done.items() for moment in COMMITS})
                self._former = ""
        if self._held:  # it was not reached: what comes later is another point
            self._pool.control("POST", "/release", {})
            self._held = False
        if self._entering:
            self._entering(step)
        self._hold_in(step)

    def _hold_in(self, step: str) -> None:
        target = self.target
        if target is not None and target.moment in CALLS and target.step == step:
            wanted = {"call": target.what, "point": target.moment, "nth": target.nth}
            self._pool.control("POST", "/hold", wanted)
            self._held = True


class Listener(Protocol):
    """Who is told what a process does."""

    def hear(self, moment: str, what: str) -> bool:
        """Take a report, of any thread; False when the process is to stand still."""

    def fail(self, problem: BaseException) -> None:
        """Keep what went wrong in the thread that listens."""


class Reports:
    """The socket that processes under test report to, one process at a time."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "commits"
        self.watch: Listener | None = None
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen()
        threading.Thread(target=self._accept, name="commits", daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to report; the first is for a fresh interpreter."""
        path = os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH"))))
        return {"PYTHONPATH": path, VARIABLE: str(self.path)}

    def close(self) -> None:
        """Listen no longer."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._listen, args=(connection, self.watch), daemon=True).start()

    def _listen(self, connection: socket.socket, watch: Listener | None) -> None:
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):  # killed meanwhile
            for line in lines:
                if watch is None or _tell(watch, json.loads(line)):
                    connection.sendall(b"\n")


def _tell(watch: Listener, report: dict[str, Any]) -> bool:
    try:
        return watch.hear(str(report["moment"]), str(report["what"]))
    except (AssertionError, OSError, ValueError) as problem:
        watch.fail(problem)
        return True
