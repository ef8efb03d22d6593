"""Seven transactions, each what a job must have on disk before its next step begins: the price of durability itself.

The first also creates the job, the last ends it. SQLite is in WAL mode with ``synchronous = FULL``; one connection is
shared behind a lock, because writers that wait for a file's lock sleep. PostgreSQL has a connection a thread.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from bench.job import STEPS, WAIT_SECONDS

_TABLES = (
    "create table if not exists job (uuid varchar(36) primary key, state varchar(16))",
    "create table if not exists step (job varchar(36), number integer, state varchar(16), result varchar(64),"
    " primary key (job, number))",
)
_BEGUN = "insert into step values (?, ?, 'RUNNING', '')"
_DONE = "update step set state = 'SUCCESS', result = ? where job = ? and number = ?"


class Contender:
    """Plain statements on the databases' own drivers."""

    def __init__(self, url: str) -> None:
        self._url, self._lock, self._local = sa.make_url(url), threading.Lock(), threading.local()
        self._is_file = self._url.get_backend_name() == "sqlite"
        self._open: list[Any] = []
        self._shared = self._connect() if self._is_file else None
        with self._lock:
            self._commit(self._connection(), [(table, ()) for table in _TABLES])

    def run_one(self) -> None:
        """Do one job to its end."""
        job = str(uuid.uuid4())
        self._write([("insert into job values (?, 'RUNNING')", (job,)), (_BEGUN, (job, 1))])
        for number in range(1, STEPS + 1):
            self._write([(_DONE, (str(number), job, number)), (_BEGUN, (job, number + 1))])
        time.sleep(WAIT_SECONDS)
        self._write([(_DONE, ("true", job, STEPS + 1)), ("update job set state = 'SUCCESS' where uuid = ?", (job,))])

    def run_many(self, count: int, width: int) -> None:
        """Do so many jobs, ``width`` of them at a time."""
        with ThreadPoolExecutor(width) as threads:
            list(threads.map(lambda _: self.run_one(), range(count)))

    def close(self) -> None:
        """Close all connections."""
        while self._open:
            self._open.pop().close()

    def _write(self, statements: list[tuple[str, tuple[Any, ...]]]) -> None:
        if self._shared is None:
            self._commit(self._connection(), statements)
            return
        with self._lock:
            self._commit(self._shared, statements)

    def _commit(self, connection: Any, statements: list[tuple[str, tuple[Any, ...]]]) -> None:
        if self._is_file:
            connection.execute("begin immediate")
        for statement, values in statements:
            connection.execute(statement if self._is_file else statement.replace("?", "%s"), values)
        connection.commit()

    def _connection(self) -> Any:
        if self._shared is not None:
            return self._shared
        if not hasattr(self._local, "connection"):
            self._local.connection = self._connect()
        return self._local.connection

    def _connect(self) -> Any:
        if self._is_file:
            made: Any = sqlite3.connect(str(self._url.database), isolation_level=None, check_same_thread=False)
            made.execute("pragma journal_mode = wal")
            made.execute("pragma synchronous = full")
        else:
            import psycopg  # noqa: PLC0415 - of the extra "bench"

            url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
            made = psycopg.connect(url)
        self._open.append(made)
        return made
