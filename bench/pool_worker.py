"""Many migrations at once in a process of its own: by the script, or by lmflow as a library.

``python -m bench.pool_worker NAME URL`` reads lines as bench.worker does. The pool is told in the first.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench import script
from bench.counting import counted


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Worker:
    """Does migrations; each pair is a VM's UUID and its destination's."""

    def __init__(self, name: str, database_url: str) -> None:
        self._name, self._database_url = name, database_url
        self._client: Any = None
        self._told: dict[str, Any] = {}

    def connect(self, told: dict[str, Any]) -> dict[str, Any]:
        """Learn where the pool is and import all that is needed, so that only the work is counted afterwards."""
        self._told = told
        if self._name == "lmflow":
            from lmflow.api import Client, PoolProfile, Waits  # noqa: PLC0415 - the script needs none of it

            profile = PoolProfile(
                name="bench", addresses=(told["coordinator"],), scheme=told["scheme"], port=told["port"],
                username=told["username"], read_timeout_seconds=600.0,
            )  # fmt: skip
            waits = Waits(settle_seconds=0.1, quiet_seconds=0.05, operation_seconds=600.0)
            self._client = Client(
                database_url=self._database_url, profiles={"bench": profile}, password=lambda _: str(told["password"]),
                waits=waits,
            )  # fmt: skip
        return {"pid": os.getpid()}

    def migrate(self, moves: list[tuple[str, str]]) -> dict[str, Any]:
        """Migrate all VMs at once; say what it took and how each ended."""
        began, cpu = time.perf_counter(), _spent()
        with counted() as counts:
            ends = self._by_lmflow(moves) if self._client else self._by_script(moves)
        taken, cpu = time.perf_counter() - began, _spent() - cpu
        return {
            "seconds": taken, "cpu": cpu, "ends": ends, "threads": threading.active_count(), "counts": counts.to_json(),
        }  # fmt: skip

    def close(self) -> dict[str, Any]:
        """Let go of everything."""
        if self._client:
            self._client.close()
        return {}

    def _by_script(self, moves: list[tuple[str, str]]) -> list[str]:
        told = self._told
        url = f"{told['scheme']}://{told['coordinator']}:{told['port']}"
        return script.migrate_all(url, (told["username"], told["password"]), moves, poll_seconds=1.0)

    def _by_lmflow(self, moves: list[tuple[str, str]]) -> list[str]:
        def move(pair: tuple[str, str]) -> str:
            return str(self._client.migrate(pair[0], pair[1]).run.state)

        with ThreadPoolExecutor(len(moves)) as threads:
            return list(threads.map(move, moves))


def serve(name: str, database_url: str) -> None:
    """Do what each line asks and answer with a line; an error ends the process."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(name, database_url)
    answers.write("{}\n")
    for line in sys.stdin:
        asked = json.loads(line)
        answers.write(json.dumps(getattr(worker, asked.pop("do"))(**asked)) + "\n")


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
