"""The commits and steps of a process, reported from inside SQLAlchemy and TaskFlow: the product knows nothing of it.

Each transaction that writes is told to a socket before and after its commit, and each step before it is executed or
reverted; the process goes on only when it is answered: who listens may kill it instead, or look around while it stands
still. This holds for every database alike. Which steps begin is not to be seen from the commits: much of what a step
writes waits for the next one's.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from typing import Any

VARIABLE = "LMFLOW_TEST_COMMITS"
"""The environment variable with the path of the socket; without it nothing is reported."""

_ALONG = ("atomdetails", "flowdetails")
_WRITING = ("INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "ALTER TABLE ")


class _Reporter:
    """A connection for each thread: one that stands still holds up no other, which may hold a lock of the database."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._own = threading.local()

    def note(self, _conn: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        """Keep what a statement writes until the commit of its thread."""
        text = " ".join(statement.split())
        written = next((text.removeprefix(each).split()[0] for each in _WRITING if text.startswith(each)), "")
        if written:
            for given in getattr(context, "compiled_parameters", None) or [{}]:
                self._words().append(_describe(written.strip('`"'), given))

    def forget(self) -> None:
        """Forget a transaction that was rolled back."""
        self._words().clear()

    def take(self) -> str:
        """Return what the thread's transaction has written, and begin anew."""
        words = self._words()
        told = [word for word in words if word != "leases"] or words[:1]  # every fenced write renews its proof
        # What goes along with a write, and how much of it, is chance after a crash: of it alone a commit is "atoms".
        own = [word for word in told if word not in _ALONG and " " not in word]
        text = " + ".join(dict.fromkeys(own or (told and ["atoms"])))
        words.clear()
        return text

    def tell(self, moment: str, what: str) -> None:
        """Report and wait for the answer; for ever, if there is none."""
        line = json.dumps({"moment": moment, "what": what}).encode() + b"\n"
        if not hasattr(self._own, "socket"):
            self._own.socket = socket.socket(socket.AF_UNIX)
            self._own.socket.connect(self._path)
        self._own.socket.sendall(line)
        if not self._own.socket.recv(1):
            os._exit(99)  # nobody listens any more

    def _words(self) -> list[str]:
        if not hasattr(self._own, "words"):
            self._own.words = []
        words: list[str] = self._own.words
        return words


def _describe(table: str, given: dict[str, Any]) -> str:
    name = table.removeprefix("lmflow_")
    if name == "attempts" and "progress" in given and "number" not in given:
        return "progress"
    if name != "events" or "kind" not in given:
        return name
    if given["kind"] != "atom":
        return str(given["kind"])
    data = json.loads(given["data"])
    return f"{_merge(str(data['atom']))} {data['state']}"


def _merge(atom: str) -> str:
    """Return the name of a step; the validations, whose order is chance, are one."""
    return "validate" if atom.startswith("validate_") else atom


def install() -> None:
    """Report from now on, if the environment says where to."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    from sqlalchemy import event  # noqa: PLC0415 - processes that report nothing do not need it
    from sqlalchemy.engine import Engine, default  # noqa: PLC0415 - as above
    from taskflow.engines.action_engine.executor import ParallelTaskExecutor  # noqa: PLC0415 - as above

    reporter, dialect = _Reporter(path), default.DefaultDialect
    execute, revert = ParallelTaskExecutor.execute_task, ParallelTaskExecutor.revert_task
    commit, roll_back = dialect.do_commit, dialect.do_rollback

    def do_commit(self: Any, connection: Any) -> None:
        what = reporter.take()
        if what:
            reporter.tell("before", what)
        commit(self, connection)
        if what:
            reporter.tell("after", what)

    def do_rollback(self: Any, connection: Any) -> None:
        reporter.forget()
        roll_back(self, connection)

    def execute_task(self: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        reporter.tell("enter", _merge(task.name))
        return execute(self, task, *args, **kwargs)

    def revert_task(self: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        reporter.tell("enter", "~" + _merge(task.name))
        return revert(self, task, *args, **kwargs)

    ParallelTaskExecutor.execute_task = execute_task  # type: ignore[method-assign]
    ParallelTaskExecutor.revert_task = revert_task  # type: ignore[method-assign]
    dialect.do_commit = do_commit  # type: ignore[method-assign]
    dialect.do_rollback = do_rollback  # type: ignore[method-assign]
    event.listen(Engine, "before_cursor_execute", reporter.note)
