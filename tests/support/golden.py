"""Golden databases: what an lmflow of one schema and one flow version leaves behind, and the pool it left.

    python -m tests.support.golden DIRECTORY

makes ``DIRECTORY/r0001-v2`` with the lmflow that is imported: ``database.sql`` (an SQLite database as text, to be
compared line by line), ``pool.json`` (the pool's world, as the simulator keeps it between two runs) and ``ORIGIN``. It
uses no more of ``tests.support`` than every commit since flow version 1 has, so that it can be copied into the worktree
of an old commit and run there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import taskflow

import lmflow
from lmflow.db.migrations import REVISIONS
from lmflow.flows.versions import CURRENT
from tests.support.ends import DISABLED, Ends, write_many
from tests.support.kills import kill, kill_at_step, wait_until
from tests.support.scene import Scene

NAME = f"r{REVISIONS[-1]}-v{CURRENT}"
"""The directory of what this lmflow leaves: the head of its schema and the version of its flows."""

_TABLES_OF_SQLITE = ("sqlite_sequence", "sqlite_stat1")


def make(directory: Path) -> Path:
    """Make the golden database of the lmflow that is imported, below the directory; blocks for half a minute."""
    target = directory / NAME
    with _temporary_scene() as scene:
        state = scene.directory / "state.json"
        # Nobody restarts here, so that there is little to settle; an owner that was killed has no lease for long.
        scene.waits = {"lease_seconds": 120.0, "settle_seconds": 0.5, "pool_seconds": 2.0}
        world = write_many(scene.directory / "many.json")
        pool = scene.start(world, "--refuse-witness", "--state", str(state), time_scale=100.0)
        begin_and_end(Ends(scene, pool))
        pool.stop()
        target.mkdir(parents=True, exist_ok=True)
        _write_state(state, target / "pool.json")
        _write_dump(scene, target / "database.sql")
        _write_origin(scene, target / "ORIGIN")
    return target


def begin_and_end(ends: Ends) -> None:
    """Leave a run in every way that there is; the request ids are the names of the ways."""
    if REVISIONS[-1] > "0002":
        assert ends.refuse("pruned").returncode == 3
        assert ends.scene.run("run", "prune", "--older-than", "0", "--yes").returncode == 0
    assert ends.succeed("success").returncode == 0
    assert ends.refuse("refused").returncode == 3
    assert ends.fail("failed").returncode == 4
    assert ends.soil("dirty").returncode == 11
    assert ends.doubt("unknown").returncode == 7
    if CURRENT > 1:
        assert _try_two(ends, "tried") == 0
    _kill_at_call(ends, "before-submit", "PBD.plug", "request_read")
    ends.fault("setup", vm=f"d{ends.used['d']}", error=DISABLED)
    _kill_at_call(ends, "reverting", "PBD.unplug", "reply_written")
    if CURRENT > 1:
        _kill_at_step(ends, "settling", "await_settled")
    assert ends.let_go("suspended").returncode == 5
    ends.abandon("arrived")
    ends.release()
    for name in ("suspended", "arrived"):
        ends.scene.wait_until(lambda vm=ends.vms[name]: ends.pool.resident_on(vm) == "B")  # type: ignore[misc]
    ends.abandon("copying")


def _try_two(ends: Ends, request_id: str) -> int:
    """Move to the second of two hosts: the first one turns out unfit."""
    vm = ends.take(request_id)
    ends.fault("setup", vm=vm, error=DISABLED)
    return ends.scene.run("migrate", vm, "--request-id", request_id, "--max-retries", "1").returncode


def _kill_at_call(ends: Ends, request_id: str, call: str, point: str) -> None:
    """Kill the owner of a migration, whose storage has to be plugged, while the pool holds that call of it."""
    vm = ends.take(request_id, "d")
    ends.pool.control("POST", "/hold", {"call": call, "point": point})
    child = ends.scene.popen("migrate", vm, "--to", "B", "--request-id", request_id)
    reached = wait_until(lambda: any(h["reached"] for h in ends.pool.control("GET", "/hold")), child, call)
    assert reached, ends.scene.read_output(child)
    kill(child)
    ends.let_call_go()


def _kill_at_step(ends: Ends, request_id: str, atom: str) -> None:
    """Kill the owner of a migration when it begins that step."""
    assert kill_at_step(ends.scene, atom, "migrate", ends.take(request_id), "--to", "B", "--request-id", request_id)


@contextlib.contextmanager
def _temporary_scene() -> Iterator[Scene]:
    directory = Path(tempfile.mkdtemp(prefix="lmflow-golden-"))
    scene = Scene(directory)
    try:
        yield scene
    finally:
        scene.close()
        shutil.rmtree(directory, ignore_errors=True)


def _write_state(state: Path, target: Path) -> None:
    """Keep the pool, one object a line."""
    data = json.loads(state.read_text(encoding="utf-8"))
    objects = data["store"].pop("objects")
    lines = [
        f"{json.dumps(kind)}: {{\n"
        + ",\n".join(f"{json.dumps(ref)}: {json.dumps(record, sort_keys=True)}" for ref, record in records.items())
        + "\n}"
        for kind, records in objects.items()
    ]
    head = json.dumps({key: value for key, value in data.items() if key != "store"}, sort_keys=True)[:-1]
    store = json.dumps(data["store"], sort_keys=True)[:-1]
    text = f'{head},\n"store": {store}, "objects": {{\n' + ",\n".join(lines) + "\n}}}\n"
    assert json.loads(text)["store"]["objects"] == objects
    target.write_text(text, encoding="utf-8")


def _write_dump(scene: Scene, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(scene.database_file)) as database:
        lines = [line for line in database.iterdump() if not any(name in line for name in _TABLES_OF_SQLITE)]
    text = "\n".join(lines) + "\n"
    for module in (lmflow, taskflow):  # tracebacks say where they were installed
        text = text.replace(str(Path(str(module.__file__)).parents[1]), "/opt/lmflow")
    target.write_text(text, encoding="utf-8")


def _write_origin(scene: Scene, target: Path) -> None:
    root = Path(lmflow.__file__).parents[1]
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
    states = sorted((run["request_id"], run["state"]) for run in scene.runs())
    text = f"""\
A database and a pool as lmflow left them; made by itself, with our own simulated pool. Never edited.

command          python -m tests.support.golden tests/data/golden
commit           {os.environ.get("LMFLOW_GOLDEN_COMMIT", commit)}
schema revision  {REVISIONS[-1]}
flow version     {CURRENT}

Request ids of the runs, which say how each was left, and their states:

"""
    target.write_text(text + "".join(f"{name:<16} {state}\n" for name, state in states), encoding="utf-8")


if __name__ == "__main__":
    print(make(Path(sys.argv[1]).resolve()))  # noqa: T201 - a program
