"""Where the subjects keep what they do: files of SQLite, and a cluster of PostgreSQL that is ours alone."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any, Self


def put_into_wal(path: str) -> None:
    """Make a file of SQLite, if there is none, and have every connection to it use a WAL from then on."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        mode = connection.execute("pragma journal_mode = wal").fetchone()[0]
        if mode != "wal":
            raise SystemExit(f"{path} cannot hold a WAL ({mode})")


class Databases:
    """Empty databases for subjects. The cluster listens on loopback, commits with fsync, and ends with us."""

    def __init__(self, directory: Path | None = None) -> None:
        self._made = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="lmflow-bench-"))
        self._server: Any = None
        self._count = 0

    def make(self, kind: str) -> str:
        """Return the URL of an empty database of this kind, sqlite or postgresql; '' for none."""
        if kind == "sqlite":
            self._count += 1
            return f"sqlite:///{self.directory / f'{self._count}.db'}"
        if kind == "postgresql":
            if self._server is None:
                self._server = self._start()
            return str(self._server.url(self._server.create_database()))
        return ""

    def ask(self, setting: str) -> str:
        """Return a setting of the cluster, '' when there is none."""
        return str(self._server.execute(f"show {setting}")[0][0]) if self._server else ""

    def _start(self) -> Any:
        from tests.support.servers import Postgresql  # noqa: PLC0415 - needs pytest, and only here

        server = Postgresql.make(durable=True)
        try:
            server.start()
        except BaseException:
            server.remove()
            raise
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._server is not None:
            self._server.remove()
        if self._made:
            shutil.rmtree(self.directory, ignore_errors=True)
