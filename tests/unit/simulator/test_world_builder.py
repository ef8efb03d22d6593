"""What a description can say, part by part, and what objects then show."""

from typing import Any

import pytest

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import DateTime
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import world
from lmflow.simulator.worlds.world_builder import WorldBuilder
from lmflow.simulator.worlds.world_rules import find_problems
from lmflow.simulator.worlds.world_vm_defaults import device_name
from tests.support.moves import NULL, world_with

MIB = 1024**2


def build(*vms: dict[str, Any], **changes: Any) -> Store:
    store = Store(Schema.load())
    WorldBuilder(store, Clock(1.0, 1_800_000_000.0), world_with(*vms, **changes)).build()
    assert find_problems(store) == []
    return store


def get(store: Store, cls: str, name: str) -> dict[str, Any]:
    (ref,) = store.find(cls, name_label=name)
    return {**store.record(cls, ref), "ref": ref}


def test_memory_in_one_amount_or_in_four() -> None:
    four = {"static_min": "256 MiB", "dynamic_min": "512 MiB", "dynamic_max": "1 GiB", "static_max": "2 GiB"}
    store = build({"name": "one", "memory": "1 GiB"}, {"name": "four", "memory": four}, {"name": "none"})
    kinds = ("static_min", "dynamic_min", "dynamic_max", "static_max")
    found = {
        name: [get(store, "VM", name)[f"memory_{kind}"] // MIB for kind in kinds] for name in ("one", "four", "none")
    }
    assert found == {"one": [16, 1024, 1024, 1024], "four": [256, 512, 1024, 2048], "none": [16, 1024, 1024, 1024]}


def test_numbers_of_domains_are_those_described_or_the_next_on_the_host() -> None:
    described = world_with({"name": "x", "host": "h1", "memory": "64 MiB", "domid": 30})
    described["vms"].append({"name": "y", "host": "h1", "memory": "64 MiB"})
    pool = SimulatedPool(Options(), world=world.load(described))
    assert [get(pool.store, "VM", name)["domid"] for name in ("v", "w", "x", "y")] == [1, 1, 30, 31]
    x = get(pool.store, "VM", "x")
    domain = pool.part(Xenops).find_running(x["resident_on"], x["uuid"])
    assert domain is not None
    assert domain.domid == 30
    assert pool.part(Xenops).boot(x["resident_on"], "another") == 32


def test_a_suspended_vm_has_an_image_and_keeps_its_devices() -> None:
    store = build(
        {"name": "s", "memory": "64 MiB", "power_state": "Suspended", "disks": [{"sr": "nfs"}], "suspend_sr": "loose"}
    )
    vm = get(store, "VM", "s")
    image = store.record("VDI", vm["suspend_VDI"])
    assert (image["SR"], image["type"], image["virtual_size"]) == (vm["suspend_SR"], "suspend", 64 * MIB)
    assert store.value("SR", image["SR"], "name_label") == "loose"
    assert store.value("VBD", vm["VBDs"][0], "currently_attached") is True
    assert (vm["resident_on"], vm["domid"]) == (NULL, -1)


def test_a_vm_may_be_suspended_by_its_hypervisor_alone() -> None:
    store = build({"name": "s", "power_state": "Suspended", "suspend_image": False, "domid": 7})
    assert (get(store, "VM", "s")["suspend_VDI"], get(store, "VM", "s")["domid"]) == (NULL, 7)


def test_without_an_sr_nothing_can_be_suspended() -> None:
    described = {"hosts": [{"name": "h", "coordinator": True}], "vms": [{"name": "s", "power_state": "Suspended"}]}
    with pytest.raises(world.ImpossibleWorldError, match="no SR for its image"):
        world.load(described)


def test_snapshots_stand_in_a_line_behind_their_vm() -> None:
    disk = {"name": "disk0", "sr": "nfs"}
    store = build(
        {"name": "first", "snapshot_of": "v", "disks": [disk], "snapshot_time": "20260101T00:00:00Z"},
        {"name": "second", "snapshot_of": "v", "disks": [disk]},
    )
    v, first, second = (get(store, "VM", name) for name in ("v", "first", "second"))
    assert v["snapshots"] == [first["ref"], second["ref"]]
    assert (v["parent"], second["parent"], first["parent"]) == (second["ref"], first["ref"], NULL)
    assert (first["is_a_snapshot"], first["is_a_template"], first["power_state"]) == (True, True, "Halted")
    assert first["snapshot_time"] == DateTime("20260101T00:00:00Z")
    assert first["snapshot_info"]["power-state-at-snapshot"] == "Running"
    copied = store.record("VDI", store.value("VBD", first["VBDs"][0], "VDI"))
    assert copied["is_a_snapshot"]
    assert copied["snapshot_of"] == store.value("VBD", v["VBDs"][0], "VDI")


def test_a_snapshot_comes_after_its_vm() -> None:
    described = world_with({"name": "early", "snapshot_of": "late"}, {"name": "late"})
    with pytest.raises(world.ImpossibleWorldError, match="Snapshot early names an unknown VM 'late'"):
        world.load(described)


def test_a_disk_that_is_there_can_be_shared() -> None:
    storage = [{"name": "nfs", "shared": True, "hosts": ["h1", "h2"], "vdis": [{"name": "common", "size": "1 GiB"}]}]
    reader = {"memory": "64 MiB", "host": "h1", "disks": [{"vdi": "nfs/common", "mode": "RO", "userdevice": 3}]}
    described = world_with(storage=storage)
    described["vms"] = [{"name": "a", **reader}, {"name": "b", **reader}]
    store = Store(Schema.load())
    WorldBuilder(store, Clock(), described).build()
    assert find_problems(store) == []
    vbds = [store.record("VBD", ref) for ref in store.refs("VBD")]
    assert len({vbd["VDI"] for vbd in vbds}) == 1
    assert {(vbd["userdevice"], vbd["device"], vbd["mode"]) for vbd in vbds} == {("3", "xvdd", "RO")}
    sr = get(store, "SR", "nfs")
    assert (sr["virtual_allocation"], sr["physical_utilisation"]) == (1024 * MIB, 1024 * MIB)


def test_an_sr_shows_how_much_of_it_is_used() -> None:
    store = build({"name": "x", "disks": [{"sr": "loose", "size": "3 GiB"}, {"sr": "loose", "size": "2 GiB"}]})
    assert get(store, "SR", "loose")["virtual_allocation"] == 5 * 1024 * MIB


def test_a_vlan_lies_on_the_first_interface() -> None:
    hosts = [{"name": "h1", "coordinator": True, "networks": ["lan", {"network": "dmz", "vlan": 12}]}]
    described = {"networks": [{"name": "lan"}, {"name": "dmz"}], "hosts": hosts}
    store = Store(Schema.load())
    WorldBuilder(store, Clock(), described).build()
    assert find_problems(store) == []
    below, tagged = (store.record("PIF", ref) for ref in store.refs("PIF"))
    (vlan_ref,) = store.refs("VLAN")
    assert (tagged["device"], tagged["MAC"], tagged["VLAN"]) == (below["device"], below["MAC"], 12)
    assert (tagged["VLAN_master_of"], below["VLAN_slave_of"], tagged["physical"]) == (vlan_ref, [vlan_ref], False)
    alone = [{"name": "h1", "coordinator": True, "networks": [{"network": "dmz", "vlan": 12}]}]
    with pytest.raises(world.ImpossibleWorldError, match="no interface to lie on"):
        world.load(described | {"hosts": alone})


def test_every_pool_has_its_internal_network_once() -> None:
    internal = {"name": "inside of all", "fields": {"other_config": {"is_host_internal_management_network": "true"}}}
    for networks, name in (([], "Host internal management network"), ([internal], "inside of all")):
        store = Store(Schema.load())
        described = {"networks": networks, "hosts": [{"name": "h", "coordinator": True}]}
        WorldBuilder(store, Clock(), described).build()
        assert [store.value("network", ref, "name_label") for ref in store.refs("network")] == [name]


def test_a_plug_in_for_each_type_of_sr_unless_they_are_described() -> None:
    store = build()
    assert {store.value("SM", ref, "type") for ref in store.refs("SM")} == {"nfs", "ext"}
    store = build(plugins=[{"type": "gfs2", "fields": {"vendor": "somebody"}}])
    assert [store.value("SM", ref, "vendor") for ref in store.refs("SM")] == ["somebody"]


def test_what_is_said_of_hosts_and_joins_stands_in_their_records() -> None:
    hosts = [
        {"name": "h1", "coordinator": True, "networks": ["lan"], "boot_time": 1_700_000_000, "tags": ["rack-1"]},
        {"name": "h2", "networks": ["lan"], "hostname": "two.example", "metrics": {"memory_total": 2**35}},
    ]
    storage = [{"name": "nfs", "shared": True, "hosts": {"h1": "plugged", "h2": {"device_config": {"server": "s2"}}}}]
    store = build(hosts=hosts, storage=storage)
    h1, h2 = get(store, "host", "h1"), get(store, "host", "h2")
    assert (h1["other_config"]["boot_time"], h1["other_config"]["agent_start_time"]) == ("1700000000.", "1700000100.")
    assert (h1["tags"], h2["hostname"]) == (["rack-1"], "two.example")
    assert store.value("host_metrics", h2["metrics"], "memory_total") == 2**35
    assert {store.value("PBD", ref, "device_config")["server"] for ref in store.refs("PBD")} == {"192.0.2.5", "s2"}


def test_what_is_said_of_a_vm_stands_in_its_records() -> None:
    own = {"platform": {"pae": "1"}, "vcpus": 2, "vcpus_max": 4, "tags": ["prod"], "pv_args": "quiet"}
    guest = {"os_version": {"name": "Plan 9"}, "features": ["suspend"], "other": {"platform-feature": "1"}}
    place = {"host": "h1", "memory": "64 MiB", "affinity": "h2", "actions": {"crash": "preserve"}, "consoles": ["rfb"]}
    vifs = [{"network": "lan", "mac": "aa:bb:cc:dd:ee:ff", "device": 2}]
    store = build({"name": "x", **own, **place, "guest": guest, "metrics": {"nomigrate": True}, "vifs": vifs})
    vm = get(store, "VM", "x")
    assert vm["affinity"] == get(store, "host", "h2")["ref"]
    assert (vm["actions_after_crash"], vm["actions_after_reboot"]) == ("preserve", "restart")
    assert (vm["platform"], vm["VCPUs_max"], vm["tags"], vm["PV_args"]) == ({"pae": "1"}, 4, ["prod"], "quiet")
    assert store.value("console", vm["consoles"][0], "location").startswith("https://127.0.0.1/console?ref=OpaqueRef:")
    metrics = store.record("VM_guest_metrics", vm["guest_metrics"])
    assert metrics["os_version"] == {"name": "Plan 9"}
    assert metrics["other"] == {"feature-suspend": "1", "platform-feature": "1"}
    assert store.value("VM_metrics", vm["metrics"], "nomigrate") is True
    vif = store.record("VIF", vm["VIFs"][0])
    assert (vif["MAC"], vif["device"], vif["MAC_autogenerated"]) == ("aa:bb:cc:dd:ee:ff", "2", False)


def test_a_console_needs_a_host() -> None:
    with pytest.raises(world.ImpossibleWorldError, match="on no host and yet has a console"):
        world.load(world_with({"name": "x", "consoles": ["rfb"]}))


@pytest.mark.parametrize(("index", "name"), [(0, "xvda"), (25, "xvdz"), (26, "xvdaa"), (52, "xvdba")])
def test_names_of_disks(index: int, name: str) -> None:
    assert device_name(index) == name
