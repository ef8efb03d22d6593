"""Toolstacks that die in each phase, and a coordinator that is another one afterwards: in one pool, one after another.

What happens in the copy itself stands in test_scenarios_failure (45c, 45d).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.invariants import Invariants
from tests.support.kills import query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]

PHASES = {"before anything is copied": ("setup", 0.0), "finish": ("finish", 0.5), "after": ("finish", 1.0)}


def _put_on_b(world: dict[str, Any]) -> None:
    """Put two VMs where neither end of their way to C is the coordinator."""
    item = get_item(world, "vms", "v")
    item |= {"host": "B", "cpu_features_of": "B"}
    world["vms"].append({**item, "name": "w"})
    world["hosts"].append({**get_item(world, "hosts", "C"), "name": "D"})
    get_item(world, "storage", "S")["hosts"]["D"] = "plugged"


def _is_ready(pool: SimulatedPool, vm_name: str) -> bool:
    hosts = {record["name_label"] for record in pool.records("host").values() if record["enabled"]}
    return len(hosts) == 4 and not pool.get("VM", vm_name)["current_operations"]


@pytest.mark.parametrize("phase", PHASES)
def test_a_toolstack_that_dies(simulator: Start, scene: Scene, tmp_path: Path, phase: str) -> None:
    pool = simulator(write_world(tmp_path / "p.json", _put_on_b), time_scale=25)
    name, at = PHASES[phase]
    for host, vm_name in (("source", "v"), ("destination", "w")):
        pool.control("POST", "/copy_seconds", {"vm": pool.uuid("VM", vm_name), "seconds": 5})
        fault = {"phase": name, "kind": "restart", "host": host, "how": "KILL", "at": at}
        pool.control("POST", "/phase_faults", fault)
        done = scene.run("migrate", vm_name, "--to", "C")
        assert done.returncode == 0, done.stdout + done.stderr
        assert pool.runs_on(vm_name) == ["C"]
        assert len(pool.effects(vm_name)) == 1
        scene.wait_until(lambda: _is_ready(pool, vm_name), seconds=60)  # noqa: B023


def test_another_host_becomes_the_coordinator(
    simulator: Start, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    """All toolstacks restart with it; what was being copied is told as it is, and what comes later finds its way."""
    invariants.lost = {"v"}
    pool = simulator(write_world(tmp_path / "p.json", _put_on_b), time_scale=25)
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    child = scene.popen("migrate", "v", "--to", "C", "--request-id", "r")
    reached = wait_until(
        lambda: bool(query(scene, "SELECT 1 FROM lmflow_attempts WHERE progress > 0.05")), child, "progress"
    )
    assert reached, scene.read_output(child)
    pool.control("POST", "/coordinator", {"host": "D", "recover": True})
    pool.control("POST", "/release_phases", {})
    where = {0: ["C"], 7: []}  # it is chance whether the copy survives the restart of its toolstacks
    assert where[child.wait(90)] == pool.runs_on("v"), scene.read_output(child)
    done = scene.run("migrate", "w", "--to", "C")
    assert done.returncode == 0, done.stderr
    assert [len(pool.audit("VM.pool_migrate")), pool.runs_on("w")] == [2, ["C"]]
