"""XAPI's wrong view of a VM is reported, with the step that mends it and the proof; taken, the step does mend it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lmflow.models import Waits
from lmflow.runner.wrong_views import Asking, find_wrong_view
from lmflow.xapi import reads
from lmflow.xapi.connection import Connection
from tests.support.admin import as_admin
from tests.support.hard_cases import CASES, HardCase, befall, look, shut_down, wait_for_end
from tests.support.invariants import Invariants
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.schemas import make_validator
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


@pytest.fixture
def play(simulator: Start, lmflow: Lmflow, scene: Scene, invariants: Invariants, tmp_path: Path) -> Callable[..., Any]:
    """Let a hard case befall a migration and return the pool when it is over."""

    def played(case: HardCase, *options: str) -> SimulatedPool:
        def change(world: dict[str, Any]) -> None:
            get_item(world, "vms", "v")["host"] = case.source

        invariants.lost = set() if case.real else {"v"}
        scene.waits["settle_seconds"] = 2.5
        pool = simulator(write_world(tmp_path / "p.json", change), *options, time_scale=15.0)
        befall(pool, case)
        lmflow("migrate", "v", "--to", case.destination, "--request-id", "r")
        wait_for_end(scene, pool, case)
        return pool

    return played


def check_told(scene: Scene, kind: str, step: str, *words: str) -> dict[str, Any]:
    """Hold that why, status and check tell the same view, with its step; return it."""
    status, why, checked = scene.rows("status"), scene.rows("why", "r"), scene.rows("check", "v")
    for name, said in (("status", status), ("why", why), ("check", checked)):
        make_validator(name).validate(said)
    (row,) = status
    views = [why["xapi_view"], row["xapi_view"], checked["vms"][0]["xapi_view"]]
    for view in views:
        assert (view["kind"], view["step"]) == (kind, step), view
        assert {"witness of A", "witness of B", "witness of C"} == {said.partition(":")[0] for said in view["witness"]}
        assert "all 3 hosts of the pool were asked" in view["proof"][0]
        assert any("settled" in said for said in view["proof"])
    for word in words:
        assert word in str(views[0])
    for command in (("status",), ("why", "r"), ("check", "v")):
        assert step in " ".join(scene.run(*command).stdout.split())
    return dict(views[0])


def test_a_vm_shown_halted_that_runs_is_mended_by_a_start_where_it_runs(
    play: Callable[..., SimulatedPool], scene: Scene, lmflow: Lmflow
) -> None:
    pool = play(CASES["C02"])
    uuid = pool.uuid("VM", "v")
    view = check_told(scene, "halted_but_running", f"xe vm-start uuid={uuid} on=B", "XAPI shows v Halted")
    assert "never start it on another host than B" in view["never"]
    assert "v runs, where XAPI does not show it" in lmflow("status").stdout
    with as_admin(pool) as call, pytest.raises(AssertionError, match="VM_BAD_POWER_STATE"):
        call("VM.start_on", pool.find_ref("VM", "v"), pool.find_ref("host", "B"), False, False)
    assert look(pool) == ("Running", "B")
    assert pool.runs_on("v") == ["B"]
    assert scene.rows("status") == []
    assert scene.rows("why", "r")["xapi_view"] is None
    assert scene.rows("check", "v")["vms"][0]["xapi_view"] is None


def test_a_ghost_on_a_member_is_mended_by_a_restart_of_its_toolstack(
    play: Callable[..., SimulatedPool], scene: Scene
) -> None:
    pool = play(CASES["C14"])
    view = check_told(scene, "ghost", "xe-toolstack-restart", "XAPI shows v Running on B")
    assert view["where"].startswith("on B")
    assert "runs no VM that XAPI places elsewhere" in view["proof"][-1]
    pool.control("POST", "/toolstack", {"host": "B", "action": "restart", "how": "TERM"})
    scene.wait_until(lambda: look(pool) == ("Halted", ""))
    assert scene.rows("why", "r")["xapi_view"] is None


def test_what_is_misplaced_is_mended_in_two_steps(play: Callable[..., SimulatedPool], scene: Scene) -> None:
    pool = play(CASES["C12"])
    uuid = pool.uuid("VM", "v")
    view = check_told(scene, "misplaced", f"xe vm-reset-powerstate uuid={uuid} --force", "XAPI shows v Running on A")
    assert "restart the toolstack of B" in view["never"]
    with as_admin(pool) as call:
        call("VM.power_state_reset", pool.find_ref("VM", "v"))
    assert look(pool) == ("Halted", "")
    assert scene.rows("why", "r")["xapi_view"]["step"] == f"xe vm-start uuid={uuid} on=B"
    assert pool.runs_on("v") == ["B"]


def test_a_ghost_on_the_coordinator_is_mended_by_a_reset(play: Callable[..., SimulatedPool], scene: Scene) -> None:
    pool = play(CASES["C10"])
    step = f"xe vm-reset-powerstate uuid={pool.uuid('VM', 'v')} --force"
    check_told(scene, "ghost", step)
    # Whoever decides where it runs mends nothing of what XAPI shows.
    assert scene.run("resolve", "r", "--nowhere", "--reason", "list_domains: no such domain").returncode == 4
    check_told(scene, "ghost", step)
    (row,) = scene.rows("status")
    assert row["condition"] == "wrong_view"
    told = scene.run("status").stdout
    assert told.startswith("NEEDS ATTENTION 1.  No host says that it runs v")
    pool_uuid = next(iter(pool.records("pool").values()))["uuid"]
    swap_pool(scene, pool_uuid, f"f{pool_uuid[1:]}")
    assert scene.rows("why", "r")["xapi_view"] is None, "no step is named in another pool"
    swap_pool(scene, f"f{pool_uuid[1:]}", pool_uuid)
    with as_admin(pool) as call:
        call("VM.power_state_reset", pool.find_ref("VM", "v"))
    assert look(pool) == ("Halted", "")
    assert scene.rows("check", "v")["vms"][0]["xapi_view"] is None
    assert scene.rows("status") == []


def swap_pool(scene: Scene, before: str, after: str) -> None:
    with contextlib.closing(sqlite3.connect(scene.database_file, timeout=30)) as database, database:
        assert database.execute("update lmflow_runs set request = replace(request, ?, ?)", (before, after)).rowcount


def test_a_record_that_is_older_than_the_answers_is_no_wrong_view(
    simulator: Start, scene: Scene, invariants: Invariants
) -> None:
    invariants.lost, invariants.foreign_migrations = {"v"}, Counter({"v": 1})  # what an admin does here
    pool = simulator(write_world(scene.directory / "p.json"))
    password = str(pool.ready["password"])
    with Connection.open(scene.profile(pool), lambda: password) as conn:
        uuid = pool.uuid("VM", "v")
        asking = Asking(Waits(settle_seconds=0.2, quiet_seconds=0.1, poll_seconds=0.1))
        on_a = (reads.read_vm(conn, uuid), reads.read_hosts(conn))
        with as_admin(pool) as call:
            call("VM.pool_migrate", pool.find_ref("VM", "v"), pool.find_ref("host", "B"), {"live": "true"})
        assert look(pool) == ("Running", "B")
        assert find_wrong_view(conn, uuid, "v", asking, seen=on_a) is None
        on_b = (reads.read_vm(conn, uuid), reads.read_hosts(conn))
        shut_down(pool)
        assert look(pool) == ("Halted", "")
        assert find_wrong_view(conn, uuid, "v", asking, seen=on_b) is None


def test_without_a_witness_no_step_is_proved_safe(
    play: Callable[..., SimulatedPool], scene: Scene, lmflow: Lmflow
) -> None:
    play(CASES["C02"], "--refuse-witness")
    (row,) = scene.rows("status")
    why, checked = scene.rows("why", "r"), scene.rows("check", "v")
    for view in (why["xapi_view"], row["xapi_view"], checked["vms"][0]["xapi_view"]):
        assert (view["kind"], view["step"]) == ("unproved", "")
        assert view["proof"][-1] == "so no step can be proved safe"
        assert all("HTTP 401" in said for said in view["witness"])
    said = lmflow("check", "v").stdout
    assert not [step for step in ("vm-start", "vm-reset-powerstate", "xe-toolstack-restart") if step in said]


def test_a_toolstack_that_has_just_started_has_to_be_watched(play: Callable[..., SimulatedPool], scene: Scene) -> None:
    pool = play(CASES["C10"])
    assert scene.rows("why", "r")["xapi_view"]["step"]
    pool.control("POST", "/toolstack", {"host": "C", "action": "restart", "how": "KILL"})
    scene.wait_until(lambda: pool.get("host", "C")["enabled"] and pool.control("GET", "/toolstack")["C"] == "ready")
    scene.waits["settle_seconds"] = 10_000.0  # no pool of this test has been up for so long
    scene.write_config()
    (row,) = scene.rows("status")
    assert (row["xapi_view"]["kind"], row["xapi_view"]["step"]) == ("ghost", "")
    assert "not watched long enough" in " ".join(row["xapi_view"]["proof"])
    scene.waits["settle_seconds"] = 2.5
    scene.write_config()
    assert scene.rows("why", "r")["xapi_view"]["step"], "who may wait watches it"
