"""Rows that nobody can read, and files that are no database: refused by name, and nobody else is held up."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.support import golden_loading as golden
from tests.support.invariants import Invariants
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene

NAME = "r0001-v2"
RUNS, FLOWS = "update lmflow_runs set", "update flowdetails set meta = replace(meta,"
OF_MOVE = "where uuid = (select move_uuid from lmflow_runs where request_id ="
DAMAGE = {
    "arrived": f"{RUNS} request = 'no JSON' where request_id = 'arrived'",
    "suspended": f"{RUNS} state = 'exploring' where request_id = 'suspended'",
    "settling": "delete from flowdetails where uuid ="
    " (select settle_uuid from lmflow_runs where request_id = 'settling')",
    "before-submit": f"{FLOWS} 'lmflow.flows.move.make_move_flow', 'os.system') {OF_MOVE} 'before-submit')",
    "reverting": f"{FLOWS} '\"version\": 2', '\"version\": 9') {OF_MOVE} 'reverting')",
    "copying": "update lmflow_events set data = '[' where sequence = 2 and run_uuid ="
    " (select uuid from lmflow_runs where request_id = 'copying')",
    "success": f"{RUNS} request = '[1]' where request_id = 'success'",
}
UNREADABLE = ("arrived", "suspended", "success")
FORGET = "delete from lmflow_runs where request_id = '{}'"
STRANGE = (
    "insert into lmflow_events select run_uuid, 1000, at, 'of-tomorrow', 7, '{\"new\": true}' from lmflow_events"
    " where sequence = 1 and run_uuid = (select uuid from lmflow_runs where request_id = 'unknown')"
)


def execute(scene: Scene, *statements: str) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(scene.database_file)) as database, database:
        for statement in statements:
            assert database.execute(statement).rowcount >= 1, statement
        return database.execute("select request_id, uuid from lmflow_runs").fetchall()


def dump(scene: Scene) -> list[str]:
    with contextlib.closing(sqlite3.connect(scene.database_file)) as database:
        return list(database.iterdump())


@pytest.fixture
def pool(scene: Scene, invariants: Invariants) -> SimulatedPool:
    """The pool of a golden database, which the scene has."""
    invariants.open_runs = True
    made = golden.start_pool(scene, NAME)
    golden.write_file(NAME, scene.database_file)
    assert scene.run("db", "upgrade").returncode == 0
    return made


def test_a_damaged_run_is_refused_by_name_and_the_others_go_on(scene: Scene, pool: SimulatedPool) -> None:
    uuids = dict(execute(scene, *DAMAGE.values(), STRANGE))
    before = dump(scene)
    for request_id in DAMAGE:
        refused = scene.run("resume", uuids[request_id])
        assert refused.returncode == 2, (request_id, refused.stderr)
        assert uuids[request_id] in refused.stderr
        assert "  try: " in refused.stderr
    for command in (("run", "show"), ("why",)):
        for request_id in UNREADABLE:
            assert scene.run(*command, uuids[request_id]).returncode == 2, (command, request_id)
    assert scene.run("run", "show", "copying").returncode == 2
    assert dump(scene) == before
    assert pool.changing_calls() == []
    listed = scene.run("run", "list", "--all", "-f", "value", "-c", "request_id")
    assert listed.returncode == 0, listed.stderr
    assert set(listed.stdout.split()) == set(uuids) - set(UNREADABLE)
    assert all(uuids[request_id] in listed.stderr for request_id in UNREADABLE)
    status = scene.run("status")
    assert status.returncode == 0, status.stderr
    assert "Cannot say how run" in status.stdout
    resumed = scene.run("resume")
    assert resumed.returncode == 4, "the gravest of them: " + resumed.stdout + resumed.stderr
    states = {run["request_id"]: run["state"] for run in scene.rows("run", "list", "--all")}
    assert states["unknown"] == "failed", "an event of a kind that is not known is no damage"
    assert {states[each] for each in ("settling", "before-submit", "reverting", "copying")} == {"running"}
    assert scene.run("repair", "dirty").returncode == 4
    assert scene.run("migrate", "v9", "--to", "B").returncode == 0
    execute(scene, *(FORGET.format(each) for each in UNREADABLE))  # the invariants read every run


def test_status_and_a_plan_name_what_cannot_be_read(scene: Scene, pool: SimulatedPool) -> None:
    of_ended = (
        "insert into lmflow_events select run_uuid, 1000, at, 'xapi_view', version, '[' from lmflow_events"
        " where sequence = 1 and run_uuid = (select uuid from lmflow_runs where request_id = 'success')"
    )
    of_attempt = (
        "update lmflow_attempts set starts = '[' where run_uuid ="
        " (select uuid from lmflow_runs where request_id = 'unknown')"
    )
    uuids = dict(execute(scene, DAMAGE["arrived"], of_ended, of_attempt))
    status = scene.run("status", "-f", "value", "-c", "run")
    assert status.returncode == 0, status.stderr
    for request_id in ("arrived", "success", "unknown"):
        assert f"Cannot say how run {uuids[request_id][:8]} stands" in status.stderr
        assert uuids[request_id] not in status.stdout
    assert "cannot be asked" not in status.stderr, "the pool answers"
    for request_id in ("suspended", "copying", "dirty"):
        assert status.stdout.count(uuids[request_id]) == 1
    planned = scene.run("resume", "--plan")
    assert uuids["arrived"] in planned.stderr
    assert uuids["suspended"][:8] in planned.stdout
    execute(scene, FORGET.format("arrived"))


def test_a_profile_that_leads_to_another_pool_is_refused(scene: Scene, pool: SimulatedPool) -> None:
    other = scene.start("lab", name="other")
    scene.pools = [other, pool]
    profile = scene.profile(other)
    scene.write_config(
        lab={"addresses": ",".join(profile.addresses), "port": profile.port, "password_file": other.password_file}
    )
    before = dump(scene)
    for command in ("resume", "why"):
        refused = scene.run(command, "arrived")
        assert refused.returncode == 2, refused.stderr
        assert "leads to pool" in refused.stderr
        assert "lmflow.conf" in refused.stderr
    assert scene.run("status").returncode == 9
    assert [line for line in dump(scene) if "lmflow_leases" not in line] == [
        line for line in before if "lmflow_leases" not in line
    ]
    assert other.changing_calls() == []


@pytest.mark.parametrize("damage", ["cut", "cut in its first page", "no database", "empty"])
def test_a_file_that_is_no_whole_database_is_refused(scene: Scene, tmp_path: Path, damage: str) -> None:
    golden.write_file(NAME, scene.database_file)
    with contextlib.closing(sqlite3.connect(scene.database_file)) as database:
        database.execute("pragma wal_checkpoint(truncate)")
    whole = scene.database_file.read_bytes()
    broken = {"cut": whole[: len(whole) // 3], "cut in its first page": whole[:300], "no database": b"PK\x03\x04" * 99}
    scene.database_file.write_bytes(broken.get(damage, b""))
    shutil.copyfile(scene.database_file, tmp_path / "before")
    scene.write_config()
    for command in (("run", "list", "--all"), ("resume",), ("db", "upgrade")):
        done = scene.run(*command)
        if damage == "empty":  # as one that is new
            assert done.returncode == 0, done.stderr
            continue
        assert done.returncode == 2, (command, done.stderr)
        assert "lmflow.db" in done.stderr
        assert "  try: " in done.stderr
        assert "Traceback" not in done.stderr
