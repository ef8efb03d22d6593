"""Worlds: what the shipped one holds, and sentences for what cannot be."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.store import Store
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.rules import memory, placement
from lmflow.simulator.worlds import world
from lmflow.simulator.worlds.world_builder import WorldBuilder, parse_bytes
from tests.support.moves import TWO_HOSTS, world_with

GIB = 1024**3


def build(description: dict[str, Any]) -> Store:
    store = Store(Schema.load())
    WorldBuilder(store, Clock(), description).build()
    return store


def vm(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "host": "h1", "memory": "512 MiB", "disks": [{"sr": "nfs"}], "vifs": ["lan"], **changes}


def without(key: str, **changes: Any) -> dict[str, Any]:
    made = vm(**changes)
    del made[key]
    return made


@pytest.mark.parametrize(
    ("described", "sentence"),
    [
        (world_with(vm(host="h9")), "unknown host 'h9'"),
        (world_with(without("host", power_state="Running")), "resident on no host"),
        (world_with(vm(power_state="Halted")), "Halted and yet resident on h1"),
        (world_with(vm(disks=[{"sr": "attic"}])), "unknown SR 'attic'"),
        (world_with(vm(host="h2", disks=[{"sr": "loose"}])), "no plugged PBD for its disk's SR loose"),
        (world_with(vm(host="h2", disks=[{"sr": "disk-of-h1"}])), "no plugged PBD for its disk's SR disk-of-h1"),
        (world_with(vm(host="h2", cds=[{"iso": "a.iso", "sr": "disk-of-h1"}])), "no plugged PBD"),
        (world_with(vm(vifs=["wan"])), "unknown network 'wan'"),
        (world_with(vm(memory="15 GiB")), "The VMs on h1 need more memory than the host has"),
        (world_with(vm(memory="a lot")), "'a lot' is no amount of bytes"),
        (world_with(vm(is_a_template=True)), "template or snapshot"),
        (world_with(vm(), vm()), "two of VM x"),
        (world_with(vm(fields={"colour": "red"})), "VM has no field colour"),
        (world_with(hosts=[{"name": "h1"}, {"name": "h2"}]), "one coordinator, not 0"),
        (
            world_with(hosts=[{"name": name, "coordinator": True, "networks": ["lan"]} for name in ("h1", "h2")]),
            "one coordinator, not 2",
        ),
        (world_with(storage=[{"name": "disk", "hosts": ["h1", "h2"]}]), "SR disk is local and yet joined to 2 hosts"),
        (world_with(storage=[{"name": "disk", "hosts": {"h1": "glued"}}]), "not plugged or unplugged"),
        (world_with(storage=[{"name": "disk", "hosts": ["h9"]}]), "unknown host 'h9'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(described: dict[str, Any], sentence: str) -> None:
    with pytest.raises(world.ImpossibleWorldError, match=sentence):
        world.load(described)


def test_the_worlds_of_the_tests_are_possible() -> None:
    assert world.load(TWO_HOSTS).name == "two"


def test_a_description_is_not_changed_by_loading_it() -> None:
    before = copy.deepcopy(TWO_HOSTS)
    world.load(TWO_HOSTS)
    assert before == TWO_HOSTS


def test_uuids_are_the_same_each_time() -> None:
    first, second = build(TWO_HOSTS), build(TWO_HOSTS)
    for cls in ("VM", "host", "SR", "VDI", "pool"):
        uuids = [[store.value(cls, ref, "uuid") for ref in store.refs(cls)] for store in (first, second)]
        assert uuids[0] == uuids[1]


def test_lab() -> None:
    store = build(dict(world.find("lab").description))
    names = {store.value("VM", ref, "name_label") for ref in store.find("VM", is_control_domain=False)}
    assert len(names) == 9
    assert {"web-01", "web-02", "db-01"} <= names
    hosts = {store.value("host", ref, "name_label"): ref for ref in store.refs("host")}
    assert sorted(hosts) == ["xcp-a", "xcp-b", "xcp-c"]
    assert store.value("pool", store.refs("pool")[0], "master") == hosts["xcp-a"]
    (db_ref,) = store.find("VM", name_label="db-01")
    assert store.value("VM", db_ref, "memory_static_max") == 16 * GIB
    placement.check_can_be_here(store, db_ref, hosts["xcp-b"], with_cpu=True)
    with pytest.raises(ApiFailure) as lacking:
        placement.check_can_be_here(store, db_ref, hosts["xcp-c"])
    (sr_ref,) = store.find("SR", name_label="local-ssd")
    assert lacking.value.description == ["VM_REQUIRES_SR", db_ref, sr_ref]
    with pytest.raises(ApiFailure) as weaker:
        placement.check_cpu(store, db_ref, hosts["xcp-c"])
    assert weaker.value.code == "VM_INCOMPATIBLE_WITH_THIS_HOST"
    for name in ("web-01", "web-02"):
        (ref,) = store.find("VM", name_label=name)
        for host in ("xcp-b", "xcp-c"):
            placement.check_can_be_here(store, ref, hosts[host], with_cpu=True)
    assert memory.free_on(store, hosts["xcp-b"]) > memory.free_on(store, hosts["xcp-c"])


def test_a_world_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(TWO_HOSTS), encoding="utf-8")
    assert world.find(str(path)).description == TWO_HOSTS
    with pytest.raises(ValueError, match="no world"):
        world.find("atlantis")


@pytest.mark.parametrize(
    ("text", "expected"), [("2 GiB", 2 * GIB), ("512MiB", GIB // 2), (7, 7), ("1.5 KiB", 1536), ("8 B", 8)]
)
def test_amounts_of_bytes(text: str | int, expected: int) -> None:
    assert parse_bytes(text) == expected
