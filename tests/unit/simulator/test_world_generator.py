"""Generated worlds: exact in number, varied, and the same each time for a seed."""

from collections import Counter

import pytest

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import world
from lmflow.simulator.worlds.world_generator import make_big_world, parse_size


@pytest.mark.parametrize(
    ("name", "size"), [("big", (64, 5000)), ("generated:3x90", (3, 90)), ("lab", None), ("generated:3", None)]
)
def test_names_of_generated_worlds(name: str, size: tuple[int, int] | None) -> None:
    assert parse_size(name) == size


@pytest.mark.parametrize("hosts", [0, 255])
def test_a_pool_has_as_many_hosts_as_there_are_addresses(hosts: int) -> None:
    with pytest.raises(ValueError, match="1 to 254 hosts"):
        make_big_world(hosts, 10)


@pytest.mark.parametrize(("hosts", "vms"), [(1, 1), (1, 40), (4, 200), (64, 5000)])
def test_the_numbers_are_exact(hosts: int, vms: int) -> None:
    made = make_big_world(hosts, vms)
    assert (len(made["hosts"]), len(made["vms"])) == (hosts, vms)
    assert len({vm["name"] for vm in made["vms"]}) == vms


def test_a_description_depends_on_the_seed_alone() -> None:
    assert make_big_world(4, 100, 7) == make_big_world(4, 100, 7)
    assert make_big_world(4, 100, 7) != make_big_world(4, 100, 8)


def identities(seed: int) -> dict[str, list[tuple[str, str, str]]]:
    pool = SimulatedPool(Options(seed=seed), world=world.find("generated:3x90", seed))
    return {
        cls: [(ref, record.get("uuid", ""), record.get("name_label", "")) for ref, record in records.items()]
        for cls, records in pool.store.view().items()
        if cls != "role"
    }


def test_references_uuids_and_names_are_the_same_for_a_seed_and_others_for_another() -> None:
    first, again, other = identities(3), identities(3), identities(4)
    assert first == again
    for cls, objects in first.items():
        assert not {ref for ref, _, _ in objects} & {ref for ref, _, _ in other[cls]}, cls
        assert not {uuid for _, uuid, _ in objects} & {uuid for _, uuid, _ in other[cls]}, cls


def test_a_large_world_is_varied() -> None:
    made = make_big_world(64, 5000)
    states = Counter(vm.get("power_state") for vm in made["vms"])
    assert min(states[state] for state in ("Running", "Paused", "Suspended", "Halted")) > 50
    assert sum("snapshot_of" in vm for vm in made["vms"]) > 50
    assert sum(bool(vm.get("is_a_template")) for vm in made["vms"]) == 4
    assert {sr["type"] for sr in made["storage"]} == {"nfs", "lvmoiscsi", "lvmohba", "iso", "ext"}
    for key in ("affinity", "blocked_operations", "cds", "tags", "other_config"):
        assert any(vm.get(key) for vm in made["vms"]), key
    assert any(vm.get("drivers") is False for vm in made["vms"])
    assert any(disk["sr"].startswith("local-") for vm in made["vms"] for disk in vm["disks"])
    assert len({host["cpu"]["features"] for host in made["hosts"]}) == 2
    assert any("vlan" in network for network in made["hosts"][0]["networks"] if isinstance(network, dict))
