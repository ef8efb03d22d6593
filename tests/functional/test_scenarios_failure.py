"""Acceptance scenarios about failures of the pool: what is reverted, and what must never be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.invariants import Invariants
from tests.support.kills import atoms_begun
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

DISABLED = ["HOST_DISABLED", "OpaqueRef:b"]


def unplug_b(world: dict[str, Any]) -> None:
    get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"


def is_plugged(pool: SimulatedPool, host: str) -> bool:
    state = pool.state()
    host_ref = next(ref for ref, h in pool.records("host", state).items() if h["name_label"] == host)
    sr_ref = next(ref for ref, sr in pool.records("SR", state).items() if sr["name_label"] == "S")
    (pbd,) = (p for p in pool.records("PBD", state).values() if p["host"] == host_ref and p["SR"] == sr_ref)
    return bool(pbd["currently_attached"])


def fail_in(pool: SimulatedPool, phase: str, **more: Any) -> None:
    pool.control("POST", "/phase_faults", {"phase": phase, "kind": "fail", **more})


def restart_in(pool: SimulatedPool, host: str, how: str = "KILL", at: float = 0.3) -> None:
    fault = {"phase": "copy", "kind": "restart", "host": host, "how": how, "at": at}
    pool.control("POST", "/phase_faults", fault)


def started_vms(pool: SimulatedPool) -> list[str]:
    verbs = ("VM.start", "VM.start_on", "VM.hard_shutdown", "VM.clean_shutdown", "VM.power_state_reset")
    return [m for m in pool.changing_calls() if m.removeprefix("Async.") in verbs]


@pytest.mark.parametrize("case", ["an ordered check", "otherwise, on the source by the witness"])
def test_45_a_failure_reverts_in_reverse_order(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, case: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    if case == "an ordered check":
        fail_in(pool, "setup", error=DISABLED)
    else:
        fail_in(pool, "copy")
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == 4, done.stderr
    assert ("HOST_DISABLED" if "ordered" in case else "INTERNAL_ERROR") in done.stdout + done.stderr
    assert "v Running on A" in done.stdout
    assert not is_plugged(pool, "B")
    assert [m for m in pool.changing_calls() if "PBD" in m] == ["Async.PBD.plug", "Async.PBD.unplug"]
    (run,) = scene.runs()
    assert run["state"] == "failed"


@pytest.mark.parametrize(
    ("options", "phase", "end", "code", "state"),
    [
        ([], "finish", "nowhere", 7, "unknown"),
        (["--refuse-witness"], "copy", "source", 7, "unknown"),
        (["--refuse-witness"], "finish", "nowhere", 7, "unknown"),
    ],
    ids=["on neither host", "no witness, on the source", "no witness, on neither"],
)
def test_45b_what_cannot_be_settled_is_unknown_and_nothing_is_reverted(
    simulator: Start,
    lmflow: Lmflow,
    scene: Scene,
    tmp_path: Path,
    invariants: Invariants,
    options: list[str],
    phase: str,
    end: str,
    code: int,
    state: str,
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b), *options)
    invariants.lost = {"v"} if end == "nowhere" else set()
    fail_in(pool, phase, end=end)
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == code, done.stderr
    assert "UNKNOWN" in done.stdout
    assert is_plugged(pool, "B")
    assert started_vms(pool) == []
    (run,) = scene.runs()
    assert run["state"] == state
    again = lmflow("resume")
    assert again.returncode == 7, again.stderr
    assert len(pool.audit("VM.pool_migrate")) == 1
    refused = lmflow("migrate", "v", "--to", "C")
    assert refused.returncode == 10
    assert run["run"] in refused.stderr


def test_45b_a_failed_task_whose_vm_arrived_is_a_success(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    fail_in(pool, "finish", end="destination")
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["B"]
    assert is_plugged(pool, "B")
    assert "Async.PBD.unplug" not in pool.changing_calls()


def test_47_an_error_after_the_move_is_migrated_even_without_a_witness(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b), "--refuse-witness")
    fail_in(pool, "finish", end="destination", at=1.0)
    done = lmflow("migrate", "v", "--to", "B")
    assert pool.resident_on("v") == "B"
    assert done.returncode == 0, done.stderr
    assert "INTERNAL_ERROR, but it runs on the" in done.stdout
    (run,) = scene.runs()
    assert run["state"] == "success"
    begun = "".join(atoms_begun(scene))
    assert "await_settled" in begun
    assert is_plugged(pool, "B")
    assert "Async.PBD.unplug" not in pool.changing_calls()


@pytest.mark.parametrize("how", ["KILL", "TERM"])
@pytest.mark.parametrize("copy_seconds", [5, 40], ids=["copy ends before it is back", "copy outlives it"])
def test_45c_the_coordinator_dies_in_mid_migration(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, how: str, copy_seconds: int
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), time_scale=25)
    pool.control("POST", "/copy_seconds", {"vm": pool.uuid("VM", "v"), "seconds": copy_seconds})
    restart_in(pool, "coordinator", how, at=0.3)
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == 0, done.stdout + done.stderr
    assert pool.runs_on("v") == ["B"]
    assert len(pool.audit("VM.pool_migrate")) == 1
    assert started_vms(pool) == []
    if pool.resident_on("v") != "B":
        run = scene_run(done.stdout)
        start = f"xe vm-start uuid={pool.uuid('VM', 'v')} on={pool.uuid('host', 'B')}"
        is_halted = pool.get("VM", "v")["power_state"] == "Halted"
        assert (start if is_halted else f"lmflow why {run}") in " ".join(done.stdout.split())
        assert "mend" in lmflow("why", run).stdout


def test_45c_without_a_witness_it_is_unknown(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), "--refuse-witness", time_scale=25)
    pool.control("POST", "/copy_seconds", {"vm": pool.uuid("VM", "v"), "seconds": 5})
    restart_in(pool, "coordinator", "KILL")
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == 7, done.stdout + done.stderr
    assert pool.runs_on("v") == ["B"]
    assert started_vms(pool) == []
    why = lmflow("why", scene_run(done.stdout))
    assert "UNKNOWN" in why.stdout
    assert "witness" in why.stdout


def scene_run(stdout: str) -> str:
    return stdout.split()[1]


@pytest.mark.parametrize("host", ["source", "destination"])
def test_45d_a_members_toolstack_dies_in_mid_migration(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, host: str
) -> None:
    def put_on_b(world: dict[str, Any]) -> None:
        get_item(world, "vms", "v")["host"] = "B"

    pool = simulator(write_world(tmp_path / "p.json", put_on_b), time_scale=25)
    pool.control("POST", "/copy_seconds", {"vm": pool.uuid("VM", "v"), "seconds": 5})
    restart_in(pool, host, "KILL")
    done = lmflow("migrate", "v", "--to", "C")
    where = pool.runs_on("v")
    assert where == ["C"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(pool.audit("VM.pool_migrate")) == 1
    assert started_vms(pool) == []


@pytest.mark.parametrize("header", ["honoured", "ignored"])
@pytest.mark.parametrize("kind", ["close_before", "close_after", "http_500", "hang", "session_invalid"])
def test_50_the_connection_is_lost_during_the_submit(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants, header: str, kind: str
) -> None:
    invariants.unmarked_tasks = header == "ignored"
    options = ["--ignore-attempt-header"] if header == "ignored" else []
    pool = simulator(write_world(tmp_path / "p.json"), *options)
    if kind == "hang":
        scene.write_config(lab={"read_timeout": 2})
    pool.control("POST", "/faults", {"call": "VM.pool_migrate", "nth": 1, "kind": kind, "seconds": 1000})
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == 0, done.stdout + done.stderr
    assert pool.runs_on("v") == ["B"]
    assert len(pool.effects("v")) == 1
    sent = len(pool.audit("VM.pool_migrate"))
    assert sent == (1 if kind == "close_after" else 2)
