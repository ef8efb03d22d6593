"""Acceptance scenarios of single rules: what would hold a VM back is known before anything is asked of the pool.

Numbers as in the product's list; r10 and the like are failures that users saw in the field. One pool has a VM, or a
host, for each of them: a refusal changes nothing, so they can share it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import FEATURES, get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

V_UUID = "5a1e7e2b-5b0c-4f7e-9a54-2f3f4c4f9d02"
LESSER = FEATURES.replace("-2991cbf5-", "-0991cbf5-")
CACHED = {"sm_config": {"on_boot": "reset", "caching": "true"}}
ROOT = {"name": "root", "sr": "S"}

ODD: dict[str, dict[str, Any]] = {
    "bare": {"drivers": False},
    "silent": {"guest": {"other": {"feature-suspend": "0"}}},
    "busy": {"guest": {"other": {"data-cant-suspend-reason": "a backup"}}},
    "fixed": {"nomigrate": True},
    "nested": {"nested_virt": True},
    "wired": {"pcis": 1},
    "drawn": {"vgpus": ["gvt_g"]},
    "keyed": {"vusbs": 1},
    "cached": {"disks": [{"name": "scratch", "sr": "S", "fields": CACHED}]},
    "blocked": {"blocked_operations": {"pool_migrate": "licence server"}},
    "gold": {"is_a_template": True, "power_state": "Halted"},
    "v-before": {"snapshot_of": "v", "power_state": "Halted"},
}
"""VMs on A that must not move, by what they have beside a disk and an interface."""

REFUSED = {
    "bare": "VM_LACKS_FEATURE",
    "silent": "VM_LACKS_FEATURE",
    "busy": "VM_LACKS_FEATURE",
    "fixed": "VM_IS_IMMOBILE",
    "nested": "VM_IS_IMMOBILE",
    "wired": "VM_HAS_PCI_ATTACHED",
    "drawn": "VM_HAS_VGPU",
    "keyed": "VM_HAS_VUSBS",
    "cached": "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION",
    "blocked": "OPERATION_BLOCKED",
}


def fill(world: dict[str, Any]) -> None:
    """Put a VM for each oddity on A; C has a lesser CPU."""
    for name, oddity in ODD.items():
        vm = {"name": name, "memory": "256 MiB", "disks": [ROOT], "vifs": ["lan"], **oddity}
        world["vms"].append(vm if "power_state" in oddity else {"host": "A", **vm})
    get_item(world, "hosts", "C")["cpu"] = {"features": LESSER}


def refuse(pool: SimulatedPool, done: CompletedProcess[str], *words: str, after_check: bool = False) -> str:
    """Check that it was refused, for these reasons, and that nothing but reading was done; return what was said.

    ``after_check``: a check went before, which may ask the witness.
    """
    assert done.returncode == 3, done.stderr
    said = done.stdout + done.stderr
    for word in words:
        assert word in said
    assert pool.changing_calls(witness=after_check) == []
    assert pool.effects() == []
    return said


def migrate(lmflow: Lmflow, vm: str = "v", to: str = "B", *options: str, **kwargs: Any) -> CompletedProcess[str]:
    return lmflow("migrate", vm, "--to", to, *options, **kwargs)


def test_19_and_what_else_holds_a_vm_where_it_is(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    """No PV drivers, built as immobile, devices of its host, a disk that is cached there, blocked: each by its code."""
    pool = simulator(write_world(tmp_path / "p.json", fill))
    checked = lmflow("check", *REFUSED, "--to", "B", "-f", "json")
    report = json.loads(checked.stdout)
    found = {
        vm["name"]: {f["code"] for host in vm["hosts"] if host["host_name"] == "B" for f in host["findings"]}
        for vm in report["vms"]
    }
    assert found == {vm: {code} for vm, code in REFUSED.items()}
    assert "guest tools" in refuse(pool, migrate(lmflow, "bare"), "VM_LACKS_FEATURE", "bare")
    assert "VM_HAS_VUSBS" in refuse(pool, migrate(lmflow, "keyed"), "keyed")
    assert "VM_INCOMPATIBLE_WITH_THIS_HOST" in refuse(pool, migrate(lmflow, "v", "C"), "v", "C")  # r14


def test_21_a_template_a_snapshot_a_control_domain(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", fill))
    domains = [vm["uuid"] for vm in pool.records("VM").values() if vm["is_control_domain"]]
    for uuid, code in (
        (pool.uuid("VM", "gold"), "VM_IS_TEMPLATE"),
        (pool.uuid("VM", "v-before"), "VM_IS_SNAPSHOT"),
        (domains[0], "OPERATION_NOT_ALLOWED"),
    ):
        refuse(pool, migrate(lmflow, uuid), code)


def test_34_without_a_default_sr_the_vms_own_are_what_counts(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def forget(world: dict[str, Any]) -> None:
        del get_item(world, "storage", "S")["default"]

    pool = simulator(write_world(tmp_path / "p.json", forget))
    assert pool.records("SR").get(next(iter(pool.records("pool").values()))["default_SR"]) is None
    done = migrate(lmflow)
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["B"]


def test_r10_a_reservation_that_was_left_behind_is_warned_of(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    """The memory that it keeps counts as taken; the move itself is none the worse for it."""
    pool = simulator(write_world(tmp_path / "p.json", fill))
    edit = {"uuid": pool.uuid("VM", "wired"), "fields": {"scheduled_to_be_resident_on": "B"}}
    pool.control("POST", "/vm", edit)
    checked = lmflow("check", "v", "--to", "B")
    assert checked.returncode == 0, checked.stderr
    for word in ("RESERVATION_LEFT", "wired"):
        assert word in checked.stdout + checked.stderr
    refuse(pool, migrate(lmflow, "v", "B", "--strict"), "RESERVATION_LEFT", "wired", after_check=True)
    done = migrate(lmflow)
    assert done.returncode == 0, done.stderr
    assert "wired" in done.stdout + done.stderr
    assert pool.runs_on("v") == ["B"]


def test_r15_a_guest_that_has_lost_its_drivers(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    """It could be migrated a moment ago; what its agent says now is what counts."""
    pool = simulator(write_world(tmp_path / "p.json"))
    assert lmflow("check", "v", "--to", "B").returncode == 0
    metrics = pool.records("VM_guest_metrics")[pool.get("VM", "v")["guest_metrics"]]
    fields = {"other": {**metrics["other"], "feature-suspend": "0"}}
    pool.control("POST", "/object", {"class": "VM_guest_metrics", "uuid": metrics["uuid"], "fields": fields})
    refuse(pool, migrate(lmflow), "VM_LACKS_FEATURE", "guest tools", after_check=True)


def test_r16_what_is_blocked_says_who_blocked_it(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    fields = {"blocked_operations": {"pool_migrate": "backup of Tuesday", "suspend": "something else"}}
    pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "v"), "fields": fields})
    assert "something else" not in refuse(pool, migrate(lmflow), "OPERATION_BLOCKED", "backup of Tuesday")


def test_r18_an_older_host_in_a_rolling_upgrade(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def upgrade(world: dict[str, Any]) -> None:
        world["pool"] = {"other_config": {"rolling_upgrade_in_progress": "true"}}
        get_item(world, "hosts", "B")["version"] = {"platform_version": "3.1.0"}

    pool = simulator(write_world(tmp_path / "p.json", upgrade))
    refuse(pool, migrate(lmflow), "NOT_SUPPORTED_DURING_UPGRADE", "B", "3.1.0")


def test_r26_the_vm_in_which_lmflow_runs(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    own = {"OS_CHECKS__OWN_VM": pool.uuid("VM", "v").upper()}
    refuse(pool, migrate(lmflow, env=own), "VM_IS_LMFLOW_ITSELF", "v")
    checked = lmflow("check", "v", env=own)
    assert checked.returncode == 3
    assert "VM_IS_LMFLOW_ITSELF" in checked.stdout
    done = migrate(lmflow, env={"OS_CHECKS__OWN_VM": ""})
    assert done.returncode == 0, done.stderr


def test_a_role_that_may_not_migrate_is_known_before(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    """XAPI would say it in the task; a role that may can, and where more is needed it is told of before.

    What is only tidied up after the arrival is a warning: the VM is moved all the same.
    """

    def add_users(world: dict[str, Any]) -> None:
        own = {"name": "own", "type": "nfs", "shared": True, "other_config": {"lmflow-introduced-for": V_UUID}}
        world["storage"].append({**own, "hosts": {"A": "plugged", "B": "plugged", "C": "unplugged"}})
        isos = {"name": "isos", "type": "iso", "content_type": "iso", "shared": False, "hosts": {"A": "plugged"}}
        world["storage"].append(isos)
        vm = get_item(world, "vms", "v")
        vm.update(uuid=V_UUID, cds=[{"iso": "tools.iso", "sr": "isos"}])
        vm["disks"].append({"name": "data", "sr": "own", "size": "1 GiB"})
        world["users"] = [
            {"name": "otto", "password": "ottos-own-secret", "role": "read-only"},
            {"name": "olga", "password": "olgas-own-secret", "role": "vm-admin"},
            {"name": "paul", "password": "pauls-own-secret", "role": "vm-power-admin"},
        ]

    pool = simulator(write_world(tmp_path / "p.json", add_users))
    for name in ("otto", "olga", "paul"):
        secret = pool.directory / name
        secret.write_text(f"{name}s-own-secret\n", encoding="utf-8")
        secret.chmod(0o600)
    eject = "--eject-local-iso"
    scene.write_config(lab={"username": "otto", "password_file": pool.directory / "otto"})
    refuse(pool, migrate(lmflow, "v", "B", eject), "RBAC_PERMISSION_DENIED", "vm-power-admin", "may not take the disc")
    scene.write_config(lab={"username": "olga", "password_file": pool.directory / "olga"})
    refuse(pool, migrate(lmflow, "v", "B", eject), "RBAC_PERMISSION_DENIED", "vm-power-admin")
    scene.write_config(lab={"username": "paul", "password_file": pool.directory / "paul"})
    refuse(pool, migrate(lmflow, "v", "C", eject), "RBAC_PERMISSION_DENIED", "pool-operator")
    own = pool.uuid("SR", "own")
    refuse(pool, migrate(lmflow, "v", "B", eject, "--strict"), "RBAC_PERMISSION_DENIED", own)
    done = migrate(lmflow, "v", "B", eject)
    assert done.returncode == 0, done.stderr
    assert f"SR {own} will stay connected to the source" in " ".join(done.stderr.split())
    assert pool.runs_on("v") == ["B"]
    joins = [pbd for pbd in pool.records("PBD").values() if pbd["SR"] == pool.find_ref("SR", "own")]
    assert {pbd["host"] for pbd in joins if pbd["currently_attached"]} == {pool.find_ref("host", h) for h in "AB"}


def test_the_network_that_is_to_carry_the_migration(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    """Both ends need an attached interface with an address on it; without such a wish the management network does."""

    def add_networks(world: dict[str, Any]) -> None:
        world["networks"] += [{"name": n, "bridge": f"xapi-{n}"} for n in ("fast", "slow")]
        address = {"network": "fast", "fields": {"IP": "10.9.0.1"}}
        get_item(world, "hosts", "A")["networks"] += [address, "slow"]
        get_item(world, "hosts", "B")["networks"] += [
            {"network": "fast", "fields": {"primary_address_type": "IPv6", "IPv6": ["fd00::2/64"]}},
            {"network": "slow", "fields": {"IP": "10.8.0.2", "currently_attached": False}},
        ]

    pool = simulator(write_world(tmp_path / "p.json", add_networks))
    slow = refuse(pool, migrate(lmflow, "v", "B", "--network", "slow"), "INTERFACE_HAS_NO_IP", '"slow"')
    assert "REQUIRED_PIF_IS_UNPLUGGED" in slow
    refuse(pool, migrate(lmflow, "v", "C", "--network", "fast"), "PIF_NOT_PRESENT", "C", '"fast"')
    done = migrate(lmflow, "v", "B", "--network", "fast")
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["B"]
