"""Handles on the processes in which subjects run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.subjects import Known

ROOT = Path(__file__).parents[1]
CLOSE_SECONDS = 30.0


class Child:
    """One process; ``ask`` has it do something. It is told what to do on its standard input, line by line."""

    def __init__(self, module: str, *words: str, environment: Mapping[str, str] | None = None) -> None:
        self.began = time.perf_counter()
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, "-m", module, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            text=True, cwd=ROOT, env={**os.environ, **(environment or {})},
        )  # fmt: skip
        self._read()

    def ask(self, what: str, **values: Any) -> dict[str, Any]:
        """Have it do something and return its answer; SystemExit with what it said when it has ended instead."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write(json.dumps({"do": what, **values}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def kill(self) -> None:
        """End it as a power cut ends a process: SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Have it let go of everything, and end it."""
        with contextlib.suppress(OSError, SystemExit):
            self.ask("close")
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._log.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            raise SystemExit(f"{' '.join(self._process.args[2:])} ended: {self._log.read()[-4000:]}")  # type: ignore[misc, index]
        return dict(json.loads(line))


@contextlib.contextmanager
def running(known: Known, url: str, **environment: str) -> Iterator[Child]:
    """Run a subject on a database; it is ended with the block."""
    child = Child("bench.worker", known.name, url, environment=environment)
    try:
        yield child
    finally:
        child.close()
