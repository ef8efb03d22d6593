"""TaskFlow as it comes: its serial engine and its SQLAlchemy backend, one of it in the process, used as its pages say.

The file of SQLite is put into WAL mode beforehand, which TaskFlow does not do by itself.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from taskflow import engines
from taskflow.persistence import backends
from taskflow.persistence import models as tf_models
from taskflow.utils import persistence_utils

from bench.databases import put_into_wal
from bench.job import make_flow


class Contender:
    """The stock backend."""

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            put_into_wal(str(parsed.database))
        self._backend = backends.fetch({"connection": url})
        with contextlib.closing(self._backend.get_connection()) as connection:
            connection.upgrade()

    def run_one(self) -> None:
        """Do one job to its end."""
        book = tf_models.LogBook("job")
        detail = persistence_utils.create_flow_detail(make_flow(), book=book, backend=self._backend)
        engines.load(make_flow(), flow_detail=detail, backend=self._backend).run()

    def run_many(self, count: int, width: int) -> None:
        """Do so many jobs, ``width`` of them at a time."""
        with ThreadPoolExecutor(width) as threads:
            list(threads.map(lambda _: self.run_one(), range(count)))

    def close(self) -> None:
        """Close all connections."""
        self._backend.close()
