"""What no pool could be: every rule refuses its case, and nothing that is real or shipped is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.store import Store
from lmflow.simulator.worlds import pooldb, world
from lmflow.simulator.worlds.world_builder import WorldBuilder
from lmflow.simulator.worlds.world_generator import make_big_world
from lmflow.simulator.worlds.world_rules import find_problems
from lmflow.simulator.worlds.world_rules_values import DANGLING, NEEDED
from tests.support.moves import NULL, world_with
from tests.support.real_databases import DATABASES

NOWHERE = "OpaqueRef:00000000-0000-4000-8000-000000000000"
VMS = (
    {"name": "off", "memory": "512 MiB", "disks": [{"name": "root", "sr": "nfs"}], "vifs": ["lan"]},
    {"name": "asleep", "memory": "512 MiB", "power_state": "Suspended", "disks": [{"sr": "nfs"}], "vifs": ["lan"]},
    {"name": "with-iso", "host": "h1", "memory": "512 MiB", "cds": [{"iso": "a.iso", "sr": "nfs"}], "vifs": ["lan"]},
)


@pytest.fixture
def store() -> Store:
    described = world_with(*VMS)
    described["hosts"][0]["networks"].append({"network": "tagged", "vlan": 7})
    described["networks"].append({"name": "tagged"})
    made = Store(Schema.load())
    WorldBuilder(made, Clock(), described).build()
    return made


def one(store: Store, cls: str, **equals: Any) -> str:
    return store.find(cls, **equals)[0]


def part(store: Store, vm: str, field: str) -> str:
    """Give the first disk or interface of a VM."""
    return str(store.value("VM", one(store, "VM", name_label=vm), field)[0])


def on_vm(name: str, **fields: Any) -> Callable[[Store], None]:
    return lambda store: store.update("VM", one(store, "VM", name_label=name), **fields)


def on(cls: str, number: int = 0, **fields: Any) -> Callable[[Store], None]:
    return lambda store: store.update(cls, store.refs(cls)[number], **fields)


def on_part(vm: str, cls: str, **fields: Any) -> Callable[[Store], None]:
    return lambda store: store.update(cls, part(store, vm, f"{cls}s"), **fields)


def share_disk(store: Store) -> None:
    store.update("VBD", part(store, "w", "VBDs"), VDI=store.value("VBD", part(store, "v", "VBDs"), "VDI"))


def share_mac(store: Store) -> None:
    store.update("VIF", part(store, "w", "VIFs"), MAC=store.value("VIF", part(store, "v", "VIFs"), "MAC").upper())


def same_uuid(store: Store) -> None:
    store.update("VM", one(store, "VM", name_label="w"), uuid=store.value("VM", store.refs("VM")[0], "uuid"))


def same_domain(store: Store) -> None:
    v, w = one(store, "VM", name_label="v"), one(store, "VM", name_label="with-iso")
    store.update("VM", w, domid=store.value("VM", v, "domid"))


def second_join(store: Store) -> None:
    first = store.record("PBD", store.refs("PBD")[0])
    store.create("PBD", {"host": first["host"], "SR": first["SR"], "currently_attached": True})


def local_on_two(store: Store) -> None:
    sr = one(store, "SR", name_label="disk-of-h1")
    store.create("PBD", {"host": one(store, "host", name_label="h2"), "SR": sr})


def second_management(store: Store) -> None:
    host = one(store, "host", name_label="h1")
    for ref in store.value("host", host, "PIFs"):
        store.update("PIF", ref, management=True)


def same_network_twice(store: Store) -> None:
    pifs = store.value("host", one(store, "host", name_label="h1"), "PIFs")
    store.update("PIF", pifs[1], network=store.value("PIF", pifs[0], "network"))


def same_device_twice(store: Store) -> None:
    pifs = store.value("host", one(store, "host", name_label="h1"), "PIFs")
    store.update("PIF", pifs[1], device=store.value("PIF", pifs[0], "device"))


def two_disks_in_one_place(store: Store) -> None:
    vbds = store.value("VM", one(store, "VM", name_label="v"), "VBDs")
    store.update("VBD", vbds[1], userdevice=store.value("VBD", vbds[0], "userdevice"))


def two_interfaces_in_one_place(store: Store) -> None:
    first = store.record("VIF", part(store, "v", "VIFs"))
    store.create("VIF", {key: first[key] for key in ("VM", "network", "device")})


def second_pool(store: Store) -> None:
    store.create("pool", {"master": store.refs("host")[0]})


def same_address(store: Store) -> None:
    store.update("host", store.refs("host")[1], address=store.value("host", store.refs("host")[0], "address"))


def write_read_only(store: Store) -> None:
    vbd = part(store, "with-iso", "VBDs")
    store.update("VDI", store.value("VBD", vbd, "VDI"), read_only=True)
    store.update("VBD", vbd, type="Disk", mode="RW")


def unplug(store: Store) -> None:
    nfs, h1 = one(store, "SR", name_label="nfs"), one(store, "host", name_label="h1")
    store.update("PBD", one(store, "PBD", SR=nfs, host=h1), currently_attached=False)


def guest_as_control_domain(store: Store) -> None:
    host = one(store, "host", name_label="h1")
    store.update("host", host, control_domain=one(store, "VM", name_label="v"))


IMPOSSIBLE: tuple[tuple[Callable[[Store], None], str], ...] = (
    # types and enumerations
    (on_vm("v", VCPUs_max="2"), "has '2' for VCPUs_max, which is a int"),
    (on_vm("v", is_a_template="false"), "which is a bool"),
    (on_vm("v", other_config={"a": 1}), "for other_config, which is a .string -> string. map"),
    (on_vm("v", tags="prod"), "for tags, which is a string set"),
    (on_vm("v", snapshot_time="20260101T00:00:00Z"), "for snapshot_time, which is a datetime"),
    (on_vm("v", power_state="Migrating"), "has 'Migrating' for power_state"),
    (on_vm("v", allowed_operations=["fly"]), "for allowed_operations"),
    (on("VM_metrics", VCPUs_utilisation={"0": "idle"}), "for VCPUs_utilisation"),
    (on_vm("v", VCPUs_max=2**63), "for VCPUs_max"),
    # identity and references
    (same_uuid, "Two of VM have the UUID"),
    (on_vm("v", uuid="v"), "has 'v' for a UUID"),
    (on_vm("v", appliance=NOWHERE), "names an unknown VM_appliance by its appliance"),
    (on_vm("v", guest_metrics=NOWHERE), "names an unknown VM_guest_metrics"),
    (on("network", blobs={"icon": NOWHERE}), "names an unknown blob by its blobs"),
    (on_part("v", "VBD", VDI=NOWHERE), "names an unknown VDI"),
    (on("PIF", network=NULL), "has no network"),
    (on("PIF", network=NOWHERE), "names an unknown network by its network"),
    (on("pool", master=NOWHERE), "The pool has no coordinator"),
    (on("host", metrics=NULL), "has no metrics"),
    (second_pool, "one pool, not 2"),
    (same_address, "Two hosts have the address"),
    # operations
    (on_vm("v", current_operations={NOWHERE: "snapshot"}), "busy with snapshot for an unknown task"),
    (on("SR", current_operations={NOWHERE: "scan"}), "busy with scan for an unknown task"),
    # power state, place, domain
    (on_vm("v", resident_on=NULL), "Running but resident on no host"),
    (lambda s: on_vm("off", resident_on=s.refs("host")[0])(s), "Halted and yet resident on h1"),
    (lambda s: on_vm("asleep", resident_on=s.refs("host")[0])(s), "Suspended and yet resident on h1"),
    (on_vm("v", domid=-1), "Running and yet has no domain"),
    (on_vm("off", domid=4), "Halted and yet has the domain 4"),
    (on_part("off", "VBD", currently_attached=True), "Halted and yet has an attached VBD"),
    (on_part("off", "VIF", currently_attached=True), "Halted and yet has an attached VIF"),
    (on_vm("asleep", suspend_VDI=NULL), "Suspended without an image"),
    (on_vm("v", is_a_template=True), "template or snapshot and cannot be Running"),
    (on_vm("off", is_a_snapshot=True), "is a snapshot and no template"),
    (same_domain, "have the same domain"),
    (guest_as_control_domain, "for a control domain"),
    # sizes
    (on_vm("v", memory_dynamic_min=2**40), "memory limits out of order"),
    (on_vm("v", VCPUs_at_startup=3), "starts with 3 of 2 virtual CPUs"),
    (on("host_metrics", memory_total=2**30), "need more memory than the host has"),
    # storage
    (second_join, "is joined to SR nfs twice"),
    (local_on_two, "is local and yet joined to 2 hosts"),
    (share_disk, "is written to and yet attached to VM v and VM w"),
    (unplug, "has no plugged PBD for its disk's SR nfs"),
    (two_disks_in_one_place, "two disks at position 0"),
    (on_part("with-iso", "VBD", empty=True), "is empty and yet has a disk"),
    (on_part("v", "VBD", VDI=NULL, empty=True), "is empty, which only a CD drive can be"),
    (on_part("with-iso", "VBD", mode="RW"), "is for writing"),
    (write_read_only, "which is read-only"),
    # networks
    (second_management, "two management interfaces"),
    (same_network_twice, "is on network lan twice"),
    (same_device_twice, "has eth0 with the VLAN -1 twice"),
    (on("PIF", VLAN=12), "is half a VLAN"),
    (share_mac, "Two interfaces on network lan have the address"),
    (two_interfaces_in_one_place, "two interfaces at position 0"),
)


@pytest.mark.parametrize(("change", "sentence"), IMPOSSIBLE, ids=[sentence for _, sentence in IMPOSSIBLE])
def test_what_cannot_be_is_found(store: Store, change: Callable[[Store], None], sentence: str) -> None:
    assert find_problems(store) == []
    change(store)
    with pytest.raises(world.ImpossibleWorldError, match=sentence):
        world.check_store(store)


def suspended_in_place(store: Store) -> None:
    on_vm("asleep", suspend_VDI=NULL, domid=7)(store)


def on_a_dead_host(store: Store) -> None:
    store.update("host_metrics", store.value("host", one(store, "host", name_label="h1"), "metrics"), live=False)


def shared_for_reading(store: Store) -> None:
    iso = store.value("VBD", part(store, "with-iso", "VBDs"), "VDI")
    drive = store.value("VM", one(store, "VM", name_label="v"), "VBDs")[1]
    store.update("VBD", drive, VDI=iso, empty=False, currently_attached=True)


def sharable(store: Store) -> None:
    share_disk(store)
    store.update("VDI", store.value("VBD", part(store, "v", "VBDs"), "VDI"), sharable=True)


def busy(store: Store) -> None:
    task = store.create("task", {"name_label": "VM.snapshot", "status": "pending"})
    on_vm("v", current_operations={task: "snapshot"})(store)


POSSIBLE = (suspended_in_place, on_a_dead_host, shared_for_reading, sharable, busy)


@pytest.mark.parametrize("change", POSSIBLE, ids=[change.__name__ for change in POSSIBLE])
def test_what_only_looks_impossible_is_not_refused(store: Store, change: Callable[[Store], None]) -> None:
    change(store)
    assert find_problems(store) == []


@pytest.mark.parametrize(("cls", "field"), sorted(DANGLING))
def test_a_reference_may_lead_nowhere_where_xapi_leaves_it_so(store: Store, cls: str, field: str) -> None:
    store.update(cls, store.refs(cls)[0], **{field: NOWHERE})
    assert find_problems(store) == []


def test_the_tables_of_references_name_fields_of_the_model() -> None:
    classes = Schema.load().classes
    for cls, field in [*DANGLING, *NEEDED]:
        assert classes[cls].fields[field].type.endswith(" ref"), (cls, field)
    assert not set(DANGLING) & NEEDED


def test_many_problems_are_counted_and_some_are_shown(store: Store) -> None:
    for ref in store.refs("host_cpu"):
        store.update("host_cpu", ref, speed="fast")
    with pytest.raises(world.ImpossibleWorldError, match=r"And \d+ more\."):
        world.check_store(store)


@pytest.mark.parametrize("name", ["lab", "trouble", "generated:3x90"])
def test_shipped_worlds_are_possible(name: str) -> None:
    made = Store(Schema.load())
    WorldBuilder(made, Clock(), world.find(name).description).build()
    assert find_problems(made) == []


@pytest.mark.parametrize("path", DATABASES, ids=lambda path: path.name.partition(".")[0])
def test_databases_of_real_pools_are_possible(path: Any) -> None:
    assert pooldb.load(path).checked


@pytest.mark.parametrize("seed", range(2, 8))
def test_generated_worlds_are_possible_whatever_the_seed(seed: int) -> None:
    made = Store(Schema.load())
    WorldBuilder(made, Clock(), make_big_world(2 + seed, 60 + seed, seed)).build()
    assert find_problems(made) == []
