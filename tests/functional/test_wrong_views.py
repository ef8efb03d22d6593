"""XAPI's wrong view of a VM is reported, with the step that mends it and the proof; taken, the step does mend it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.admin import as_admin
from tests.support.hard_cases import CASES, HardCase, befall, look, wait_for_end
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
    check_told(scene, "ghost", f"xe vm-reset-powerstate uuid={pool.uuid('VM', 'v')} --force")
    with as_admin(pool) as call:
        call("VM.power_state_reset", pool.find_ref("VM", "v"))
    assert look(pool) == ("Halted", "")
    assert scene.rows("check", "v")["vms"][0]["xapi_view"] is None


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
    assert "xe " not in lmflow("check", "v").stdout


def test_a_toolstack_that_has_just_started_has_to_be_watched(
    play: Callable[..., SimulatedPool], scene: Scene, lmflow: Lmflow
) -> None:
    pool = play(CASES["C10"])
    pool.control("POST", "/toolstack", {"host": "C", "action": "restart", "how": "KILL"})
    scene.wait_until(lambda: pool.get("host", "C")["enabled"] and pool.control("GET", "/toolstack")["C"] == "ready")
    (row,) = scene.rows("status")
    assert row["xapi_view"]["step"] in ("", scene.rows("why", "r")["xapi_view"]["step"])
    assert scene.rows("why", "r")["xapi_view"]["step"]
