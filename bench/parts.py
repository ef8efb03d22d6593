"""The parts of the benchmark: each fills in its numbers of a run's results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import pools, subjects
from bench.children import ROOT, Child, running
from bench.databases import Databases
from bench.results import Results
from bench.subjects import Known

HOLD = {"LMFLOW_BENCH_HOLD": "1"}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. ``slow_rounds``: of subjects that need a hundred times as long as the others."""

    rounds: int = 15
    jobs: int = 5
    many_rounds: int = 5
    many_jobs: int = 192
    width: int = 32
    slow_rounds: int = 3
    slow_jobs: int = 32
    profiled: int = 50
    interrupted: int = 1_000
    resumes: int = 1
    inflight: int = 10_000
    history_runs: int = 100_000
    history_rounds: int = 9
    startup_rounds: int = 15
    world: str = "generated:64x5000"
    moves: int = 32
    pool_rounds: int = 3
    time_scale: float = 3.0


FULL = Scale()
QUICK = Scale(
    rounds=3, jobs=2, many_rounds=1, many_jobs=32, slow_rounds=1, slow_jobs=4, profiled=5, interrupted=20, inflight=100,
    history_runs=500, history_rounds=1, startup_rounds=2, world="generated:4x64", moves=4, pool_rounds=1,
    time_scale=20.0,
)  # fmt: skip


def with_rounds(scale: Scale, rounds: int) -> Scale:
    """Return the scale with another number of rounds."""
    return dataclasses.replace(scale, rounds=rounds)


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: where numbers go, on what they are measured, and how many of them."""

    results: Results
    databases: Databases
    scale: Scale
    say: Callable[[str], None]

    def contenders(self, *, resuming: bool = False) -> list[tuple[Known, str]]:
        """Return the subjects that are there, each with a kind of database."""
        found = [(known, store) for known in subjects.KNOWN for store in known.stores if known.name not in self.absent]
        return [(known, store) for known, store in found if known.resumes or not resuming]

    @property
    def absent(self) -> Sequence[str]:
        """The names of what does not exist here."""
        return self.results.absent


def find_absent() -> list[str]:
    """Return what cannot be measured here: subjects that need what is not there, and parts that are not built."""
    absent = [known.name for known in subjects.KNOWN if not subjects.is_there(known.needs)]
    absent += [name for name in ("inflight", "bulk") if not subjects.is_there(f"bench.{name}")]
    return absent + ([] if subjects.is_there("lmflow.xapi.link") else ["pool"])


@contextlib.contextmanager
def _all_running(bench: Bench) -> Iterator[list[tuple[Known, str, Child]]]:
    with contextlib.ExitStack() as stack:
        yield [
            (known, store, stack.enter_context(running(known, bench.databases.make(store))))
            for known, store in bench.contenders()
        ]


def _in_turn(bench: Bench, part: str, rounds: int, work: Callable[[Known, str, Child], float]) -> None:
    """Have all subjects take turns; each round begins at the other end."""
    with _all_running(bench) as children:
        for number in range(rounds):
            bench.results.note_load(part)
            for known, store, child in children if number % 2 else children[::-1]:
                if number < bench.scale.slow_rounds or not known.slow:
                    bench.results.add_round(f"{part}/{known.name}/{store}", work(known, store, child))


def measure_one(bench: Bench) -> None:
    """Milliseconds of a job, one after the other: of each round the middle one."""

    def work(known: Known, _store: str, child: Child) -> float:
        count = min(3, bench.scale.jobs) if known.slow else bench.scale.jobs
        seconds = sorted(child.ask("one", count=count + 1)["seconds"][1:])
        return float(seconds[len(seconds) // 2] * 1e3)

    _in_turn(bench, "one", bench.scale.rounds, work)


def measure_many(bench: Bench) -> None:
    """Jobs a second, 32 at a time."""

    def work(known: Known, _store: str, child: Child) -> float:
        count = bench.scale.slow_jobs if known.slow else bench.scale.many_jobs
        return float(count / child.ask("many", count=count, width=bench.scale.width)["seconds"])

    _in_turn(bench, "many", bench.scale.many_rounds, work)


def measure_counts(bench: Bench) -> None:
    """What each subject sends to its database for one job, by SQLAlchemy's events; raw SQL does not use it."""
    for known, store in bench.contenders():
        if known.name not in ("sql", "memory"):
            with running(known, bench.databases.make(store)) as child:
                told = child.ask("count")
            for name in ("commits", "reads", "statements"):
                bench.results.add_fact(f"count/{known.name}/{store}/{name}", told[name])
            if told["settings"]:
                bench.results.add_fact(f"settings/{known.name}/{store}", told["settings"])
    for name in ("fsync", "synchronous_commit", "server_version") if bench.databases.ask("fsync") else ():
        bench.results.add_fact(f"settings/postgresql/{name}", bench.databases.ask(name))


def measure_profile(bench: Bench) -> None:
    """Where the time of lmflow's jobs goes, and of TaskFlow's own engine in memory."""
    for known, store in bench.contenders():
        if known.name in ("lmflow", "memory"):
            with running(known, bench.databases.make(store)) as child:
                child.ask("one", count=3)
                bench.results.add_fact(
                    f"profile/{known.name}/{store}", child.ask("profile", count=bench.scale.profiled)
                )


def measure_resume(bench: Bench) -> None:
    """Seconds from the start of a process until it has ended all jobs that a killed one left."""
    count = bench.scale.interrupted
    for _ in range(bench.scale.resumes):
        for known, store in bench.contenders(resuming=True):
            bench.results.note_load("resume")
            url = bench.databases.make(store)
            filler = Child("bench.worker", known.name, url, environment=HOLD)
            filler.ask("interrupt", count=count)
            filler.kill()
            began = time.perf_counter()
            with running(known, url) as child:
                child.ask("resume", count=count)
                seconds = time.perf_counter() - began
            # Fewer than a thousand say nothing of a thousand.
            name = "resume" if count == FULL.interrupted else f"resume of {count}"
            bench.results.add_round(f"{name}/{known.name}/{store}", seconds)


def measure_inflight(bench: Bench) -> None:
    """What runs that wait cost: kilobytes each, threads of the process; bench/inflight.py says of what."""
    if "inflight" not in bench.absent:
        command = [sys.executable, "-m", "bench.inflight", str(bench.scale.inflight)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - our own
        told = json.loads(done.stdout)
        name = "inflight" if bench.scale.inflight == FULL.inflight else f"inflight of {bench.scale.inflight}"
        for key, number in told.items():
            bench.results.add_fact(f"{name}/{key}", number)


def measure_bulk(bench: Bench) -> None:
    """Reading a big pool; bench/bulk.py says how."""
    if "bulk" not in bench.absent:
        from bench import bulk  # noqa: PLC0415 - may be missing

        for key, number in bulk.measure().items():
            bench.results.add_fact(f"bulk/{key}", number)


def measure_pool(bench: Bench) -> None:
    """Migrations in a simulated pool: one alone, whose calls can be told apart, then many at once beside the script."""
    scale, results = bench.scale, bench.results
    alone = pools.migrate("lmflow", bench.databases.make("sqlite"), scale.world, 1, scale.time_scale)
    for kind, number in pools.sort_calls(alone["calls"]).items():
        results.add_fact(f"pool/lmflow/calls_{kind}", number)
    results.add_fact("pool/lmflow/ends_alone", alone["ends"])
    changes = pools.count_changes(alone["calls"])
    checkpoints = sum("lmflow_attempts" in tables for tables in alone["counts"]["written"])
    results.add_fact("pool/lmflow/commits", alone["counts"]["commits"])
    results.add_fact("pool/lmflow/changes", changes)
    results.add_fact("pool/lmflow/checkpoints", checkpoints)
    results.add_fact("pool/lmflow/commits_beyond", alone["counts"]["commits"] - changes - checkpoints)
    for _ in range(scale.pool_rounds):
        for name in ("script", "lmflow"):
            results.note_load("pool")
            seen = pools.migrate(name, bench.databases.make("sqlite"), scale.world, scale.moves, scale.time_scale)
            results.add_round(f"cpu/{name}/pool", seen["cpu"] / len(seen["ends"]))
            results.add_round(f"wall/{name}/pool", seen["seconds"])
            results.add_fact(f"pool/{name}/connections", seen["connections"])
            results.add_fact(f"pool/{name}/migrations", len(seen["ends"]))
            results.add_fact(f"pool/{name}/succeeded", sum(end == "success" for end in seen["ends"]))
            results.add_fact(f"pool/{name}/calls_each", len(seen["calls"]) / len(seen["ends"]))


def measure_history(bench: Bench) -> None:
    """What old runs cost, by bench/history.py."""
    words = ["--runs", str(bench.scale.history_runs), "--rounds", str(bench.scale.history_rounds)]
    told = _run_script("history", *words)
    name = "history" if bench.scale.history_runs == FULL.history_runs else f"history of {bench.scale.history_runs}"
    for row in told["results"]:
        what = "writes" if row["what"] == "what a run writes" else row["what"]
        bench.results.add_fact(f"{name}/{what}", row["ratio"])


def measure_startup(bench: Bench) -> None:
    """How long the command takes to start, by bench/startup.py."""
    for row in _run_script("startup", "--rounds", str(bench.scale.startup_rounds))["results"]:
        bench.results.add_fact(f"startup/{row['command']}", row["ratio"])


def _run_script(name: str, *words: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "out.json"
        command = [sys.executable, "-m", f"bench.{name}", *words, "--json", str(out)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own
        if not out.exists():
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return dict(json.loads(out.read_text("utf-8")))


PARTS: dict[str, Callable[[Bench], None]] = {
    "one": measure_one,
    "many": measure_many,
    "counts": measure_counts,
    "profile": measure_profile,
    "resume": measure_resume,
    "inflight": measure_inflight,
    "bulk": measure_bulk,
    "pool": measure_pool,
    "startup": measure_startup,
    "history": measure_history,
}
LONG = ("history", "resume", "bulk", "pool")
"""What ``--quick`` leaves out."""
