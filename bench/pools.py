"""Many migrations at once in a simulated pool: what they cost the pool and us, beside the script written by hand."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import XenAPI

from bench.children import Child

START_SECONDS = 300.0
_ESTABLISHED = "01"
_APART = {
    "session.login": "login",
    "session.logout": "login",
    "session.": "fence",
    "other_config": "marker",
    "event.": "stream",
    "xenops": "witness",
}


class Pool:
    """A simulated pool in a process of its own; ``told`` is its ready file."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told

    def control(self, path: str) -> Any:
        """Return what the control channel says."""
        connection = http.client.HTTPConnection("127.0.0.1", int(self.told["control_port"]), timeout=300)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())

    def list_moves(self, count: int) -> list[tuple[str, str]]:
        """Return so many pairs of a running VM and another host that the pool itself finds fit, spread over hosts."""
        told = self.told
        session = XenAPI.Session(f"{told['scheme']}://{told['coordinator']}:{told['port']}", ignore_ssl=True)
        session.xenapi.login_with_password(told["username"], told["password"], "1.0", "lmflow-bench")
        hosts = session.xenapi.host.get_all_records()
        running = session.xenapi.VM.get_all_records_where('field "power_state" = "Running"')
        order, taken = sorted(hosts, key=lambda ref: str(hosts[ref]["uuid"])), Counter[str]()
        moves: list[tuple[str, str]] = []
        limit = -(-count // len(order))
        for vm, record in sorted(running.items(), key=lambda item: str(item[1]["uuid"])):
            home = record["resident_on"]
            if len(moves) == count:
                break
            if "pool_migrate" not in record["allowed_operations"] or taken[home] >= limit:
                continue
            there = order[(order.index(home) + 1) % len(order)]
            with contextlib.suppress(XenAPI.Failure):
                session.xenapi.VM.assert_can_boot_here(vm, there)
                taken[home] += 1
                moves.append((record["uuid"], hosts[there]["uuid"]))
        session.xenapi.session.logout()
        return moves


@contextlib.contextmanager
def serving(world: str, time_scale: float) -> Iterator[Pool]:
    """Run a simulated pool of this world."""
    with tempfile.TemporaryDirectory() as directory:
        ready = Path(directory) / "ready.json"
        command = [sys.executable, "-m", "lmflow.simulator", "--world", world, "--ready-file", str(ready)]
        command += ["--control-port", "0", "--idle-exit", "900", "--time-scale", str(time_scale)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as running:  # noqa: S603 - our own
            try:
                limit = time.monotonic() + START_SECONDS
                while not ready.exists():
                    if running.poll() is not None or time.monotonic() > limit:
                        raise SystemExit(f"{' '.join(command)} does not come up")
                    time.sleep(0.1)
                yield Pool(json.loads(ready.read_text("utf-8")))
            finally:
                running.terminate()


class Sockets(threading.Thread):
    """Looks ten times a second how many connections a process has to the pool's port; keeps the highest number."""

    def __init__(self, pid: int, port: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._port, self._over = pid, port, threading.Event()
        self.peak = 0

    def run(self) -> None:
        """Look until told to stop."""
        while not self._over.wait(0.1):
            self.peak = max(self.peak, self._count())

    def finish(self) -> int:
        """Stop looking and return the highest number."""
        self._over.set()
        self.join()
        return self.peak

    def _count(self) -> int:
        inodes = set()
        for link in Path(f"/proc/{self._pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(link))
        rows = (line.split() for line in Path(f"/proc/{self._pid}/net/tcp").read_text("ascii").splitlines()[1:])
        ours = (row for row in rows if f"socket:[{row[9]}]" in inodes)
        return sum(row[3] == _ESTABLISHED and int(row[2].split(":")[1], 16) == self._port for row in ours)


def migrate(name: str, database_url: str, world: str, count: int, time_scale: float) -> dict[str, Any]:
    """Do so many migrations at once, by ``script`` or ``lmflow``, in a pool of their own; return what was seen."""
    with serving(world, time_scale) as pool:
        moves = pool.list_moves(count)
        child = Child("bench.pool_worker", name, database_url)
        try:
            pid = child.ask("connect", told=pool.told)["pid"]
            before = len(pool.control("/audit"))
            sockets = Sockets(pid, int(pool.told["port"]))
            sockets.start()
            answer = child.ask("migrate", moves=moves)
            answer["connections"] = sockets.finish()
        finally:
            child.close()
        return {**answer, "moves": len(moves), "calls": pool.control("/audit")[before:]}


def count_calls(calls: list[dict[str, Any]]) -> dict[str, int]:
    """Return how often each method was called from outside."""
    return dict(Counter(str(call["method"]) for call in calls if call["host"] != "internal").most_common())


def sort_calls(calls: list[dict[str, Any]]) -> dict[str, int]:
    """Return the calls of a migration that was alone in the pool, by what they are for.

    ``look``: all before the submit that is none of the others. ``submit_on``: the submit and all after it that is none
    of the others. ``login``, ``fence``, ``marker``, ``stream`` and ``witness`` are counted apart.
    """
    kinds: Counter[str] = Counter(dict.fromkeys(("look", "submit_on", *dict.fromkeys(_APART.values())), 0))
    submitted = False
    for call in calls:
        method = str(call["method"])
        if call["host"] == "internal":
            continue
        submitted = submitted or method == "Async.VM.pool_migrate"
        apart = next((kind for part, kind in _APART.items() if part in method), "")
        kinds[apart or ("submit_on" if submitted else "look")] += 1
    return dict(kinds)


def count_changes(calls: list[dict[str, Any]]) -> int:
    """Return how many calls changed something in the pool; logins and our own sessions count, as they leave traces."""
    return sum(call["host"] != "internal" and not _is_reading(str(call["method"])) for call in calls)


def _is_reading(method: str) -> bool:
    name = method.rpartition(".")[2]
    return name.startswith(("get_", "assert_", "from", "register", "stat", "exists", "list"))
