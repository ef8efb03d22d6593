"""``resume --plan`` says beforehand what a resume then does, and changes nothing to find it out."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from lmflow.cli.exits import Exit
from tests.support.ends import DISABLED, Ends
from tests.support.invariants import Invariants
from tests.support.kills import kill, kill_at_hold, query, wait_until
from tests.support.pool import WITNESS_READS, is_reading
from tests.support.scene import Scene
from tests.support.worlds import write_world

ENDS_AS = {"run": "SUCCESS", "re-attach": "SUCCESS", "redo": "SUCCESS", "revert": "REVERTED"}


def dump(scene: Scene) -> list[str]:
    """Return every row of the database."""
    with contextlib.closing(sqlite3.connect(scene.database_file, timeout=30)) as database:
        return list(database.iterdump())


def plan(ends: Ends, request_id: str, code: Exit = Exit.DONE, *, owned: bool = False) -> dict[str, Any]:
    """Plan the resume of a run; only reads reach the pool, and no row of the database changes but by a living owner."""
    rows, calls = dump(ends.scene), len(ends.pool.audit())
    sessions = set(ends.pool.records("session"))
    done = ends.scene.run("resume", request_id, "--plan", "-f", "json")
    assert done.returncode == code, done.stdout + done.stderr
    said = [each["method"] for each in ends.pool.audit()[calls:]]
    assert owned or [method for method in said if not (is_reading(method) or method in WITNESS_READS)] == []
    assert owned or dump(ends.scene) == rows
    assert set(ends.pool.records("session")) == sessions, "its own is gone, and nobody else's"
    (found,) = json.loads(done.stdout)
    assert found["exit_code"] == code
    return dict(found)


def find_events(ends: Ends, request_id: str) -> list[dict[str, Any]]:
    return list(ends.scene.rows("run", "show", request_id)["events"])


def resume_as_planned(ends: Ends, request_id: str, planned: dict[str, Any], code: Exit) -> None:
    """Resume, and compare the steps that are taken with those that were foreseen."""
    last = find_events(ends, request_id)[-1]["sequence"]
    resumed = ends.scene.run("resume", request_id)
    assert resumed.returncode == code, resumed.stdout + resumed.stderr
    events = [each for each in find_events(ends, request_id) if each["sequence"] > last]
    atoms = [(each["data"]["atom"], each["data"]["state"]) for each in events if each["kind"] == "atom"]
    taken = {(atom, state) for atom, state in atoms if state in ENDS_AS.values()}
    foreseen = {(step["atom"], ENDS_AS[step["what"]]) for step in planned["steps"] if step["what"] in ENDS_AS}
    assert taken == foreseen


def count(planned: dict[str, Any], what: str) -> int:
    return sum(step["what"] == what for step in planned["steps"])


@pytest.fixture
def ends(scene: Scene, invariants: Invariants) -> Iterator[Ends]:
    made = Ends.start(scene)
    yield made
    made.release()


def test_killed_before_the_submit(ends: Ends) -> None:
    vm = ends.take("r", "d")
    kill(ends.hold_call("PBD.plug", "migrate", vm, "--to", "B", "--request-id", "r"))
    ends.let_call_go()
    found = plan(ends, "r")
    assert (found["condition"], found["verdict"], found["refused"]) == ("interrupted", "REDO", "")
    assert "is gone" in found["takes_over"]
    whats = {step["atom"]: step["what"] for step in found["steps"]}
    assert (whats["observe"], whats["connect_storage"], whats["submit_pool_migrate"]) == ("skip", "run", "run")
    told = ends.scene.run("resume", "--plan").stdout
    assert f"skip {count(found, 'skip')} done, run {count(found, 'run')}" in " ".join(told.split())
    resume_as_planned(ends, "r", found, Exit.DONE)
    assert len(ends.pool.effects(vm)) == 1


def test_killed_in_mid_migration_and_after_the_arrival(ends: Ends, scene: Scene) -> None:
    ends.abandon("mid")
    found = plan(ends, "mid")
    assert found["verdict"] == "RE-ATTACH"
    assert count(found, "re-attach") == 1
    assert count(found, "redo") == count(found, "revert") == 0
    ends.release()
    scene.wait_until(lambda: ends.pool.resident_on(ends.vms["mid"]) == "B")
    scene.wait_until(lambda: not ends.pool.get("VM", ends.vms["mid"])["current_operations"])
    arrived = plan(ends, "mid")
    assert (arrived["verdict"], count(arrived, "re-attach")) == ("CONCLUDE", 0)
    resume_as_planned(ends, "mid", arrived, Exit.DONE)
    ended = plan(ends, "mid")
    assert (ended["verdict"], ended["steps"]) == ("SUCCESS", [])
    assert len(ends.pool.effects(ends.vms["mid"])) == 1


def test_killed_between_the_commit_and_the_send(scene: Scene, invariants: Invariants) -> None:
    ends = Ends(scene, scene.start(write_world(scene.directory / "p.json")))
    ends.vms["r"] = "v"
    ends.pool.control("POST", "/hold", {"call": "host.get_by_uuid", "point": "request_read", "nth": 1})
    child = scene.popen("migrate", "v", "--to", "B", "--request-id", "r")
    assert wait_until(lambda: bool(query(scene, "select 1 from lmflow_attempts")), child, "the intent is committed")
    kill_at_hold(ends.pool, scene, child, point="request_read", call="host.get_by_uuid")
    found = plan(ends, "r")
    assert found["verdict"] == "REDO"
    assert {"atom": "submit_pool_migrate", "what": "redo"} in found["steps"]
    resume_as_planned(ends, "r", found, Exit.DONE)
    assert len(ends.pool.effects("v")) == 1


def test_killed_in_a_revert(ends: Ends, scene: Scene) -> None:
    vm = ends.take("r", "d")
    ends.fault("setup", vm=vm, error=DISABLED)
    ends.pool.control("POST", "/hold", {"call": "PBD.unplug", "point": "reply_written", "nth": 1})
    child = scene.popen("migrate", vm, "--to", "B", "--request-id", "r")
    kill_at_hold(ends.pool, scene, child, point="reply_written", call="PBD.unplug")
    found = plan(ends, "r")
    assert found["verdict"] == "ROLL-BACK"
    assert {step["what"] for step in found["steps"]} == {"revert", "skip"}
    assert found["steps"][-1] == {"atom": "record_intent", "what": "revert"}
    resume_as_planned(ends, "r", found, Exit.FAILED)
    assert ends.pool.runs_on(vm) == ["A"]


def test_what_a_person_must_decide_and_what_a_cancel_changes(ends: Ends, scene: Scene, invariants: Invariants) -> None:
    ends.doubt("unknown")
    found = plan(ends, "unknown", Exit.UNKNOWN)
    assert found["steps"][-1] == {"atom": "await_pool_migrate", "what": "ask"}
    assert found["advice"] == f"lmflow resolve {found['run'][:8]} --on HOST --reason TEXT"
    vm = ends.take("before", "d")
    kill(ends.hold_call("PBD.plug", "migrate", vm, "--to", "B", "--request-id", "before"))
    ends.let_call_go()
    ends.cut_off()
    assert scene.run("cancel", "before").returncode == Exit.UNREACHABLE, "the request stands"
    ends.mend()
    cancelled = plan(ends, "before")
    assert "a cancel was asked for" in cancelled["explanation"]
    assert count(cancelled, "revert") > 5
    assert count(cancelled, "run") == 0
    assert scene.run("resume", "before").returncode == Exit.FAILED
    invariants.open_runs = True


def change(scene: Scene, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(scene.database_file, timeout=30)) as database, database:
        assert database.execute(statement).rowcount


def test_why_there_would_be_no_resume(ends: Ends, scene: Scene) -> None:
    owner = ends.hold("held")
    held = plan(ends, "held", Exit.LOCKED, owned=True)
    assert (held["refused"], held["steps"], held["evidence"]) == ("locked", [], [])
    assert scene.run("resume", "--plan").stdout == "Nothing to resume.\n"
    kill(owner)
    elsewhere = "update lmflow_leases set machine = 'other/0123', boot_id = 'b', expires_at = expires_at + 3600"
    change(scene, elsewhere)
    assert "on other, when its lease has expired" in plan(ends, "held")["takes_over"]
    change(scene, "update lmflow_leases set expires_at = 0")
    ((request,),) = query(scene, "select request from lmflow_runs")
    pool_uuid = json.loads(request)["pool_uuid"]
    for wrong in (
        f"update lmflow_runs set request = replace(request, '{pool_uuid}', 'f{pool_uuid[1:]}')",  # noqa: S608 - ours
        "update flowdetails set meta = replace(meta, '\"version\": ', '\"version\": 99')",
    ):
        change(scene, wrong)
        assert plan(ends, "held", Exit.USAGE)["refused"] == "misconfigured"
        assert scene.run("resume", "held").returncode == Exit.USAGE
        back = f"update lmflow_runs set request = replace(request, 'f{pool_uuid[1:]}', '{pool_uuid}')"  # noqa: S608 - ours
        change(scene, back)
    change(scene, "update flowdetails set meta = replace(meta, '\"version\": 99', '\"version\": ')")
    ends.cut_off()
    blind = plan(ends, "held", Exit.UNREACHABLE)
    assert (blind["refused"], blind["verdict"]) == ("unreachable", "")
    ends.mend()
    ends.release()
    assert scene.run("resume", "held").returncode == Exit.DONE
