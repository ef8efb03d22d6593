"""What is to be done about storage before the submit: plugged, created, ejected; and what nothing helps."""

from __future__ import annotations

import dataclasses

import pytest

from lmflow import checks
from lmflow.models import PBD, SR, VBD, VDI, Site, Snapshot, XapiError
from tests.support.snapshots import DISK, DRIVE, GOOD, LOCAL_DISC, LOCAL_DISK, VM_V, answered, change, on_terms, with_vm

PLUGGED, UNPLUGGED = True, False
SHARED_DISC = dataclasses.replace(LOCAL_DISC, vdi=VDI("vdi5", "debian.iso", "nfs"))


def connect(*pbds: tuple[str, bool], shared: bool = True, vbds: tuple[VBD, ...] = (DISK, DRIVE)) -> Snapshot:
    """Return a snapshot in which these hosts have these PBDs of the SR that the disks are on."""
    return change(
        srs=(SR("nfs", "nfs", "nfs", shared=shared),),
        pbds=tuple(PBD(f"p{host}", "nfs", host, currently_attached=attached) for host, attached in pbds),
        vm=dataclasses.replace(VM_V, vbds=vbds),
        boot_check=XapiError("VM_REQUIRES_SR", ("v", "nfs")),
    )


# What the hosts have; then what is plugged, created, and refused.
WAYS = {
    "known, unplugged": (connect(("a", PLUGGED), ("b", UNPLUGGED)), ["pb"], [], []),
    "known, unplugged, for a disc": (connect(("a", PLUGGED), ("b", UNPLUGGED), vbds=(SHARED_DISC,)), ["pb"], [], []),
    "known here only": (connect(("a", PLUGGED)), [], ["nfs"], []),
    "known here only, for a disc": (connect(("a", PLUGGED), vbds=(SHARED_DISC,)), [], ["nfs"], []),
    "two disks on one": (connect(("a", PLUGGED), vbds=(DISK, SHARED_DISC)), [], ["nfs"], []),
    "known nowhere": (connect(), [], [], ["sr.reach"]),
    "local, unplugged there": (connect(("a", PLUGGED), ("b", UNPLUGGED), shared=False), [], [], ["sr.reach"]),
    "plugged, and XAPI objects": (connect(("a", PLUGGED), ("b", PLUGGED)), [], [], ["sr.answer"]),
    "two PBDs, one plugged": (connect(("a", PLUGGED), ("b", UNPLUGGED), ("b", PLUGGED)), [], [], ["sr.answer"]),
    "an SR that is unknown": (dataclasses.replace(connect(), srs=()), [], [], ["sr.reach"]),
}


@pytest.mark.parametrize(("snapshot", "plugs", "creations", "refusals"), WAYS.values(), ids=WAYS)
def test_how_the_destination_comes_to_an_sr(
    snapshot: Snapshot, plugs: list[str], creations: list[str], refusals: list[str]
) -> None:
    assert [pbd.uuid for pbd in checks.find_plugs(snapshot)] == plugs
    assert [sr.uuid for sr in checks.find_creations(snapshot)] == creations
    assert [f.rule for f in checks.check_all(snapshot)] == refusals


@pytest.mark.parametrize(("snapshot", "plugs", "creations", "refusals"), WAYS.values(), ids=WAYS)
def test_once_all_is_prepared_only_a_plugged_pbd_will_do(
    snapshot: Snapshot, plugs: list[str], creations: list[str], refusals: list[str]
) -> None:
    found = checks.check_all(on_terms(snapshot, prepared=True))
    disks = sum(vbd.vdi is not None for vbd in snapshot.vm.vbds)
    assert [f.rule for f in found] == (["sr.reach"] * disks if plugs or creations else refusals)
    assert all("try again" in f.remedy for f in found) is bool(plugs or creations)


def test_a_vm_that_is_nowhere_is_not_refused_for_its_storage_too() -> None:
    snapshot = dataclasses.replace(connect(), source_uuid=None, boot_check=None)
    assert [f.rule for f in checks.check_group("sr", snapshot)] == []


def test_with_the_rule_switched_off_the_pools_word_stands() -> None:
    snapshot = dataclasses.replace(with_vm(vbds=(LOCAL_DISK,)), boot_check=XapiError("VM_REQUIRES_SR", ("v", "local")))
    assert [f.rule for f in checks.check_all(snapshot)] == ["sr.reach"]
    assert [f.rule for f in checks.check_all(snapshot, Site(rules_off=("sr.reach",)))] == ["sr.answer"]


def test_a_disc_that_was_put_in_again_refuses() -> None:
    snapshot = on_terms(with_vm(vbds=(DISK, LOCAL_DISC)), eject_local_iso=True, prepared=True)
    assert [f.rule for f in checks.check_all(snapshot)] == ["sr.reach"]


def test_nothing_is_to_be_done_about_the_good_one() -> None:
    assert (checks.find_plugs(GOOD), checks.find_creations(GOOD), checks.find_ejections(GOOD)) == ((), (), ())


def test_a_local_disk_is_named_with_its_storage() -> None:
    (finding,) = checks.check_group("sr", with_vm(vbds=(LOCAL_DISK,)))
    assert '"data"' in finding.message
    assert '"local-ssd"' in finding.message
    assert "xcp-b" in finding.message


def test_a_local_disc_is_ejected_where_that_is_asked_for() -> None:
    snapshot = with_vm(vbds=(DISK, LOCAL_DISC, SHARED_DISC, LOCAL_DISK))
    assert checks.find_ejections(snapshot) == (LOCAL_DISC,)
    refused, kept = (f.message for f in checks.check_group("sr", snapshot))
    assert '"tools.iso"' in refused
    ejecting = dataclasses.replace(snapshot, terms=dataclasses.replace(snapshot.terms, eject_local_iso=True))
    assert [f.message for f in checks.check_group("sr", ejecting)] == [kept]
    assert '"data"' in kept
    assert "--eject-local-iso" in checks.check_group("sr", snapshot)[0].remedy


def test_an_objection_to_something_else_is_not_about_storage() -> None:
    assert checks.check_group("sr", answered("HOST_NOT_ENOUGH_PCPUS")) == ()
