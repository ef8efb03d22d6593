"""TaskFlow's own engine with lmflow's backend, as any user of TaskFlow may name it; nothing else of lmflow."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

from taskflow import engines
from taskflow.persistence import backends
from taskflow.persistence import models as tf_models
from taskflow.utils import persistence_utils

from bench.job import make_flow


class Contender:
    """The backend, found by its name."""

    def __init__(self, url: str) -> None:
        self._backend = backends.fetch({"connection": f"lmflow+{url}"})
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
