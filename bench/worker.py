"""One subject in a process of its own: it does what each line on standard input asks, and answers with a line.

A subject's threads and garbage disturb no other then, and all of them can take turns. Whatever the libraries print
goes to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from typing import Any

from bench import subjects
from bench.counting import counted
from bench.profiling import profile


class Worker:
    """The asked-for measurements of one subject."""

    def __init__(self, subject: Any) -> None:
        self._subject = subject

    def one(self, count: int) -> dict[str, Any]:
        """Return the seconds of each of so many jobs, one after the other."""
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            self._subject.run_one()
            seconds.append(time.perf_counter() - began)
        return {"seconds": seconds}

    def many(self, count: int, width: int) -> dict[str, Any]:
        """Return the seconds of so many jobs, ``width`` at a time."""
        began, cpu = time.perf_counter(), time.process_time()
        self._subject.run_many(count, width)
        return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}

    def count(self) -> dict[str, Any]:
        """Return what one job sends to its database."""
        self._subject.run_one()
        with counted() as counts:
            self._subject.run_one()
        return counts.to_json()

    def profile(self, count: int) -> dict[str, Any]:
        """Return where the time of so many jobs goes."""
        return {"rooms": profile(lambda: [self._subject.run_one() for _ in range(count)]), "jobs": count}

    def interrupt(self, count: int) -> dict[str, Any]:
        """Leave so many jobs in the middle."""
        began = time.perf_counter()
        self._subject.interrupt(count)
        return {"seconds": time.perf_counter() - began}

    def resume(self, count: int) -> dict[str, Any]:
        """End so many interrupted jobs."""
        self._subject.resume(count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"cpu": time.process_time(), "peak_mb": round(peak, 1)}

    def close(self) -> dict[str, Any]:
        """Let go of everything."""
        self._subject.close()
        return {}


def serve(name: str, url: str) -> None:
    """Make the subject and do what is asked until there is nothing more; an error ends the process."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    logging.basicConfig(level=logging.ERROR)
    worker = Worker(subjects.make(next(each for each in subjects.KNOWN if each.name == name), url))
    answers.write("{}\n")
    for line in sys.stdin:
        asked = json.loads(line)
        answers.write(json.dumps(getattr(worker, asked.pop("do"))(**asked)) + "\n")


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
