"""What is left of a host, and what of the pool belongs to one VM and one destination."""

from __future__ import annotations

import dataclasses

import pytest

from lmflow.models import (
    PBD,
    PIF,
    SR,
    VBD,
    VDI,
    VIF,
    CheckReport,
    Network,
    Overview,
    Place,
    Snapshot,
    Terms,
    VmCheck,
    WrongView,
)
from tests.support.overviews import GIB, make_host, make_overview, make_vm

DISK = VBD("vbd", "0", "Disk", empty=False, currently_attached=True, vdi=VDI("vdi", "root", "nfs"))
DRIVE = VBD("cd", "3", "CD", empty=True, currently_attached=False)
CARD = VIF("vif", "0", "lan", currently_attached=True)


def make_pif(host: str, network: str, *, management: bool = False) -> PIF:
    return PIF(f"{network}-{host}", network, f"uuid-{host}", currently_attached=True, management=management)


def make_pool(terms: Terms = Terms()) -> Overview:  # noqa: B008 - frozen
    """Hosts a (the coordinator), b and c; v on b with a disk on nfs and a card on lan."""
    hosts = [make_host(name) for name in "abc"]
    return make_overview(
        hosts,
        [make_vm("v", "b", vbds=(DISK, DRIVE), vifs=(CARD,))],
        srs=(SR("nfs", "nfs", "nfs", shared=True), SR("other", "other", "nfs", shared=True)),
        pbds=tuple(
            PBD(f"{sr}-{n}", sr, f"uuid-{n}", currently_attached=True) for sr in ("nfs", "other") for n in "abc"
        ),
        networks=tuple(Network(name, name) for name in ("lan", "mgmt", "fast", "dmz")),
        pifs=tuple(make_pif(n, name, management=name == "mgmt") for name in ("lan", "mgmt", "fast") for n in "abc"),
        may_migrate=True,
        denied=("pbd.plug",),
        terms=terms,
    )


def names(things: tuple[PIF, ...] | tuple[PBD, ...]) -> list[str]:
    return sorted(thing.uuid for thing in things)


def test_a_snapshot_holds_what_touches_the_vm_on_source_and_destination() -> None:
    overview = make_pool()
    seen = overview.snapshot("uuid-v", "uuid-c")
    assert [host.name_label for host in seen.hosts] == ["b", "c", "a"]
    assert [sr.uuid for sr in seen.srs] == ["nfs"]
    assert names(seen.pbds) == ["nfs-b", "nfs-c"]
    assert [network.uuid for network in seen.networks] == ["lan"]
    assert names(seen.pifs) == ["lan-b", "lan-c", "mgmt-b", "mgmt-c"]
    assert (seen.source_uuid, seen.destination_uuid, seen.boot_asked) == ("uuid-b", "uuid-c", False)
    assert (seen.may_migrate, seen.denied, seen.terms, seen.reserved_by) == (True, ("pbd.plug",), Terms(), ())
    assert seen.host("uuid-a") == overview.hosts[0]
    assert seen.host("uuid-x") is None
    assert Overview.from_json(overview.to_json()).snapshot("uuid-v", "uuid-c") == seen


def test_the_network_that_carries_the_migration_is_there_too() -> None:
    terms = Terms(network_uuid="fast")
    seen = make_pool(terms).snapshot("uuid-v", "uuid-c")
    assert [network.uuid for network in seen.networks] == ["lan", "fast"]
    assert names(seen.pifs) == ["fast-b", "fast-c", "lan-b", "lan-c", "mgmt-b", "mgmt-c"]
    assert seen.terms == terms
    same = make_pool(Terms(network_uuid="mgmt")).snapshot("uuid-v", "uuid-c")
    assert names(same.pifs) == ["lan-b", "lan-c", "mgmt-b", "mgmt-c"]


def test_what_the_overview_does_not_hold() -> None:
    overview = dataclasses.replace(make_pool(Terms(network_uuid="gone")), srs=(), networks=())
    seen = overview.snapshot("uuid-v", "uuid-x")
    assert (seen.srs, seen.networks, seen.free_bytes) == ((), (), None)
    assert [host.name_label for host in seen.hosts] == ["b", "a"]
    with pytest.raises(KeyError):
        overview.get_vm("uuid-x")


def test_a_vm_that_is_nowhere() -> None:
    overview = make_overview([make_host("a"), make_host("b")], [make_vm("v", None)])
    seen = overview.snapshot("uuid-v", "uuid-b")
    assert seen.source_uuid is None
    assert [host.name_label for host in seen.hosts] == ["b", "a"]


def test_what_is_left_of_a_host() -> None:
    hosts = [make_host("a"), make_host("b", memory_total_bytes=0), make_host("c", memory_overhead_bytes=GIB),
             make_host("d", memory_total_bytes=GIB)]  # fmt: skip
    going = make_vm("v", "a", memory_overhead_bytes=1, scheduled_to_be_resident_on_uuid="uuid-c")
    overview = make_overview(hosts, [going, make_vm("w", "d")])
    assert overview.find_free_bytes("uuid-a") == 30 * GIB - 1
    assert overview.find_free_bytes("uuid-b") is None
    assert overview.find_free_bytes("uuid-c") == 29 * GIB - 1
    assert overview.find_free_bytes("uuid-d") == 0
    assert overview.find_free_bytes("uuid-x") is None


def test_a_reservation_of_its_own_does_not_count_against_a_vm() -> None:
    going = make_vm("v", "a", scheduled_to_be_resident_on_uuid="uuid-b")
    overview = make_overview([make_host("a"), make_host("b"), make_host("c", memory_total_bytes=0)], [going])
    assert overview.find_free_bytes("uuid-b") == 30 * GIB
    assert overview.snapshot("uuid-v", "uuid-b").free_bytes == 32 * GIB
    assert overview.snapshot("uuid-v", "uuid-a").free_bytes == 30 * GIB
    assert overview.snapshot("uuid-v", "uuid-c").free_bytes is None


def test_a_guest_that_gives_no_memory_back_needs_all_of_it() -> None:
    guest = make_vm("v", "a", memory_static_max_bytes=4 * GIB, memory_overhead_bytes=1)
    assert guest.needed_bytes == 2 * GIB + 1
    assert dataclasses.replace(guest, domain_type="pv_in_pvh").needed_bytes == 4 * GIB + 1


def test_reservations_are_of_those_that_nothing_brings_there() -> None:
    told = {"scheduled_to_be_resident_on_uuid": "uuid-b"}
    vms = [make_vm("v", "a"), make_vm("stale", "a", **told), make_vm("abandoned", "a", **told),
           make_vm("moving", "a", current_operations=("pool_migrate",), **told)]  # fmt: skip
    overview = make_overview([make_host("a"), make_host("b")], vms)
    assert overview.snapshot("uuid-v", "uuid-b").reserved_by == ("abandoned", "stale")
    assert overview.snapshot("uuid-v", "uuid-a").reserved_by == ()


@pytest.mark.parametrize(("can", "all_can"), [([True, True], True), ([True, False], False), ([], True)])
def test_a_report_is_a_yes_when_every_vm_can_move(can: list[bool], all_can: bool) -> None:
    vms = tuple(VmCheck("v", "v", "Running", None, 1, (), each, (), (), ()) for each in can)
    report = CheckReport(pool=Place("p", "lab"), observed_at="", asked_pool=False, to=None, vms=vms)
    assert report.all_can_move is all_can


@pytest.mark.parametrize(("kind", "is_wrong"), [("", False), ("unproved", False), ("ghost", True)])
def test_a_vm_is_shown_wrongly_only_when_that_is_proved(kind: str, is_wrong: bool) -> None:
    vm = VmCheck("v", "v", "Running", None, 1, (), True, (), (), ())
    view = WrongView("v", "v", kind, "XAPI shows v Running on A") if kind else None
    assert dataclasses.replace(vm, xapi_view=view).is_shown_wrongly is is_wrong


def test_a_snapshot_alone() -> None:
    seen = make_pool().snapshot("uuid-v", "uuid-c")
    assert Snapshot.from_json(seen.to_json()) == seen
