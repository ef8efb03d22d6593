"""A run whose flows this lmflow cannot build is left exactly as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

from tests.support.invariants import Invariants
from tests.support.kills import kill_when_atom_begins, query
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

TABLES = ("lmflow_runs", "lmflow_leases", "lmflow_events", "lmflow_control")


def age(scene: Scene) -> None:
    """Make the stored flows those of an earlier lmflow."""
    with closing(sqlite3.connect(scene.database_file)) as database, database:
        changed = database.execute("update flowdetails set meta = replace(meta, '\"version\": 2', '\"version\": 1')")
        assert changed.rowcount == 2


def test_nothing_is_written_of_a_run_with_flows_of_another_version(
    simulator: Start, lmflow: Lmflow, scene: Scene, invariants: Invariants, tmp_path: Path
) -> None:
    invariants.open_runs = True
    pool = simulator(write_world(tmp_path / "p.json"))
    owner = scene.popen("migrate", "v", "--to", "B", "--request-id", "r")
    assert kill_when_atom_begins(scene, owner, "validate_vm"), scene.read_output(owner)
    age(scene)
    before = [query(scene, f"select * from {table}") for table in TABLES]  # noqa: S608 - names of ours
    for words in (("resume", "r"), ("cancel", "r"), ("resolve", "r", "--on", "A", "--reason", "I looked")):
        done = lmflow(*words)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "version 1" in " ".join((done.stdout + done.stderr).split())
    assert [query(scene, f"select * from {table}") for table in TABLES] == before  # noqa: S608 - names of ours
    assert pool.changing_calls() == []
