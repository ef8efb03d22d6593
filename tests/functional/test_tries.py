"""No destination was named, and the one that lmflow chose turns out unfit: acceptance scenario 43."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lmflow.xapi.connection import Connection
from tests.support import check_worlds
from tests.support.kills import kill, kill_at_hold, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

MOVE = ("migrate", "v", "--request-id", "change-4711")
FULL = ["HOST_NOT_ENOUGH_FREE_MEMORY", "2", "1"]


def prefer_c(world: dict[str, Any]) -> None:
    """Let C be chosen first, then B; C has not plugged the two SRs of v, B has."""
    check_worlds.shrink(world, B="48 GiB", C="64 GiB")
    get_item(world, "storage", "S")["hosts"]["C"] = "unplugged"
    world["storage"].append({**get_item(world, "storage", "S"), "name": "T", "default": False})
    get_item(world, "vms", "v")["disks"].append({"name": "data", "sr": "T", "size": "1 GiB"})


def fail_at_submit(pool: SimulatedPool, error: list[str]) -> None:
    pool.control("POST", "/phase_faults", {"phase": "setup", "kind": "fail", "error": error})


def read(done: CompletedProcess[str], code: int) -> dict[str, Any]:
    assert done.returncode == code, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def tell(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["host_name"], each["state"]) for each in answer["tries"]]


def count_plugged(pool: SimulatedPool, host: str) -> int:
    ref = pool.find_ref("host", host)
    return sum(r["currently_attached"] for r in pool.records("PBD").values() if r["host"] == ref)


def test_43_what_was_plugged_is_unplugged_and_the_next_host_taken(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", prefer_c))
    fail_at_submit(pool, FULL)
    answer = read(lmflow(*MOVE, "-f", "json"), 0)
    assert pool.runs_on("v") == ["B"]
    assert tell(answer) == [("C", "failed"), ("B", "success")]
    assert answer["tries"][0]["error"]["code"] == "HOST_NOT_ENOUGH_FREE_MEMORY"
    assert answer["request_id"] == "change-4711#2"
    assert count_plugged(pool, "C") == 0
    first, second = (run["run"] for run in reversed(scene.runs()))
    assert [each["run_uuid"] for each in answer["tries"]] == [first, second] == [first, answer["run"]]
    assert read(lmflow(*MOVE, "-f", "json"), 0)["run"] == second
    assert read(lmflow("run", "wait", first, "-f", "json"), 0)["run"] == second
    assert read(lmflow("run", "show", "change-4711", "-f", "json"), 0)["run"] == second
    assert [each["host_uuid"] for each in answer["tries"]] == [pool.uuid("host", "C"), pool.uuid("host", "B")]
    shown = read(lmflow("run", "show", "change-4711", "--objects", "-f", "json"), 0)
    assert [(o["run_uuid"], o["fate"]) for o in shown["objects"] if o["kind"] == "PBD plugged"] == [
        (first, "undone")
    ] * 2
    assert {o["run_uuid"] for o in shown["objects"]} == {first, second}
    assert {o["run_uuid"] for o in scene.rows("run", "show", first, "--objects")["objects"]} == {first}
    told = " ".join(lmflow("run", "show", "change-4711", "--objects").stdout.split())
    assert f"runs {first[:8]}, {second[:8]} created" in told
    assert f"on C, run {first[:8]}" in told
    assert json.loads(lmflow("resume", first, "-f", "json").stdout)[0]["run"] == second
    assert len(pool.audit("VM.pool_migrate")) == 2


def test_43_storage_that_cannot_be_plugged_there_leads_to_the_next(
    simulator: Start, lmflow: Lmflow, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", prefer_c))
    pool.control("POST", "/phase_faults", {"phase": "PBD.plug", "kind": "fail"})
    done = lmflow("migrate", "v")
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["B"]
    assert count_plugged(pool, "C") == 0
    assert len(pool.audit("VM.pool_migrate")) == 1
    said = " ".join(done.stdout.split())
    assert "tries C failed" in said
    assert "SR_BACKEND_FAILURE_47" in said
    assert "B success" in said
    assert "C turned out unfit" in done.stderr


def test_43_one_try_with_no_retries(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", prefer_c))
    fail_at_submit(pool, FULL)
    done = lmflow(*MOVE, "--max-retries", "0")
    assert done.returncode == 4, done.stderr
    assert "no more hosts are to be tried" in " ".join(done.stdout.split())
    assert [run["state"] for run in scene.runs()] == ["failed"]
    assert pool.runs_on("v") == ["A"]


def test_43_exhausted_is_failed_with_every_hosts_reason(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    def change(world: dict[str, Any]) -> None:
        prefer_c(world)
        world["hosts"].append({**get_item(world, "hosts", "B"), "name": "D", "enabled": False})

    pool = simulator(write_world(tmp_path / "p.json", change))
    pool.control("POST", "/phase_faults", {"phase": "PBD.plug", "kind": "fail"})
    fail_at_submit(pool, FULL)
    answer = read(lmflow(*MOVE, "-f", "json"), 4)
    assert tell(answer) == [("C", "failed"), ("B", "failed"), ("D", "refused")]
    assert "HOST_DISABLED" in {f["code"] for f in answer["tries"][2]["findings"]}
    assert pool.runs_on("v") == ["A"]
    assert [run["state"] for run in scene.runs()] == ["failed", "failed"]
    again = lmflow(*MOVE)
    assert again.returncode == 4
    assert "D refused, not tried" in " ".join(again.stdout.split())


def test_43_exhausted_is_refused_when_no_host_got_past_the_checks(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", prefer_c))
    # The first is asked for the choice, the second in the run.
    pool.control("POST", "/hold", {"call": "VM.assert_can_boot_here", "point": "request_read", "nth": 2})
    child = scene.popen(*MOVE, "-f", "json")
    assert wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "the run's own look")
    with Connection.open(scene.profile(pool), lambda: str(pool.ready["password"])) as connection:
        for host in "BC":
            connection.call_once("host.disable", pool.find_ref("host", host))
    pool.control("POST", "/release", {})
    assert child.wait(60) == 3, scene.read_output(child)
    answer = json.loads(scene.read_output(child)[0])
    assert tell(answer) == [("C", "refused"), ("B", "refused")]
    assert pool.changing_calls() == ["host.disable"] * 2  # our own


@pytest.mark.parametrize(
    "error", [["OPERATION_BLOCKED", "OpaqueRef:v", "kept here"], ["VM_LACKS_FEATURE", "OpaqueRef:v"]]
)
def test_43_what_no_other_host_could_cure_is_not_tried_elsewhere(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, error: list[str]
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", prefer_c))
    fail_at_submit(pool, error)
    assert lmflow(*MOVE).returncode == 4
    assert len(scene.runs()) == 1
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_43_never_another_host_after_an_unknown_submit(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    scene.waits = {"settle_seconds": 0.5}
    pool = simulator(write_world(tmp_path / "p.json", prefer_c), "--refuse-witness")
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    assert lmflow(*MOVE).returncode == 7
    done = lmflow("resolve", "change-4711", "--on", "A", "--reason", "I looked")
    assert done.returncode == 4, done.stdout + done.stderr
    assert len(scene.runs()) == 1
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_43_never_another_host_after_an_unknown_submit_that_was_settled(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    """The witness shows later that the submit never began; sent again, XAPI refuses that host before it begins."""
    scene.waits = {"settle_seconds": 0.5}
    pool = simulator(write_world(tmp_path / "p.json", prefer_c))
    scene.write_config(**{pool.name: {"witness": False}})
    pool.control("POST", "/faults", {"call": "Async.VM.pool_migrate", "kind": "close_before"})
    fail_at_submit(pool, FULL)
    assert lmflow(*MOVE).returncode == 7
    scene.write_config()
    done = lmflow("resume", "change-4711")
    assert done.returncode == 4, done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "HOST_NOT_ENOUGH_FREE_MEMORY" in said
    assert "no other host is tried: for a time nobody could say what became of its submit" in said
    assert len(scene.runs()) == 1
    assert len(pool.effects("v")) == 0


@pytest.mark.parametrize("again", [("resume", "change-4711"), MOVE])
@pytest.mark.parametrize("moment", ["choosing", "begun"])
def test_43_killed_between_two_tries(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, moment: str, again: tuple[str, ...]
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", prefer_c))
    pool.control("POST", "/phase_faults", {"phase": "PBD.plug", "kind": "fail"})
    if moment == "choosing":
        # For the choice, in the run, for the next choice.
        pool.control("POST", "/hold", {"call": "VM.assert_can_boot_here", "point": "request_read", "nth": 3})
    child = scene.popen(*MOVE)
    if moment == "choosing":
        kill_at_hold(pool, scene, child, point="request_read", call="VM.assert_can_boot_here")
        assert [run["state"] for run in scene.runs()] == ["running"]
    else:
        begun = "select 1 from lmflow_events where kind = 'handed_over'"
        assert wait_until(lambda: bool(query(scene, begun)), child, "the next try")
        kill(child)
    done = lmflow(*again)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [run["state"] for run in scene.runs()] == ["success", "failed"]
    assert pool.runs_on("v") == ["B"]
    assert count_plugged(pool, "C") == 0
    assert len(pool.effects("v")) == 1


def test_43_a_cancel_is_no_reason_to_try_another(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", prefer_c))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold"})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: "accepted" in scene.read_output(child)[1], child, "the submit")
    assert lmflow("cancel", "change-4711").returncode == 0
    assert child.wait(60) == 4
    assert len(scene.runs()) == 1
    assert pool.runs_on("v") == ["A"]


def test_43_a_cancel_at_the_last_moment_is_not_lost_between_two_tries(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", prefer_c))
    pool.control("POST", "/phase_faults", {"phase": "PBD.plug", "kind": "fail"})
    # For the choice, in the run, for the next choice: then the wishes were looked at.
    pool.control("POST", "/hold", {"call": "VM.assert_can_boot_here", "point": "request_read", "nth": 3})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "the next choice")
    lmflow("cancel", "change-4711", "--timeout", "0.1")
    pool.control("POST", "/release", {})
    assert child.wait(60) == 4, scene.read_output(child)
    assert "no other host is tried: a cancel was asked for" in " ".join(scene.read_output(child)[0].split())
    assert len(scene.runs()) == 1
    assert pool.audit("VM.pool_migrate") == []


def test_a_strategy_that_nobody_knows_is_told_before_anything_is_sent(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", prefer_c))
    done = lmflow("migrate", "v", "--strategy", "fastest")
    assert done.returncode == 2
    assert "fastest" in done.stderr
    assert "headroom" in done.stderr
    assert scene.runs() == []
    assert pool.changing_calls() == []
    assert lmflow("migrate", "v", "--strategy", "pack").returncode == 0
    assert pool.runs_on("v") == ["B"]
