"""What ``check`` of one VM against every host of a big pool costs: a ratio to the time of its own round trips.

A check is made, and the very calls that it made are made again by the same connection with nothing done to the replies
but parsing them: JSON where whole classes are read, else what the SDK does. Both take turns in one run, so that a busy
machine is slow for both. Beside that stands what the same requests cost by XML-RPC on a plain socket that parses
nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import http.client
import json
import os
import platform
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lmflow.models import PoolProfile
from lmflow.runner.checking import make_check
from lmflow.xapi.connection import Connection

HOSTS, VMS = 64, 5_000
START_SECONDS = 300.0


class RecordingConnection(Connection):
    """Remembers the reading calls that are made with it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        super().__init__(*args, **kwargs)

    def read(self, method: str, *args: Any) -> Any:
        """Make a reading call and remember it."""
        self.calls.append((method, args))
        return super().read(method, *args)


@contextlib.contextmanager
def serve(hosts: int, vms: int) -> Iterator[dict[str, Any]]:
    """Run a simulated pool in a process of its own and give what its ready file says."""
    with tempfile.TemporaryDirectory() as directory:
        ready = Path(directory) / "ready.json"
        command = [sys.executable, "-m", "lmflow.simulator", "--world", f"generated:{hosts}x{vms}"]
        command += ["--ready-file", str(ready), "--idle-exit", "600"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as running:  # noqa: S603 - our own
            try:
                limit = time.monotonic() + START_SECONDS
                while not ready.exists():
                    if running.poll() is not None or time.monotonic() > limit:
                        raise SystemExit(f"{' '.join(command)} does not come up")
                    time.sleep(0.1)
                yield json.loads(ready.read_text("utf-8"))
            finally:
                running.terminate()


def connect(told: dict[str, Any]) -> RecordingConnection:
    """Log in to the pool."""
    profile = PoolProfile(
        name="bench", addresses=(told["coordinator"],), scheme=told["scheme"], port=told["port"],
        username=told["username"], read_timeout_seconds=600.0,
    )  # fmt: skip
    opened = RecordingConnection.open(profile, lambda: str(told["password"]))
    assert isinstance(opened, RecordingConnection)  # noqa: S101 - what a class opens is one of it
    return opened


def find_vm(conn: Connection) -> str:
    """Return the UUID of a VM that runs and may be migrated: the first by its UUID."""
    found = conn.read("VM.get_all_records_where", 'field "power_state" = "Running"')
    return min(vm["uuid"] for vm in found.values() if "pool_migrate" in vm["allowed_operations"])


def replay(conn: Connection, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
    """Make calls again and let go of what they return."""
    for method, args in calls:
        conn.read(method, *args)


class Plain:
    """The same requests on a plain connection; replies are read to their end and counted."""

    def __init__(self, told: dict[str, Any], session: str, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._carrier = http.client.HTTPConnection(told["coordinator"], told["port"], timeout=600)
        self._bodies = [xmlrpc.client.dumps((session, *args), method).encode() for method, args in calls]

    def ask(self) -> int:
        """Send every request, one after the other, and return the size of all replies."""
        size = 0
        for body in self._bodies:
            self._carrier.request("POST", "/", body, {"Content-Type": "text/xml"})
            size += len(self._carrier.getresponse().read())
        return size


def time_in_turns(subjects: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each subject in each round; the first round is dropped."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, subject in subjects.items():
            began = time.perf_counter()
            subject()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def measure(told: dict[str, Any], rounds: int, profile: bool) -> dict[str, Any]:
    """Measure a check of one VM, its round trips as the SDK makes them, and the same bytes on a socket."""
    with connect(told) as conn:
        vm_uuid = find_vm(conn)
        conn.calls.clear()
        conn.link.may_migrate = None
        report = make_check(conn, [vm_uuid])
        calls = list(conn.calls)
        plain = Plain(told, conn.session_reference(), calls)
        if profile:
            print_profile(lambda: make_check(conn, [vm_uuid]))
        subjects: dict[str, Callable[[], object]] = {
            "check": lambda: make_check(conn, [vm_uuid]),
            "round_trips": lambda: replay(conn, calls),
            "bytes": plain.ask,
        }
        taken = {name: statistics.median(each) for name, each in time_in_turns(subjects, rounds).items()}
        return {
            "hosts": len(report.vms[0].hosts),
            "would_work": len(report.vms[0].would_work),
            "calls": len(calls),
            "mb": round(plain.ask() / 1e6, 1),
            **{f"{name}_ms": round(seconds * 1e3) for name, seconds in taken.items()},
            "ratio": round(taken["check"] / taken["round_trips"], 2),
            "goal": 1.5,
        }


def print_profile(subject: Callable[[], object]) -> None:
    """Say on standard error where the time goes."""
    profiler = cProfile.Profile()
    profiler.runcall(subject)
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(30)


def main() -> None:
    """Measure, print the results and write JSON."""
    parser = argparse.ArgumentParser(description="Measure what a check of one VM against a whole pool costs.")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--hosts", type=int, default=HOSTS, help=f"default {HOSTS}")
    parser.add_argument("--vms", type=int, default=VMS, help=f"default {VMS}")
    parser.add_argument("--profile", action="store_true", help="say where the time goes, on standard error")
    parser.add_argument("--json", type=Path, default=Path("bench/check.json"), metavar="FILE", help="where it goes")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with serve(options.hosts, options.vms) as told:
        results = measure(told, options.rounds, options.profile)
    load = [round(each, 1) for each in (before, os.getloadavg()[0])]
    world = {"hosts": options.hosts, "vms": options.vms}
    found = {"python": platform.python_version(), "rounds": options.rounds, "load": load, "world": world}
    options.json.write_text(json.dumps({**found, "results": results}, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"load {load[0]} before, {load[1]} after; {options.rounds} rounds\n")
    sys.stdout.write(", ".join(f"{key} {value}" for key, value in results.items()) + "\n")


if __name__ == "__main__":
    main()
