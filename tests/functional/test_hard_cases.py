"""The recorded crashes of a real pool, each under a migration by the installed command, with the witness and without.

The table says what was true on the real pool; nothing in it comes from what lmflow says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmflow.cli.exits import Exit
from tests.support.admin import as_admin
from tests.support.hard_cases import CASES, HardCase, befall, wait_for_end
from tests.support.invariants import Invariants
from tests.support.kills import kill
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]

SETTLE_SECONDS = 2.5
"""20 s of the slowest pool here."""
POOL_SECONDS = 6.0
STATES = {0: "success", 4: "failed", 7: "unknown"}
WITNESS = ("with", "without")
NEVER = ("VM.start", "VM.start_on", "VM.hard_shutdown", "VM.clean_shutdown", "VM.power_state_reset", "VM.destroy")


def start_pool(simulator: Start, scene: Scene, tmp_path: Path, case: HardCase) -> SimulatedPool:
    """Start a pool with v on the source; its storage has to be plugged at the destination, which a revert undoes."""

    def change(world: dict[str, Any]) -> None:
        get_item(world, "vms", "v")["host"] = case.source
        if not case.foreign:  # a coordinator that is killed forgets that it is plugged, and refuses their request
            get_item(world, "storage", "S")["hosts"][case.destination] = "unplugged"

    scene.waits["settle_seconds"] = SETTLE_SECONDS
    scene.waits["pool_seconds"] = POOL_SECONDS
    dead = ("--host-assumed-dead-seconds", "40")
    return simulator(write_world(tmp_path / "p.json", change), *dead, time_scale=case.time_scale)


def check_truth(scene: Scene, pool: SimulatedPool, case: HardCase, code: int) -> None:
    """Hold what lmflow says and did against what is true."""
    (run,) = scene.runs()
    assert run["state"] == STATES[code]
    assert len(pool.audit("VM.pool_migrate")) == 1 + case.foreign
    assert len(pool.effects("v")) <= 1 + case.foreign
    undone = [m for m in pool.changing_calls() if "PBD.unplug" in m]
    assert bool(undone) <= (code == 4), "something was reverted under a VM that may run on the destination"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("witness", WITNESS)
def test_a_hard_case_ends_right_or_says_what_a_person_must_decide(
    simulator: Start, scene: Scene, tmp_path: Path, invariants: Invariants, witness: str, name: str
) -> None:
    case = CASES[name]
    code = case.codes[WITNESS.index(witness)]
    invariants.lost = set() if case.real else {"v"}
    invariants.foreign_migrations["v"] = case.foreign
    pool = start_pool(simulator, scene, tmp_path, case)
    if witness == "without":
        scene.write_config(lab={"witness": "false"})
    befall(pool, case)
    child = scene.popen("migrate", "v", "--to", case.destination)
    if case.meanwhile is not None:
        case.meanwhile(scene, pool)
    child.wait(60)
    said = scene.read_output(child)
    assert child.returncode == code, said
    assert not started(pool)
    check_truth(scene, pool, case, code)
    if case.afterwards is not None:
        case.afterwards(pool)
    wait_for_end(scene, pool, case)
    if case.at_last is not None:
        case.at_last(scene, pool)


def started(pool: SimulatedPool) -> list[str]:
    return [m for m in pool.changing_calls() if m.removeprefix("Async.") in NEVER]


@pytest.mark.parametrize("name", ["C02", "C04", "C05", "C12", "C14"])
def test_a_hard_case_under_a_migration_whose_owner_is_killed_ends_the_same_by_a_resume(
    simulator: Start, scene: Scene, tmp_path: Path, invariants: Invariants, name: str
) -> None:
    case = CASES[name]
    invariants.lost = set() if case.real else {"v"}
    pool = start_pool(simulator, scene, tmp_path, case)
    befall(pool, case)
    child = scene.popen("migrate", "v", "--to", case.destination)
    scene.wait_until(lambda: bool(pool.effects("v")))
    kill(child)
    for _ in range(20):
        resumed = scene.run("resume")
        if resumed.returncode != Exit.UNREACHABLE:  # it may come while the coordinator is just down
            break
    assert resumed.returncode == case.codes[0], resumed.stdout + resumed.stderr
    assert not started(pool)
    check_truth(scene, pool, case, case.codes[0])
    wait_for_end(scene, pool, case)


@pytest.mark.parametrize("witness", WITNESS)
def test_a_vm_that_somebody_has_started_twice_is_left_to_a_person(
    simulator: Start, scene: Scene, tmp_path: Path, witness: str
) -> None:
    """Shown Halted after the coordinator's restart, somebody started it on the source: it ran on both hosts."""
    case = CASES["C01"]
    pool = start_pool(simulator, scene, tmp_path, case)
    if witness == "without":
        scene.write_config(lab={"witness": "false"})
    befall(pool, case)
    child = scene.popen("migrate", "v", "--to", "B")
    scene.wait_until(lambda: bool(pool.effects("v")))
    kill(child)
    wait_for_end(scene, pool, case)
    with as_admin(pool) as call:
        call("VM.start_on", pool.find_ref("VM", "v"), pool.find_ref("host", "A"), False, False)
    assert pool.runs_on("v") == ["A", "B"]
    before = started(pool)
    assert scene.run("resume").returncode == 7
    check_truth(scene, pool, case, 7)
    why = " ".join(scene.run("why", scene.runs()[0]["run"]).stdout.split())
    assert ("it runs on MORE THAN ONE host" in why) is (witness == "with")
    assert "no step can be proved safe" in why
    assert started(pool) == before
    with as_admin(pool) as call:  # the person ends the one that should not be there
        call("VM.hard_shutdown", pool.find_ref("VM", "v"))
    assert pool.runs_on("v") == ["B"]
    assert scene.run("resume").returncode == (0 if witness == "with" else 7)
