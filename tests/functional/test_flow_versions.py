"""A run whose flows this lmflow cannot build is left exactly as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

from lmflow.flows.versions import CURRENT, OLDEST
from tests.support.claims import PUT
from tests.support.invariants import Invariants
from tests.support.kills import kill_at_step, query
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

TABLES = ("lmflow_runs", "lmflow_leases", "lmflow_events", "lmflow_control")


def age(scene: Scene, version: int) -> None:
    """Make the stored flows those of an earlier lmflow."""
    change = f"update flowdetails set meta = replace(meta, '\"version\": {CURRENT}', '\"version\": {version}')"  # noqa: S608
    with closing(sqlite3.connect(scene.database_file)) as database, database:
        assert database.execute(change).rowcount == 2
        database.execute("delete from atomdetails where name in ('claim_vm', 'release_vm')")


def test_nothing_is_written_of_a_run_with_flows_of_another_version(
    simulator: Start, lmflow: Lmflow, scene: Scene, invariants: Invariants, tmp_path: Path
) -> None:
    invariants.open_runs = True
    pool = simulator(write_world(tmp_path / "p.json"))
    assert kill_at_step(scene, "validate", "migrate", "v", "--to", "B", "--request-id", "r")
    age(scene, OLDEST - 1)
    before = [query(scene, f"select * from {table}") for table in TABLES]  # noqa: S608 - names of ours
    for words in (("resume", "r"), ("cancel", "r"), ("resolve", "r", "--on", "A", "--reason", "I looked")):
        done = lmflow(*words)
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"version {OLDEST - 1}" in " ".join((done.stdout + done.stderr).split())
    assert [query(scene, f"select * from {table}") for table in TABLES] == before  # noqa: S608 - names of ours
    assert pool.changing_calls() == []


def test_a_run_of_the_version_before_is_resumed_as_it_was_begun(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    assert kill_at_step(scene, "validate", "migrate", "v", "--to", "B", "--request-id", "r")
    age(scene, OLDEST)
    done = lmflow("resume", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert pool.runs_on("v") == ["B"]
    assert pool.audit(PUT) == []
