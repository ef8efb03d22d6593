"""What a migration may be told beyond VM and destination; acceptance scenarios 18 and 19, and the limits in time."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lmflow.api import Finding, RefusedError, UsageError
from tests.support.admin import as_admin
from tests.support.embedding import open_client
from tests.support.invariants import Invariants
from tests.support.kills import kill_at_step, kill_when_progress, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import COMMAND_SECONDS, Command, Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]
World = dict[str, Any]

MOVE = ("migrate", "v", "--to", "B", "--request-id", "r")
LACKING = "1fc9cbf5-f6f83203-2991cbf5-00000123-00000001-00000329-00000000-00000001"


def options_of(pool: SimulatedPool) -> list[dict[str, str]]:
    """Return the options of each pool_migrate that was sent."""
    return [dict(sent["params"][3]) for sent in pool.audit("VM.pool_migrate")]


def hold_in(pool: SimulatedPool, phase: str) -> None:
    pool.control("POST", "/phase_faults", {"phase": phase, "kind": "hold"})


def wait_for_text(scene: Scene, child: Command, text: str) -> None:
    assert wait_until(lambda: text in scene.read_output(child)[1], child, text), scene.read_output(child)


def wait_for_progress(scene: Scene, child: Command) -> None:
    asked = "select max(progress) from lmflow_attempts"
    assert wait_until(lambda: ((query(scene, asked) or [(0,)])[0][0] or 0) > 0.2, child, "progress")


# -- scenario 18: other operations


def test_18_another_operation_is_waited_for_and_then_named_with_its_task(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    invariants.foreign_migrations["v"] = 1
    scene.waits = {"operation_seconds": 1.0}
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    with as_admin(pool) as call:
        vm_ref = pool.find_ref("VM", "v")
        task_ref = call("Async.VM.pool_migrate", vm_ref, pool.find_ref("host", "C"), {})
        scene.wait_until(lambda: bool(pool.get("VM", "v")["current_operations"]))
        done = lmflow(*MOVE, "-f", "json")
        task_uuid = call("task.get_uuid", task_ref)
        scene.wait_until(lambda: call("task.get_allowed_operations", task_ref) == ["cancel"])
        call("task.cancel", task_ref)
        scene.wait_until(lambda: call("task.get_status", task_ref) == "cancelled")
        call("task.destroy", task_ref)
    assert done.returncode == 3, done.stdout + done.stderr
    assert len(pool.audit("VM.pool_migrate")) == 1
    assert done.stderr.count("v is busy with pool_migrate: waiting") > 0
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["code"] == "OTHER_OPERATION_IN_PROGRESS"
    assert f"busy with pool_migrate (task Async.VM.pool_migrate, {task_uuid})" in finding["message"]


def test_18_a_destination_that_is_being_emptied_is_refused_at_once(
    simulator: Start, lmflow: Lmflow, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    change = {"current_operations": {"OpaqueRef:t": "evacuate"}}
    pool.control("POST", "/object", {"class": "host", "uuid": pool.uuid("host", "B"), "fields": change})
    done = lmflow(*MOVE, "-f", "json")
    assert done.returncode == 3, done.stdout + done.stderr
    assert [f["code"] for f in json.loads(done.stdout)["findings"]] == ["OTHER_OPERATION_IN_PROGRESS"]
    assert "waiting" not in done.stderr
    assert pool.changing_calls() == []


# -- force


def three_that_may_not(world: World) -> None:
    """Make v a VM whose guest cannot be suspended, n one that may not move, and c one whose CPU has what B lacks."""
    vm = get_item(world, "vms", "v")
    world["vms"] += [{**vm, "name": "n", "nomigrate": True}, {**vm, "name": "c", "cpu_features": LACKING}]
    del world["vms"][-1]["cpu_features_of"]
    vm["guest"] = {"other": {"feature-suspend": "0"}}


def test_19_force_overrides_what_is_listed_and_confirmed(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", three_that_may_not))
    codes = {"v": "VM_LACKS_FEATURE", "n": "VM_IS_IMMOBILE", "c": "VM_INCOMPATIBLE_WITH_THIS_HOST"}
    for name, code in codes.items():
        refused = lmflow("migrate", name, "--to", "B")
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert code in refused.stdout
    alone = lmflow("migrate", "v", "--to", "B", "--force")
    assert alone.returncode == 2, alone.stdout + alone.stderr
    assert "VM_LACKS_FEATURE" in alone.stderr
    assert "--yes" in alone.stderr
    assert pool.changing_calls() == []
    for name, code in codes.items():
        done = lmflow("migrate", name, "--to", "B", "--force", "--yes", "-f", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        (warning,) = json.loads(done.stdout)["warnings"]
        assert f"{code}, overridden by force" in warning
        assert pool.runs_on(name) == ["B"]
    shown = lmflow("run", "show", json.loads(done.stdout)["run"])
    assert "overridden by force" in " ".join(shown.stdout.split())
    assert options_of(pool) == [{"live": "true", "force": "true"}] * 3


def test_on_a_terminal_force_asks(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", three_that_may_not))
    for answer, code in ((b"n\n", 3), (b"yes\n", 0)):
        primary, secondary = os.openpty()
        child = scene.popen(
            "migrate", "v", "--to", "B", "--force", stdin=secondary, stderr=secondary, env={"TERM": "xterm"}
        )
        os.close(secondary)
        shown = b""
        with contextlib.suppress(OSError):  # its end closes the terminal
            while chunk := os.read(primary, 65536):
                if b"[y/N]" not in shown and b"[y/N]" in shown + chunk:
                    os.write(primary, answer)
                shown += chunk
        os.close(primary)
        assert child.wait(COMMAND_SECONDS) == code, shown
        assert b"VM_LACKS_FEATURE" in shown
        assert (b"not confirmed" in shown) == (code == 3)
        assert (pool.changing_calls() == []) == (code == 3)


def install_drivers(pool: SimulatedPool) -> None:
    """Let every guest say that it can be suspended, and XAPI notice it."""
    for guest in pool.records("VM_guest_metrics").values():
        change = {"other": {**guest["other"], "feature-suspend": "1"}}
        pool.control("POST", "/object", {"class": "VM_guest_metrics", "uuid": guest["uuid"], "fields": change})
    pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "v"), "fields": {"name_label": "v"}})


def test_force_with_nothing_to_override_asks_nobody(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", three_that_may_not))
    asked: list[Sequence[Finding]] = []

    def deny(findings: Sequence[Finding]) -> bool:
        asked.append(findings)
        return False

    with open_client(scene) as client:
        with pytest.raises(RefusedError, match="not confirmed"):
            client.migrate("v", force=True, confirm=deny)
        assert [finding.code for finding in asked[0]] == ["VM_LACKS_FEATURE"]
        assert pool.changing_calls() == []
        assert client.runs() == ()
        outcome = client.migrate("v", "B", force=True)  # no confirm: the caller has decided
        assert len(outcome.warnings) == 1
        install_drivers(pool)
        assert client.migrate("v", "A", force=True, confirm=deny).run.state == "success"
        assert len(asked) == 1


def test_strict_lets_warnings_refuse(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def add_another(world: World) -> None:
        world["vms"].append({**get_item(world, "vms", "v"), "name": "w"})

    pool = simulator(write_world(tmp_path / "p.json", add_another))
    left = {"scheduled_to_be_resident_on": "B"}
    pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "w"), "fields": left})
    refused = lmflow("migrate", "v", "--to", "B", "--strict", "-f", "json")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    answer = json.loads(refused.stdout)
    assert [finding["code"] for finding in answer["findings"]] == ["RESERVATION_LEFT"]
    assert answer["advice"] == "lmflow check v --strict"
    assert pool.changing_calls() == []
    done = lmflow("migrate", "v", "--to", "B", "-f", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    (warning,) = json.loads(done.stdout)["warnings"]
    assert "RESERVATION_LEFT" in warning


# -- network, compress, the request id


def two_networks(world: World) -> None:
    """Add a network of its own for migrations, which only A and B have an address in."""
    world["networks"] += [{"name": "fast", "bridge": "xenbr1"}, {"name": "dark", "bridge": "xenbr2"}]
    for number, host in enumerate(world["hosts"]):
        address = {"IP": f"10.0.0.{number + 1}", "ip_configuration_mode": "Static"} if host["name"] != "C" else {}
        host["networks"] += [
            {"network": "fast", "device": "eth1", "fields": address},
            {"network": "dark", "device": "eth2"},
        ]


def test_the_network_and_the_compression_are_sent_and_nothing_that_xapi_ignores(
    simulator: Start, lmflow: Lmflow, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", two_networks))
    wrong = lmflow("migrate", "v", "--to", "B", "--network", "slow")
    assert wrong.returncode == 2, wrong.stdout + wrong.stderr
    assert "dark, fast, lan" in wrong.stderr
    dark = lmflow("migrate", "v", "--to", "B", "--network", "dark")
    assert dark.returncode == 3, dark.stdout + dark.stderr
    assert pool.changing_calls() == []
    done = lmflow(*MOVE, "--network", "fast", "--compress")
    assert done.returncode == 0, done.stdout + done.stderr
    back = lmflow("migrate", "v", "--to", "A", "--no-compress")
    assert back.returncode == 0, back.stdout + back.stderr
    network = pool.find_ref("network", "fast")
    assert options_of(pool) == [
        {"live": "true", "network": network, "compress": "true"},
        {"live": "true", "compress": "false"},
    ]
    other = lmflow(*MOVE, "--compress")
    assert other.returncode == 2, other.stdout
    assert "with another network" in other.stderr
    assert lmflow(*MOVE, "--compress", "--network", "fast").returncode == 0
    assert len(options_of(pool)) == 2


def test_ways_that_contradict_each_other_are_told_before_anything_is_asked(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    for option in (("--strategy", "spread"), ("--max-retries", "1")):
        assert lmflow(*MOVE, *option).returncode == 2
    assert lmflow(*MOVE, "--deadline", "soon").returncode == 2
    with open_client(scene) as client:
        for wrong in ({"deadline_seconds": -1.0}, {"guest_seconds": float("nan")}, {"max_retries": -1}):
            with pytest.raises(UsageError):
                client.migrate("v", **wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            client.migrate("v", "B", live=False)  # type: ignore[call-arg]
    assert pool.audit() == []


# -- limits in time


def test_a_migration_that_stands_still_is_cancelled(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    done = lmflow(*MOVE, "--no-progress", "1", "-f", "json")
    assert done.returncode == 4, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["cancelled"] is True
    assert "cancelled by lmflow (no progress for 1 s)" in told["summary"]
    assert pool.runs_on("v") == ["A"]
    assert len(pool.audit("task.cancel")) == 1


def test_a_deadline_that_has_passed_sends_nothing(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    done = lmflow(*MOVE, "--deadline", "0")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "cancelled by lmflow (deadline of 0 s passed)" in " ".join(done.stdout.split())
    assert pool.changing_calls() == []


def test_a_deadline_counts_from_when_the_run_was_created_whoever_owns_it(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    owner = scene.popen(*MOVE, "--deadline", "600")
    kill_when_progress(scene, owner, 0.2)
    with contextlib.closing(sqlite3.connect(scene.database_file)) as database:
        database.execute("UPDATE lmflow_runs SET created_at = created_at - 600")
        database.commit()
    done = lmflow("resume", "r")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "cancelled by lmflow (deadline of 600 s passed)" in " ".join(done.stdout.split())
    assert pool.runs_on("v") == ["A"]


def test_too_late_is_said_once_and_the_run_goes_on(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), time_scale=20)
    pool.control("POST", "/copy_seconds", {"vm": pool.uuid("VM", "v"), "seconds": 20})
    hold_in(pool, "suspend")
    owner = scene.popen(*MOVE, "--no-progress", "2")
    wait_for_text(scene, owner, "not cancelled: the guest is being moved over")
    owner.kill()
    owner.wait()
    again = scene.popen("resume", "r")
    wait_for_text(scene, again, "taken over")
    looked = len(pool.audit("event.from"))
    scene.wait_until(lambda: len(pool.audit("event.from")) > looked + 2)
    pool.control("POST", "/release_phases", {})
    assert again.wait(COMMAND_SECONDS) == 0, scene.read_output(again)
    said = scene.read_output(owner)[1] + scene.read_output(again)[1]
    assert said.count("not cancelled: ") == 1, said
    assert pool.runs_on("v") == ["B"]
    assert pool.audit("task.cancel") == []


# -- settle


def test_what_does_not_come_after_the_move_is_warned_of_and_not_repaired(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    assert kill_at_step(scene, "verify_on_destination", *MOVE)
    (card,) = pool.records("VIF").values()
    pool.control("POST", "/object", {"class": "VIF", "uuid": card["uuid"], "fields": {"currently_attached": False}})
    ghost = {"current_operations": {"OpaqueRef:t": "pool_migrate"}}
    pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "v"), "fields": ghost})
    over = {"class": "task", "uuid": pool.records("task")["OpaqueRef:t"]["uuid"], "fields": {"status": "success"}}
    pool.control("POST", "/object", over)
    calls = len(pool.changing_calls())
    done = lmflow("resume", "r", "-f", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = json.loads(done.stdout)
    assert len(told["warnings"]) == 2
    assert "still shows the operation pool_migrate" in told["warnings"][0]
    assert f"interface 0 ({card['uuid']}) is not attached" in told["warnings"][1]
    assert "warning: v still shows" in done.stderr
    assert set(pool.changing_calls()[calls:]) <= {"task.destroy", "VM.remove_from_other_config"}
    change = {"current_operations": {}}
    pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "v"), "fields": change})


def test_a_migration_that_somebody_else_has_begun_since_is_no_ghost(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    assert kill_at_step(scene, "verify_on_destination", *MOVE)
    (card,) = pool.records("VIF").values()
    pool.control("POST", "/object", {"class": "VIF", "uuid": card["uuid"], "fields": {"currently_attached": False}})
    with as_admin(pool) as call:
        task = call("task.create", "Async.VM.pool_migrate", "")
        operation = {"current_operations": {task: "pool_migrate"}}
        pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "v"), "fields": operation})
        done = lmflow("resume", "r", "-f", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)[0]["warnings"] == []
        pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "v"), "fields": {"current_operations": {}}})
        call("task.destroy", task)


def test_the_guest_is_waited_for_where_that_is_wished(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    (guest,) = pool.records("VM_guest_metrics").values()
    live = {"class": "VM_guest_metrics", "uuid": guest["uuid"]}
    pool.control("POST", "/object", {**live, "fields": {"live": False}})
    silent = lmflow("migrate", "v", "--to", "B", "--wait-guest", "0.5", "-f", "json")
    assert silent.returncode == 0, silent.stdout + silent.stderr
    assert json.loads(silent.stdout)["warnings"] == ["the guest's agent of v has not reported within 0.5 s"]
    pool.control("POST", "/object", {**live, "fields": {"live": True}})
    there = lmflow("migrate", "v", "--to", "A", "--wait-guest", "60", "-f", "json")
    assert json.loads(there.stdout)["warnings"] == []
