"""What SQLAlchemy sends while something is done: transactions that write, those that only read, statements."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

_WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "WITH")


class Counts:
    """Counts of one stretch of work; of all engines and threads of this process."""

    def __init__(self) -> None:
        self.commits = self.reads = self.statements = 0
        self.settings: dict[str, str] = {}
        self.written: list[str] = []
        self._lock = threading.Lock()

    def note_statement(self, conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        """Count a statement, and know its transaction as one that writes."""
        words = statement.split(maxsplit=3)
        if words and words[0].upper() in _WRITES:
            table = words[1 if words[0].upper() == "UPDATE" else 2] if len(words) > 2 else ""
            conn.info.setdefault("lmflow_bench_writes", set()).add(table)
        with self._lock:
            self.statements += 1

    def note_commit(self, conn: Any) -> None:
        """Count the end of a transaction."""
        writes = conn.info.pop("lmflow_bench_writes", None)
        with self._lock:
            if writes:
                self.written.append(" ".join(sorted(writes)))
            self.commits += bool(writes)
            self.reads += not writes
        if not self.settings and conn.dialect.name == "sqlite":
            self.settings = _ask_sqlite(conn)

    def note_rollback(self, conn: Any) -> None:
        """Forget what a transaction was."""
        conn.info.pop("lmflow_bench_writes", None)

    def to_json(self) -> dict[str, Any]:
        """Return the counts."""
        told = {"commits": self.commits, "reads": self.reads, "statements": self.statements}
        return {**told, "settings": self.settings, "written": self.written}


@contextlib.contextmanager
def counted() -> Iterator[Counts]:
    """Count what is sent inside the block."""
    counts = Counts()
    hooks = {
        "before_cursor_execute": counts.note_statement,
        "commit": counts.note_commit,
        "rollback": counts.note_rollback,
    }
    for name, hook in hooks.items():
        sa.event.listen(sa.Engine, name, hook)
    try:
        yield counts
    finally:
        for name, hook in hooks.items():
            sa.event.remove(sa.Engine, name, hook)


def _ask_sqlite(conn: Any) -> dict[str, str]:
    cursor = conn.connection.cursor()
    try:
        asked = {name: cursor.execute(f"pragma {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    finally:
        cursor.close()
    return {name: str(value) for name, value in asked.items()}
