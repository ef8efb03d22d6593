"""Killing a command from outside, at a point that its database or its pool reports."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.kill_reports import Reports
from tests.support.pool import SimulatedPool
from tests.support.scene import Command, Scene

LIMIT_SECONDS = 60.0


def wait_until(reached: Callable[[], bool], child: Command, what: str) -> bool:
    """Wait for a point; False when the child ended before it."""
    limit = time.monotonic() + LIMIT_SECONDS
    while not reached():
        if child.poll() is not None:
            return reached()
        assert time.monotonic() < limit, f"the point was not reached: {what}"
        time.sleep(0.005)
    return True


def kill(child: Command) -> None:
    """SIGKILL, by pid, from outside."""
    child.kill()
    child.wait()


def pause(scene: Scene, child: Command) -> None:
    """SIGSTOP, outside a transaction: stopped inside one, it would hold the SQLite file against everybody."""
    limit = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < limit:
        child.send_signal(signal.SIGSTOP)
        connection = sqlite3.connect(scene.database_file, timeout=0.5, isolation_level=None)
        with contextlib.closing(connection):
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:
                child.send_signal(signal.SIGCONT)
            else:
                return
    raise AssertionError("it was never stopped outside a transaction")


def query(scene: Scene, statement: str, *args: object) -> list[Any]:
    """Read the run database; nothing while it is not there yet."""
    if not scene.database_file.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{scene.database_file}?mode=ro", uri=True, timeout=30)) as connection:
        try:
            return connection.execute(statement, args).fetchall()
        except sqlite3.OperationalError:  # no table yet
            return []


def atoms_begun(scene: Scene) -> list[str]:
    """Return the steps of all runs in the order in which they were begun, repetitions included."""
    rows = query(scene, "select data from lmflow_events where kind = 'atom' and data like '%\"RUNNING\"%' order by at")
    return [row[0] for row in rows]


def kill_at_step(scene: Scene, step: str, *args: str) -> bool:
    """Run the command until it begins that step, and kill it there; False when it ends before.

    The steps ``validate_*``, whose order is chance, are all ``validate``; that of a revert has a ``~`` before it.
    """
    with tempfile.TemporaryDirectory() as directory:  # the path of a socket has to be short
        reports = Reports(Path(directory))
        try:
            gate = reports.watch = _Gate(step)
            child = scene.popen(*args, env=reports.environment)
            reached = wait_until(gate.reached.is_set, child, step)
            kill(child)
            return reached
        finally:
            reports.close()


class _Gate:
    """Lets a process go on until it begins a step."""

    def __init__(self, step: str) -> None:
        self.reached = threading.Event()
        self._step = step

    def hear(self, moment: str, what: str) -> bool:
        """Take a report; False when the process is to stand still."""
        if moment == "enter" and what == self._step:
            self.reached.set()
        return not self.reached.is_set()

    def fail(self, problem: BaseException) -> None:
        """Raise what went wrong in the thread that listens: nothing does here."""
        raise problem


def kill_when_progress(scene: Scene, child: Command, above: float) -> None:
    """Kill the child when the database shows more progress of the migration than that."""
    statement = "select max(progress) from lmflow_attempts"
    reached = wait_until(lambda: ((query(scene, statement) or [(0,)])[0][0] or 0) > above, child, f"progress {above}")
    assert reached, scene.read_output(child)
    kill(child)


def kill_at_hold(pool: SimulatedPool, scene: Scene, child: Command, *, point: str, call: str) -> None:
    """Kill the child while the pool holds its call at that point, then let the pool go on."""
    reached = wait_until(
        lambda: any(hold["reached"] for hold in pool.control("GET", "/hold")), child, f"{call} {point}"
    )
    assert reached, scene.read_output(child)
    kill(child)
    pool.control("POST", "/release", {})
