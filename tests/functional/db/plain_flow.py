"""The bench job as any user of TaskFlow would write it, on the plug-in or on TaskFlow's own backend.

As a program, ``python -m tests.functional.db.plain_flow URL MARKS [N]``: runs or resumes the flow, appends a line to
MARKS when a body begins, and kills itself after the N-th commit.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import taskflow.engines
from taskflow import exceptions as tf_exceptions
from taskflow import task
from taskflow.patterns import linear_flow
from taskflow.persistence import backends, models

FLOW, BOOK = "7f0a2f6e-2f5a-4f8e-9d0c-0a4b1d5f2a11", "7f0a2f6e-2f5a-4f8e-9d0c-0a4b1d5f2a22"
STEPS = ("one", "two", "three", "four", "five", "wait")


class Step(task.Task):
    """Says that it begins, and returns how often its predecessors ran."""

    def __init__(self, name: str, before: str | None, said: Callable[[str], None]) -> None:
        super().__init__(name=name, provides=f"of_{name}", requires=[f"of_{before}"] if before else [])
        self._said = said

    def execute(self, **kwargs: Any) -> Any:
        self._said(self.name)
        return {"name": self.name, "before": sorted(kwargs)}


def make_flow(said: Callable[[str], None]) -> linear_flow.Flow:
    """Return six steps, each of which needs the one before."""
    flow = linear_flow.Flow("plain")
    for before, name in zip((None, *STEPS), STEPS, strict=False):
        flow.add(Step(name, before, said))
    return flow


def ensure_detail(backend: Any) -> models.FlowDetail:
    """Return the flow's detail; saved if it is not there."""
    with contextlib.closing(backend.get_connection()) as connection:
        with contextlib.suppress(tf_exceptions.NotFound):
            return connection.get_flow_details(FLOW)
        book, detail = models.LogBook("plain", BOOK), models.FlowDetail("plain", FLOW)
        book.add(detail)
        connection.save_logbook(book)
        return detail


def make_engine(backend: Any, said: Callable[[str], None]) -> Any:
    """Return TaskFlow's serial engine for the flow, new or to be resumed."""
    return taskflow.engines.load(make_flow(said), flow_detail=ensure_detail(backend), backend=backend)


def _kill_after(count: int) -> None:
    left = [count]

    @sa.event.listens_for(sa.Pool, "checkin")
    def _checkin(_connection: object, _record: object) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    @sa.event.listens_for(sa.Engine, "commit")
    def _commit(conn: sa.Connection) -> None:
        if not conn.get_execution_options().get("lmflow_reading"):
            left[0] -= 1


if __name__ == "__main__":
    url, marks, *rest = sys.argv[1:]

    def say(name: str) -> None:
        with Path(marks).open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")

    with backends.backend(url) as opened:
        if rest:
            _kill_after(int(rest[0]))
        make_engine(opened, say).run()
