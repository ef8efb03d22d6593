"""A person's decision: taken only where evidence leaves the question open, kept with its reason, and followed."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.invariants import Invariants
from tests.support.kills import kill_when_progress, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]
MIGRATE = ("migrate", "v", "--to", "B", "--request-id", "r")


def unplug_b(world: dict[str, Any]) -> None:
    get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"


def state_of(scene: Scene) -> str:
    (run,) = scene.runs()
    return str(run["state"])


def decisions(scene: Scene) -> list[dict[str, Any]]:
    rows = query(scene, "select data from lmflow_events where kind = 'verdict' order by sequence")
    return [data for data in (json.loads(row[0]) for row in rows) if data.get("by") == "person"]


def touched(pool: SimulatedPool) -> list[str]:
    """Return the calls that did anything to a VM but mark whose it is."""
    called = [m.removeprefix("Async.") for m in pool.changing_calls()]
    return [m for m in called if m.startswith("VM.") and not m.endswith("other_config")]


def test_on_the_source_it_is_rolled_back(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b), "--refuse-witness")
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    assert lmflow(*MIGRATE).returncode == 7
    why = lmflow("why", "r")
    assert "lmflow resolve" in why.stdout
    decided = lmflow("resolve", "r", "--on", "A", "--reason", "list_domains on A shows it")
    assert decided.returncode == 4, decided.stdout + decided.stderr
    assert "decided that" in decided.stdout + decided.stderr
    assert state_of(scene) == "failed"
    assert [d["because"] for d in decisions(scene)] == ["root decided that v runs on A: list_domains on A shows it"]
    assert [m for m in pool.changing_calls() if "PBD" in m] == ["Async.PBD.plug", "Async.PBD.unplug"]
    assert len(touched(pool)) == 1
    assert lmflow("migrate", "v", "--to", "B").returncode == 0, "the VM is free again"


def test_on_the_destination_it_is_concluded_and_nothing_is_reverted(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b), "--refuse-witness", time_scale=25)
    pool.control("POST", "/copy_seconds", {"vm": pool.uuid("VM", "v"), "seconds": 5})
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "restart", "host": "coordinator", "at": 0.3})
    assert lmflow(*MIGRATE).returncode == 7
    assert pool.runs_on("v") == ["B"]
    decided = lmflow("resolve", "r", "--on", "B", "--reason", "its console shows it there", "-f", "json")
    assert decided.returncode == 0, decided.stdout + decided.stderr
    told = json.loads(decided.stdout)
    assert told["state"] == "success"
    assert "decided that v runs on B: its console shows it there" in told["vm_state"]
    assert "Async.PBD.unplug" not in pool.changing_calls()
    assert len(touched(pool)) == 1


def test_a_host_that_says_the_opposite_is_believed(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    invariants.lost = {"v"}
    pool.control("POST", "/phase_faults", {"phase": "finish", "kind": "fail", "end": "nowhere"})
    assert lmflow(*MIGRATE).returncode == 7
    for host in ("A", "B"):
        refused = lmflow("resolve", "r", "--on", host, "--reason", "I think so")
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert f"{host} itself" in refused.stderr
    assert (state_of(scene), decisions(scene)) == ("unknown", [])
    decided = lmflow("resolve", "r", "--nowhere", "--reason", "it is gone from both")
    assert decided.returncode == 4, decided.stdout + decided.stderr
    assert state_of(scene) == "failed"
    assert len(touched(pool)) == 1


def test_what_evidence_can_settle_needs_no_decision(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold"})
    owner = scene.popen(*MIGRATE)
    kill_when_progress(scene, owner, 0.2)
    refused = lmflow("resolve", "r", "--on", "A", "--reason", "it was there")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "needs no decision" in refused.stderr
    assert decisions(scene) == []
    pool.control("POST", "/release_phases", {})
    assert lmflow("resume", "r").returncode == 0
    assert pool.runs_on("v") == ["B"]
    ended = lmflow("resolve", "r", "--on", "A", "--reason", "it was there")
    assert ended.returncode == 2
    assert "has ended (success)" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--on", "C", "--reason", "x"), "neither the source nor the destination"),
        (("--on", "A", "--reason", "  "), "needs a reason"),
        (("--on", "A"), "--reason"),
        (("--reason", "x"), "--on"),
        (("--on", "A", "--nowhere", "--reason", "x"), "not allowed with"),
    ],
    ids=["another host", "a blank reason", "no reason", "no place", "two places"],
)
def test_a_decision_that_is_none_is_refused(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), "--refuse-witness")
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    assert lmflow(*MIGRATE).returncode == 7
    refused = lmflow("resolve", "r", *arguments)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert state_of(scene) == "unknown"


@pytest.mark.parametrize("where", [("--on", "B"), ("--nowhere",)], ids=["source", "nowhere"])
def test_a_destination_that_has_it_is_heard_also_while_the_pool_does_not_settle(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants, where: tuple[str, ...]
) -> None:
    def from_b_to_c(world: dict[str, Any]) -> None:
        get_item(world, "vms", "v").update(host="B", cpu_features_of="B")
        get_item(world, "storage", "S")["hosts"]["C"] = "unplugged"

    scene.waits = {"pool_seconds": 3.0}
    pool = simulator(write_world(tmp_path / "p.json", from_b_to_c))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "stop", "host": "source", "at": 0.3})
    lmflow("migrate", "v", "--to", "C", "--request-id", "r")
    metrics = pool.records("host_metrics")[pool.get("host", "B")["metrics"]]["uuid"]
    pool.control("POST", "/object", {"class": "host_metrics", "uuid": metrics, "fields": {"live": False}})
    assert pool.runs_on("v") == ["C"]
    refused = lmflow("resolve", "r", *where, "--reason", "I think so")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert decisions(scene) == []
    assert "Async.PBD.unplug" not in pool.changing_calls()


def test_a_decision_that_was_broken_off_leaves_the_question_open(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    scene.waits = {"quiet_seconds": 30.0, "settle_seconds": 3.0}
    pool = simulator(write_world(tmp_path / "p.json"), "--refuse-witness")
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    scene.waits["quiet_seconds"] = 0.1
    scene.write_config()
    assert lmflow(*MIGRATE).returncode == 7
    scene.waits["quiet_seconds"] = 30.0
    scene.write_config()
    deciding = scene.popen("resolve", "r", "--on", "A", "--reason", "I think so")
    assert wait_until(lambda: "taken over" in scene.read_output(deciding)[1], deciding, "the takeover")
    deciding.send_signal(signal.SIGINT)
    assert deciding.wait(60) == 130, scene.read_output(deciding)
    assert (state_of(scene), decisions(scene)) == ("unknown", [])
