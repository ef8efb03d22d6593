"""Processes of the command, and of simulated pools, that need not import everything anew: forked from one that has.

A command of its own costs two seconds of imports, a pool half a second, and there are many hundreds in a run of the
tests. Each kind has a nursery of its own. A child from here is a process like any other: own pid, own environment, own
descriptors, killed from outside. What differs is the start and the end of the interpreter; the tests of the command
line and of the demo start real ones.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
PRELOADED = (
    *("lmflow.api", "lmflow.conf", "lmflow.cli.main", "lmflow.cli.progress", "rich.progress", "cliff.lister"),
    *("lmflow.cli.migrate", "lmflow.cli.resume", "lmflow.cli.cancel", "lmflow.cli.door", "lmflow.cli.formatters"),
    *("lmflow.api.client", "lmflow.runner.runs", "lmflow.db.backend", "lmflow.flows.move", "lmflow.flows.settle"),
    *("lmflow.visualize.text", "lmflow.visualize.from_run", "taskflow.engines", "lmflow.db.migrations"),
    *("taskflow.engines.action_engine.engine", "cliff.formatters.json_format", "cliff.formatters.yaml_format"),
    *("lmflow.checks.cpu", "lmflow.checks.host", "lmflow.checks.memory", "lmflow.checks.network", "lmflow.checks.pool"),
    *("lmflow.checks.vm", "lmflow.catalogue", "lmflow.cli.check", "lmflow.cli.why", "lmflow.cli.status"),
    *("sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.mysql", "alembic.config"),
    "tests.support.kill_site.commit_reports",
)
PRELOADED_BY_POOLS = ("lmflow.simulator.serve",)
MAX_REQUEST_BYTES = 65536


class Child:
    """A forked command, with as much of ``subprocess.Popen`` as the tests use."""

    def __init__(self, args: list[str], reports: int) -> None:
        self.args = args
        self.returncode: int | None = None
        self._reports = reports
        self.pid = int(self._read_line())

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self.returncode is None and select.select([self._reports], [], [], 0)[0]:
            self.returncode = os.waitstatus_to_exitcode(int(self._read_line()))
            os.close(self._reports)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; subprocess.TimeoutExpired when it does not come."""
        if self.returncode is None and not select.select([self._reports], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        code = self.poll()
        assert code is not None
        return code

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Send any signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # ended since the look
                os.kill(self.pid, number)

    def _read_line(self) -> str:
        text = b""
        while not text.endswith(b"\n"):
            text += os.read(self._reports, 1) or _fail("the nursery has ended")
        return text.decode()


def _fail(text: str) -> NoReturn:
    raise AssertionError(text)


def start(
    args: list[str], *, cwd: Path, env: Mapping[str, str], stdout: int, stderr: int, program: str = "lmflow"
) -> Child:
    """Run ``lmflow`` (or ``simulator``) with these arguments in a fork of the nursery for it; stdin is empty."""
    reports, writer = os.pipe()
    request = json.dumps({"args": args, "cwd": str(cwd), "env": dict(env)}).encode()
    try:
        socket.send_fds(_nursery(program), [request], [stdout, stderr, writer])
    finally:
        os.close(writer)
    return Child([program, *args], reports)


@functools.cache
def _nursery(program: str) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__)), str(theirs.fileno()), program],
        pass_fds=[theirs.fileno()],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
    )
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _serve(descriptor: int, program: str) -> None:
    for module in PRELOADED_BY_POOLS if program == "simulator" else PRELOADED:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    while True:
        request, descriptors, _, _ = socket.recv_fds(connection, MAX_REQUEST_BYTES, 3)
        if not request:
            return
        if os.fork() == 0:
            connection.close()
            _watch(json.loads(request), descriptors, program)
        for each in descriptors:
            os.close(each)


def _watch(request: dict[str, Any], descriptors: array.array[int] | list[int], program: str) -> NoReturn:
    """Fork once more, so that the command has a parent that waits for it and tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stdout, stderr, reports = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(reports)
        _become(request, stdout, stderr, _simulate if program == "simulator" else _command)
    for each in (stdout, stderr):
        os.close(each)
    os.write(reports, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(reports, f"{status}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], stdout: int, stderr: int, main: Callable[[list[str]], int]) -> NoReturn:
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
        os.close(source)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    code = 1
    try:
        code = main(request["args"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except Exception:  # noqa: BLE001 - border: a process says why it ended
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command(args: list[str]) -> int:
    from lmflow.cli.main import main  # noqa: PLC0415 - loaded by the parent
    from tests.support.kill_site import commit_reports  # noqa: PLC0415 - as above

    sys.argv = ["lmflow", *args]
    commit_reports.install()
    return int(main() or 0)


def _simulate(args: list[str]) -> int:
    from lmflow.simulator.serve import make_parser, run  # noqa: PLC0415 - loaded by the parent

    os.setsid()
    return int(run(make_parser().parse_args(args)) or 0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
