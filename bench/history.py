"""What 100,000 old runs cost: a new run, and lists of runs, as ratios to a database without any.

Two databases stand side by side, one with old runs of every end and age, one empty. The same commands take turns on
both in one run, so that a busy machine is slow for both; medians are compared. The new run is a whole ``lmflow
migrate`` in a simulated pool, whose own time is part of both sides; beside it stands what a run writes, without a pool.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lmflow.db.database import Database
from lmflow.db.owner import current_owner
from lmflow.models import MoveRequest, RunState
from lmflow.runner.specs import make_flow_specs

RUNS = 100_000
DAY = 86_400.0
START_SECONDS = 60.0
ENDS = ("success", "success", "success", "refused", "failed")
LISTS: dict[str, tuple[str, ...]] = {
    "run list": ("run", "list"),
    "run list --vm": ("run", "list", "--vm", "vm-0007", "--limit", "10"),
    "run list --state failed": ("run", "list", "--state", "failed", "--limit", "10"),
    "run list --state failed --state refused": (
        "run", "list", "--state", "failed", "--state", "refused", "--limit", "10",
    ),
    "run list --since": ("run", "list", "--since", "1d", "--limit", "10"),
    "run list --pool": ("run", "list", "--all", "--pool", "lab", "--limit", "10"),
    "run list --all -f json": ("run", "list", "--all", "-f", "json", "--limit", "10"),
    "status": ("status",),
}  # fmt: skip


def fill(path: Path, count: int) -> None:
    """Give a database so many old runs: copies of one that lmflow made, with all its rows."""
    database = Database.open(f"sqlite:///{path}")
    request = _make_request("template")
    run, fence = database.runs.create(
        request, kind="migrate", owner=current_owner(), lease_seconds=0.0, flows=make_flow_specs(request)
    )
    for number in range(40):
        database.events.append(fence, "atom", {"atom": f"step {number}", "state": "SUCCESS"})
    database.runs.set_state(fence, RunState.SUCCESS, summary="vm-0000 runs on xcp-b")
    database.leases.release(fence)
    database.close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        _copy(connection, run.uuid, count)


def _make_request(request_id: str) -> MoveRequest:
    return MoveRequest(
        request_id=request_id, pool_profile="lab", pool_uuid=str(uuid.UUID(int=1)), vm_uuid=str(uuid.UUID(int=2)),
        vm_name="vm-0000", source_uuid=str(uuid.UUID(int=3)), source_name="xcp-a",
        destination_uuid=str(uuid.UUID(int=4)), destination_name="xcp-b",
    )  # fmt: skip


def _copy(connection: sqlite3.Connection, template: str, count: int) -> None:
    connection.row_factory = sqlite3.Row
    chance, now = random.Random(1), time.time()  # noqa: S311 - not a secret
    run = dict(connection.execute("select * from lmflow_runs where uuid = ?", (template,)).fetchone())
    book = dict(connection.execute("select * from logbooks").fetchone())
    flows = [dict(row) for row in connection.execute("select * from flowdetails")]
    told = json.loads(run["request"])
    runs, books, details = [], [], []
    for number in range(count):
        key, book_uuid, *of_flows = (str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(4))
        at, vm = now - 400 * DAY + number * 400 * DAY / count, number % 5_000
        name, vm_uuid, request_id = f"vm-{vm:04}", str(uuid.UUID(int=vm + 9)), f"old-{number}"
        request = json.dumps({**told, "request_id": request_id, "vm_name": name, "vm_uuid": vm_uuid})
        made = {"uuid": key, "request_id": request_id, "request": request, "state": ENDS[number % len(ENDS)]}
        links = {"logbook_uuid": book_uuid, "move_uuid": of_flows[0], "settle_uuid": of_flows[1]}
        moments = {"created_at": at, "updated_at": at + 60.0}
        runs.append({**run, **made, **links, **moments, "vm_uuid": vm_uuid, "vm_name": name})
        books.append({**book, "uuid": book_uuid})
        details += [
            {**flow, "uuid": each, "parent_uuid": book_uuid} for flow, each in zip(flows, of_flows, strict=True)
        ]
    for table, rows in (("lmflow_runs", runs), ("logbooks", books), ("flowdetails", details)):
        _insert(connection, table, rows)
    for table in ("lmflow_events", "lmflow_leases"):
        names = [row["name"] for row in connection.execute(f"pragma table_info({table})") if row["name"] != "run_uuid"]
        columns = ", ".join(names)
        connection.execute(
            f"insert into {table} (run_uuid, {columns}) select r.uuid, {columns}"  # noqa: S608
            f" from (select uuid from lmflow_runs where uuid != ? order by uuid) r, {table} e where e.run_uuid = ?",
            (template, template),
        )


def _insert(connection: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    marks = ", ".join("?" * len(rows[0]))
    statement = f"insert into {table} ({', '.join(rows[0])}) values ({marks})"  # noqa: S608 - names of ours
    connection.executemany(statement, [tuple(row.values()) for row in rows])


@contextlib.contextmanager
def serve(directory: Path) -> Iterator[dict[str, Any]]:
    """Run a simulated pool in a process of its own and give what its ready file says."""
    ready = directory / "ready.json"
    command = [sys.executable, "-m", "lmflow.simulator", "--world", "lab", "--time-scale", "1000"]
    command += ["--ready-file", str(ready), "--idle-exit", "600"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=directory) as running:  # noqa: S603 - our own
        try:
            limit = time.monotonic() + START_SECONDS
            while not ready.exists():
                if running.poll() is not None or time.monotonic() > limit:
                    raise SystemExit(f"{' '.join(command)} does not come up")
                time.sleep(0.1)
            yield json.loads(ready.read_text("utf-8"))
        finally:
            running.terminate()


class Side:
    """One database and the commands on it."""

    def __init__(self, directory: Path, told: dict[str, Any]) -> None:
        directory.mkdir(exist_ok=True)
        self.directory, self.database = directory, directory / "lmflow.db"
        config, password = directory / "lmflow.conf", directory / "password"
        password.write_text(f"{told['password']}\n", encoding="utf-8")
        password.chmod(0o600)
        config.write_text(
            f"[database]\nconnection = sqlite:///{self.database}\n"
            "[waits]\nsettle_seconds = 0.1\nquiet_seconds = 0.05\npoll_seconds = 0.05\n"
            f"[pool:lab]\naddresses = {told['coordinator']}\nport = {told['port']}\nscheme = {told['scheme']}\n"
            f"username = {told['username']}\npassword_file = {password}\n",
            encoding="utf-8",
        )
        self.environment = {
            **os.environ, "LMFLOW_CONFIG_FILE": str(config), "HOME": str(directory), "XDG_STATE_HOME": str(directory),
        }  # fmt: skip

    def run(self, *words: str) -> str:
        """Run a command to its end and return what it printed."""
        done = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-m", "lmflow", *words], env=self.environment, cwd=self.directory, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"lmflow {' '.join(words)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def migrate(self) -> None:
        """Move one VM to the host on which it is not."""
        self.run("migrate", "web-01", "-q")

    def write(self) -> None:
        """Write what a run writes, without a pool."""
        database = Database.open(f"sqlite:///{self.database}")
        request = _make_request(str(uuid.uuid4()))
        run, fence = database.runs.create(
            request, kind="migrate", owner=current_owner(), lease_seconds=30.0, flows=make_flow_specs(request)
        )
        for number in range(40):
            database.events.append(fence, "atom", {"atom": f"step {number}", "state": "SUCCESS"})
            database.events.list(run.uuid)
        database.runs.get_newest(run.uuid)
        database.runs.set_state(fence, RunState.SUCCESS)
        database.leases.release(fence)
        database.close()


def take_turns(sides: tuple[Side, Side], subject: Callable[[Side], object], rounds: int) -> tuple[float, float]:
    """Return the median seconds of a subject on both sides; the first round is dropped, and each begins in turn."""
    seconds: dict[Side, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 1):
        for side in sides if number % 2 else reversed(sides):
            began = time.perf_counter()
            subject(side)
            if number:
                seconds[side].append(time.perf_counter() - began)
    empty, full = (statistics.median(seconds[side]) for side in sides)
    return empty, full


def measure(directory: Path, runs: int, rounds: int) -> list[dict[str, Any]]:
    """Fill one of two databases, and return a row for each subject."""
    with serve(directory) as told:
        empty, full = Side(directory / "empty", told), Side(directory / "full", told)
        began = time.perf_counter()
        fill(full.database, runs)
        sys.stdout.write(
            f"{runs} runs, {full.database.stat().st_size / 1e6:.0f} MB, {time.perf_counter() - began:.0f} s\n"
        )
        Database.open(f"sqlite:///{empty.database}").close()
        subjects: dict[str, tuple[Callable[[Side], object], float]] = {
            "what a run writes": (Side.write, 1.1),
            "migrate": (Side.migrate, 1.1),
            **{name: (lambda side, words=words: side.run(*words), 1.3) for name, words in LISTS.items()},
        }
        rows = []
        for name, (subject, goal) in subjects.items():
            without, with_old = take_turns((empty, full), subject, rounds)
            rows.append({
                "what": name, "empty_ms": round(without * 1e3), "full_ms": round(with_old * 1e3),
                "ratio": round(with_old / without, 2), "goal": goal,
            })  # fmt: skip
        return rows


def list_missed(rows: list[dict[str, Any]]) -> list[str]:
    """Return what costs more than its goal beside old runs."""
    return [str(row["what"]) for row in rows if row["ratio"] > row["goal"]]


def main() -> int:
    """Measure, print a table and write JSON; return 1 when a ratio misses its goal."""
    parser = argparse.ArgumentParser(description="Measure what old runs cost a new one, and lists.")
    parser.add_argument("--rounds", type=int, default=9, help="default 9")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"default {RUNS}")
    parser.add_argument("--json", type=Path, default=Path("bench/history.json"), metavar="FILE", help="where it goes")
    options = parser.parse_args()
    before, directory = os.getloadavg()[0], Path(tempfile.mkdtemp(prefix="lmflow-history-"))
    try:
        rows = measure(directory, options.runs, options.rounds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    load = [round(each, 1) for each in (before, os.getloadavg()[0])]
    found = {"python": platform.python_version(), "rounds": options.rounds, "load": load, "runs": options.runs}
    options.json.write_text(json.dumps({**found, "results": rows}, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"load {load[0]} before, {load[1]} after; {options.rounds} rounds, medians\n")
    for row in rows:
        sys.stdout.write(
            f"{row['what']:<42}{row['empty_ms']:>8} ms{row['full_ms']:>8} ms{row['ratio']:>7}{row['goal']:>6}\n"
        )
    missed = list_missed(rows)
    if missed:
        sys.stdout.write(f"missed: {', '.join(missed)}\n")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
