"""What the rules need beside VM, hosts, storage and networks, read in both ways, and from releases that lack it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmflow.exceptions import XapiFailureError
from lmflow.models import Snapshot, Terms, VMGroup
from lmflow.xapi import fetch, reads, role
from lmflow.xapi.connection import Connection
from lmflow.xapi.overview import read_overview
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.scripted_host import Act, ScriptedHost, failure, value
from tests.support.worlds import get_item, write_world

MakeHost = Callable[..., ScriptedHost]
Connect = Callable[..., Connection]

REFUSED = failure("INTERNAL_ERROR", "missing field")


def enrich(world: dict[str, Any]) -> None:
    """Give v devices, a group and a reservation on B; hosts a second network and lmflow's plugin on A."""
    vm = get_item(world, "vms", "v")
    vm |= {"pcis": 1, "vgpus": ["nvidia", "gvt_g"], "vusbs": 1, "nomigrate": True}
    vm["disks"].append({"name": "scratch", "sr": "S", "fields": {"on_boot": "reset"}})
    vm["fields"] = {"ha_restart_priority": "restart"}
    world["vms"].append({"name": "w", "host": "A", "memory": "512 MiB", "vgpus": ["nvidia"]})
    world["networks"].append({"name": "fast", "bridge": "xapi1"})
    for name in ("A", "B"):
        wire = {"primary_address_type": "IPv6", "IPv6": ["fe80::1/64", "fd00::1/64"]}
        address = {"network": "fast", "fields": wire}
        get_item(world, "hosts", name)["networks"].append(address)
    get_item(world, "hosts", "A")["other_config"] = {"lmflow-guest-files": "1"}


def sort_facts(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a snapshot holds, without order, XAPI's own answer and the estimate of memory."""
    told = snapshot.to_json()
    lists = {name: sorted(told[name], key=lambda o: o["uuid"]) for name in ("hosts", "srs", "pbds", "networks", "pifs")}
    return {**told, **lists, "boot_check": None, "boot_asked": None, "free_bytes": None}


def open_pool(scene: Scene, pool: SimulatedPool) -> Connection:
    return Connection.open(scene.profile(pool), lambda: str(pool.ready["password"]))


def test_both_ways_of_reading_see_the_same(scene: Scene, tmp_path: Path) -> None:
    pool = scene.start(write_world(tmp_path / "p.json", enrich))
    v, a, b, c = (pool.uuid(cls, name) for cls, name in (("VM", "v"), *(("host", name) for name in "ABC")))
    edit = {"uuid": pool.uuid("VM", "w"), "fields": {"scheduled_to_be_resident_on": "B"}}
    pool.control("POST", "/vm", edit)
    terms = Terms(network_uuid=pool.uuid("network", "fast"), own_vm_uuid=v)
    with open_pool(scene, pool) as conn:
        conn.arm()
        conn.call_once("VM_group.create", {"name_label": "web", "name_description": "", "placement": "anti_affinity"})
        group = next(iter(conn.read("VM_group.get_all_records")))
        conn.call_once("VM.set_groups", pool.find_ref("VM", "v"), [group])
        overview = read_overview(conn, [v], now=1.0, terms=terms)
        for host in (b, c):
            alone = reads.read_snapshot(conn, v, host, now=1.0, terms=terms)
            assert sort_facts(overview.snapshot(v, host)) == sort_facts(alone)
    seen = overview.snapshot(v, b)
    assert (seen.vm.has_pci, seen.vm.has_vgpu, seen.vm.has_vusb, seen.vm.is_immobile) == (True,) * 4
    assert (seen.vm.ha_restart_priority, seen.may_migrate, seen.terms) == ("restart", True, terms)
    assert [vbd.vdi.on_boot for vbd in seen.vm.vbds if vbd.vdi] == ["persist", "reset"]
    assert seen.reserved_by == ("w",)
    assert [(h.name_label, h.guest_files) for h in seen.hosts] == [("A", True), ("B", False)]
    assert {p.ip for p in seen.pifs if p.management} == {pool.ready["hosts"][name] for name in ("A", "B")}
    assert [p.ipv6 for p in seen.pifs if p.network_uuid == terms.network_uuid] == [("fd00::1/64",)] * 2
    assert [n.name_label for n in seen.networks] == ["lan", "fast"]
    (found,) = overview.groups
    assert (found.name_label, found.placement, seen.vm.group_uuids) == ("web", "anti_affinity", (found.uuid,))
    assert overview.find_free_bytes(a) == 32 * 1024**3 - sum(
        vm.needed_bytes for vm in overview.vms if vm.resident_on_uuid == a
    ) - next(h.memory_overhead_bytes for h in overview.hosts if h.uuid == a)


def test_a_network_that_is_gone_is_not_there(scene: Scene, tmp_path: Path) -> None:
    pool = scene.start(write_world(tmp_path / "p.json"))
    terms = Terms(network_uuid="00000000-0000-4000-8000-000000000000")
    with open_pool(scene, pool) as conn:
        seen = reads.read_snapshot(conn, pool.uuid("VM", "v"), pool.uuid("host", "B"), now=1.0, terms=terms)
    assert [n.name_label for n in seen.networks] == ["lan"]


POOL: dict[str, list[Act]] = {
    "pool.get_all_records": [value({"OpaqueRef:p": {"uuid": "p", "master": "OpaqueRef:h"}})],
    "host.get_all_records": [value({"OpaqueRef:h": {"uuid": "h", "name_label": "h", "PIFs": ["OpaqueRef:m"]}})],
    "host_metrics.get_all_records": [value({})],
    "SR.get_all_records": [value({})],
    "PBD.get_all_records": [value({})],
    "network.get_all_records": [value({})],
    "PIF.get_all_records": [value({})],
    "VM.get_all_records": [
        value({"OpaqueRef:v": {"uuid": "v", "name_label": "v", "power_state": "Running", "groups": []}})
    ],
    "VM.get_by_uuid": [value("OpaqueRef:v")],
    "VM.get_record": [value({"uuid": "v", "name_label": "v", "power_state": "Running", "resident_on": "OpaqueRef:h"})],
    "PIF.get_record": [
        value({"uuid": "m", "network": "OpaqueRef:n", "host": "OpaqueRef:h", "management": True, "IP": "10.0.0.1"})
    ],
    "network.get_record": [value({"uuid": "n", "name_label": "lan", "PIFs": ["OpaqueRef:m"]})],
    "session.get_record": [value({"is_local_superuser": False})],
    "VM_group.get_all_records": [failure("MESSAGE_METHOD_UNKNOWN", "VM_group.get_all_records")],
}
NO_QUERIES: dict[str, list[Act]] = {f"{name}.get_all_records_where": [REFUSED] for name in ("VM", "PIF")}


def test_a_release_without_groups_roles_and_queries(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({**POOL, **NO_QUERIES})
    conn = connect(host)
    overview = read_overview(conn, ["v"], now=1.0)
    assert (overview.groups, overview.may_migrate) == ((), None)
    assert [vm.uuid for vm in overview.vms] == ["v"]
    seen = reads.read_snapshot(conn, "v", "h", now=1.0)
    assert [(pif.uuid, pif.network_uuid, pif.ip) for pif in seen.pifs] == [("m", "n", "10.0.0.1")]
    assert (seen.reserved_by, seen.may_migrate, seen.vm.group_uuids) == ((), None, ())


def test_groups_that_our_role_may_not_read_are_no_empty_list(make_host: MakeHost, connect: Connect) -> None:
    denied = failure("RBAC_PERMISSION_DENIED", "vm_group.get_all_records", "")
    host = make_host({**POOL, **NO_QUERIES, "VM_group.get_all_records": [denied]})
    with pytest.raises(XapiFailureError, match="RBAC_PERMISSION_DENIED"):
        read_overview(connect(host), ["v"], now=1.0)


def test_groups_are_named(make_host: MakeHost, connect: Connect) -> None:
    groups = {"OpaqueRef:g": {"uuid": "g", "name_label": "web", "placement": "normal"}}
    host = make_host({**POOL, **NO_QUERIES, "VM_group.get_all_records": [value(groups)]})
    assert read_overview(connect(host), ["v"], now=1.0).groups == (VMGroup("g", "web", "normal"),)


def test_our_role_is_read_once_in_a_connection(make_host: MakeHost, connect: Connect) -> None:
    told = value({"is_local_superuser": False, "rbac_permissions": ["vm.pool_migrate"]})
    host = make_host({"session.get_record": [failure("HANDLE_INVALID", "session", "OpaqueRef:x"), told]})
    conn = connect(host)
    assert role.find_may_migrate(conn) is None
    assert [role.find_may_migrate(conn) for _ in range(3)] == [True] * 3
    assert role.find_denied(conn) == (*role.PREPARING, *role.TIDYING)
    assert host.count("session.get_record") == 2


def test_what_went_away_meanwhile_is_left_out(make_host: MakeHost, connect: Connect) -> None:
    gone, other = failure("HANDLE_INVALID", "VDI", "OpaqueRef:1"), failure("INTERNAL_ERROR", "x")
    host = make_host({"VDI.get_record": [gone, value({"uuid": "d"}), gone, other]})
    conn = connect(host)
    refs = ["OpaqueRef:1", "OpaqueRef:NULL", "OpaqueRef:2", "OpaqueRef:2"]
    assert fetch.read_each(conn, "VDI", refs) == {"OpaqueRef:2": {"uuid": "d"}}
    assert fetch.find_record(conn, "VDI", "OpaqueRef:1") is None
    with pytest.raises(XapiFailureError):
        fetch.find_record(conn, "VDI", "OpaqueRef:1")


@pytest.mark.parametrize("code", ["UUID_INVALID", "HANDLE_INVALID"])
def test_a_uuid_that_names_nothing(make_host: MakeHost, connect: Connect, code: str) -> None:
    script = {"VM.get_by_uuid": [value("OpaqueRef:1")], "VM.get_record": [failure(code, "VM", "x")]}
    if code == "UUID_INVALID":
        script = {"VM.get_by_uuid": [failure(code, "VM", "x")]}
    assert fetch.find_by_uuid(connect(make_host(script)), "VM", "x") is None
    denied = make_host({"VM.get_by_uuid": [failure("RBAC_PERMISSION_DENIED", "vm.get_by_uuid", "")]})
    with pytest.raises(XapiFailureError):
        fetch.find_by_uuid(connect(denied), "VM", "x")
