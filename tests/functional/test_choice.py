"""``lmflow migrate VM`` without a destination. Numbers are those of the acceptance scenarios."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lmflow.exceptions import RefusedError
from lmflow.runner import checking
from lmflow.xapi.connection import Connection
from tests.support import check_worlds
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


def connect(scene: Scene, pool: SimulatedPool) -> Connection:
    return Connection.open(scene.profile(pool), lambda: str(pool.ready["password"]))


def asked_hosts(pool: SimulatedPool) -> list[str]:
    names = {ref: record["name_label"] for ref, record in pool.records("host").items()}
    return [names[e["params"][2]] for e in pool.audit("VM.assert_can_boot_here")]


def test_42_the_host_with_the_most_headroom_is_taken_and_the_choice_explained(
    simulator: Start, lmflow: Lmflow, tmp_path: Path
) -> None:
    pool = simulator(
        write_world(tmp_path / "p.json", lambda world: check_worlds.shrink(world, A="128 GiB", C="64 GiB"))
    )
    done = lmflow("migrate", "v")
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["C"]
    assert "most free memory of 2 candidates" in done.stdout + done.stderr
    assert "B" in done.stdout
    assert len(pool.effects("v")) == 1


@pytest.mark.parametrize("spoil", ["disabled", "dead", "network", "memory", "cpu"])
def test_42_a_host_that_a_rule_refuses_is_no_candidate(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, spoil: str
) -> None:
    def change(world: dict[str, Any]) -> None:
        check_worlds.shrink(world, B="16 GiB", C="64 GiB")
        best = get_item(world, "hosts", "C")
        if spoil == "network":
            check_worlds.lose_network(world)
            best["networks"], get_item(world, "hosts", "B")["networks"] = ["lan"], ["lan", "dmz"]
        elif spoil == "memory":
            best["memory"] = "3 GiB"
        elif spoil == "cpu":
            best["cpu"] = {"features": "00000000-00000000"}
            get_item(world, "vms", "v")["cpu_features"] = "00000001-00000000"
            for name in ("A", "B"):
                get_item(world, "hosts", name)["cpu"] = {"features": "00000001-00000000"}
            del get_item(world, "vms", "v")["cpu_features_of"]
        else:
            best.update({"enabled": False} if spoil == "disabled" else {"live": False})

    pool = simulator(write_world(tmp_path / "p.json", change))
    done = lmflow("migrate", "v")
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["B"]


def test_42_when_no_host_is_left_every_hosts_reasons_are_named(
    simulator: Start, lmflow: Lmflow, tmp_path: Path
) -> None:
    def change(world: dict[str, Any]) -> None:
        check_worlds.shrink(world, A="128 GiB")
        get_item(world, "hosts", "B")["enabled"] = False
        check_worlds.lose_network(world)
        get_item(world, "hosts", "C")["networks"] = ["lan"]

    pool = simulator(write_world(tmp_path / "p.json", change))
    done = lmflow("migrate", "v")
    assert done.returncode == 3
    said = " ".join((done.stdout + done.stderr).split())
    for word in ("B is disabled", "which B lacks", "which C lacks", "HOST_DISABLED", "VM_REQUIRES_NETWORK"):
        assert word in said
    assert pool.changing_calls() == []
    assert pool.runs_on("v") == ["A"]


def test_42_a_vm_that_cannot_move_at_all_is_refused_once(simulator: Start, lmflow: Lmflow) -> None:
    pool = simulator("lab")
    done = lmflow("migrate", "old-01")
    assert done.returncode == 3
    assert (done.stdout + done.stderr).count("[VM_BAD_POWER_STATE]") == 1
    assert pool.changing_calls() == []


def share_a_network_inside(world: dict[str, Any], host: str) -> None:
    """Give v an interface on a network without cables that a VM on that host uses too: only XAPI knows what follows."""
    check_worlds.shrink(world, B="128 GiB", C="64 GiB")
    world["networks"].append({"name": "inside"})
    get_item(world, "vms", "v")["vifs"].append("inside")
    other = {"name": "w", "host": host, "memory": "1 GiB", "disks": [{"name": "root", "sr": "S"}], "vifs": ["inside"]}
    world["vms"].append(other)


def test_43_the_pools_objection_leads_to_the_next(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", lambda world: share_a_network_inside(world, "C")))
    with connect(scene, pool) as conn:
        choice = checking.choose_destination(conn, pool.uuid("VM", "v"))
    assert choice.host_name == "C"
    assert choice.because == "the only candidate"
    assert [(r.name, [f.rule for f in r.findings]) for r in choice.refused] == [("B", ["network.answer"])]
    assert asked_hosts(pool) == ["B", "C"]
    assert pool.changing_calls() == []


def test_43_objections_to_all_are_a_refusal_with_each(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", lambda world: share_a_network_inside(world, "A")))
    with connect(scene, pool) as conn, pytest.raises(RefusedError) as refused:
        checking.choose_destination(conn, pool.uuid("VM", "v"))
    findings = refused.value.findings
    assert [f.code for f in findings] == ["VM_REQUIRES_NETWORK"] * 2
    assert [name in f.message for name, f in zip("BC", findings, strict=True)] == [True, True]
    assert "Running on A" in refused.value.state_now


def test_43_the_best_is_disabled_while_it_is_chosen(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", lambda world: check_worlds.shrink(world, B="48 GiB", C="64 GiB")))
    pool.control("POST", "/hold", {"call": "VM.assert_can_boot_here", "point": "request_read"})
    child = scene.popen("migrate", "v")
    scene.wait_until(lambda: any(hold["reached"] for hold in pool.control("GET", "/hold")))
    with connect(scene, pool) as conn:
        conn.call_once("host.disable", pool.find_ref("host", "C"))
    pool.control("POST", "/release", {})
    assert child.wait(60) == 0
    assert pool.runs_on("v") == ["B"]
    assert "HOST_DISABLED" in "".join(scene.read_output(child))


def test_a_single_host_has_no_destination(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(check_worlds.write_big_world(tmp_path / "one.json", hosts=1, vms=1))
    assert lmflow("migrate", "vm-000").returncode == 3
    done = lmflow("check", "vm-000")
    assert done.returncode == 3
    assert "the pool has no other host" in done.stdout
    assert pool.changing_calls(witness=True) == []


def test_a_host_without_vms_of_the_same_anti_affinity_group_goes_first(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    def change(world: dict[str, Any]) -> None:
        check_worlds.shrink(world, B="48 GiB", C="64 GiB")
        world["vms"].append({**get_item(world, "vms", "v"), "name": "w", "host": "C", "cpu_features_of": "C"})

    pool = simulator(write_world(tmp_path / "p.json", change))
    with connect(scene, pool) as conn:
        conn.call_once("VM_group.create", {"name_label": "apart", "placement": "anti_affinity"})
    (group,) = pool.records("VM_group")
    for name in "vw":
        pool.control("POST", "/vm", {"uuid": pool.uuid("VM", name), "fields": {"groups": [group]}})
    done = lmflow("migrate", "v")
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["B"]
    said = " ".join(done.stdout.split())
    assert "fewest VMs of its anti-affinity groups (0) of 2 candidates" in said
    assert "C (1 VM of its anti-affinity groups there; most free memory)" in said
