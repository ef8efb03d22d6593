"""TaskFlow's serial engine with nothing behind it: the floor of everything that is made of its engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from taskflow import engines

from bench.job import make_flow


class Contender:
    """The engine alone."""

    def __init__(self, url: str) -> None:
        pass

    def run_one(self) -> None:
        """Do one job to its end."""
        engines.load(make_flow()).run()

    def run_many(self, count: int, width: int) -> None:
        """Do so many jobs, ``width`` of them at a time."""
        with ThreadPoolExecutor(width) as threads:
            list(threads.map(lambda _: self.run_one(), range(count)))

    def close(self) -> None:
        """Nothing is held."""
