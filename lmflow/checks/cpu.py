"""Rules on the CPU: a running guest keeps using the features it booted with."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.answer import find_answer, is_open
from lmflow.checks.rule import Rule
from lmflow.models import Finding, Snapshot

_FEATURES = "VM_INCOMPATIBLE_WITH_THIS_HOST"
_COUNT = "HOST_NOT_ENOUGH_PCPUS"


def check_features(snapshot: Snapshot) -> Iterator[Finding]:
    """Has the destination the vendor and all CPU features that the VM was booted with?

    Features are compared word by word as XAPI writes them (hexadecimal, joined by '-'); where either side is not
    written so, XAPI's own answer decides.
    """
    host = snapshot.host(snapshot.destination_uuid)
    if host is None:
        return
    flags = snapshot.vm.last_boot_cpu_flags
    vendor, features = flags.get("vendor", ""), flags.get("features", "")
    if vendor and host.cpu_vendor and vendor != host.cpu_vendor:
        yield FEATURES.object_to(f"it was booted on a CPU of {vendor}, {host.name_label} has {host.cpu_vendor}")
    elif _lacks(features, host.cpu_features_pv if snapshot.vm.domain_type == "pv" else host.cpu_features):
        yield FEATURES.object_to(f"it was booted with CPU features that {host.name_label} lacks")


def check_answer(snapshot: Snapshot) -> Iterator[Finding]:
    """Has XAPI an objection to the CPU that the records did not show?"""
    answer, host = snapshot.boot_check, snapshot.host(snapshot.destination_uuid)
    if answer is None or answer.code != _FEATURES or host is None:
        return
    yield ANSWER.object_to(f"XAPI says that the CPU of {host.name_label} does not suit it")


def check_virtual(snapshot: Snapshot) -> Iterator[Finding]:
    """Has XAPI an objection to the number or the kind of CPUs?"""
    answer, host = find_answer(snapshot, "cpu"), snapshot.host(snapshot.destination_uuid)
    if answer is None or answer.code == _FEATURES or host is None:
        return
    lack = "enough CPUs" if answer.code == _COUNT else "hardware virtualisation"
    yield VIRTUAL.object_to(f"XAPI says that {host.name_label} lacks {lack} for it", code=answer.code)


def check_count(snapshot: Snapshot) -> Iterator[Finding]:
    """Has the destination as many CPUs as the VM may have VCPUs? From records, where XAPI did not say."""
    host, vm = snapshot.host(snapshot.destination_uuid), snapshot.vm
    if host is None or vm.vcpus_unrestricted or not is_open(snapshot, _COUNT):
        return
    if 0 < host.cpu_count < vm.vcpus_max:
        yield COUNT.object_to(f"it has up to {vm.vcpus_max} VCPUs, {host.name_label} has {host.cpu_count} CPUs")


def _lacks(needed: str, present: str) -> bool:
    try:
        wants, has = ([int(word, 16) for word in text.split("-")] for text in (needed, present))
    except ValueError:
        return False
    return len(wants) == len(has) and any(want & ~have for want, have in zip(wants, has, strict=True))


_NEWER = "choose a host with the same or a newer CPU, or restart the VM"

FEATURES = Rule(
    name="cpu.features",
    group="cpu",
    order=100,
    codes=(_FEATURES,),
    needs=("vm", "hosts"),
    remedy=_NEWER,
    forced=True,
    check=check_features,
)
ANSWER = Rule(
    name="cpu.answer",
    group="cpu",
    order=110,
    codes=(_FEATURES,),
    needs=("boot_check",),
    remedy=_NEWER,
    forced=True,
    quiet_after=("cpu.features",),
    check=check_answer,
)
VIRTUAL = Rule(
    name="cpu.virtual",
    group="cpu",
    order=460,
    codes=("VM_HVM_REQUIRED", _COUNT),
    needs=("boot_check",),
    remedy="choose another host",
    check=check_virtual,
)
COUNT = Rule(
    name="cpu.count",
    group="cpu",
    order=490,
    codes=(_COUNT,),
    needs=("vm", "hosts", "boot_check"),
    remedy="choose a host with more CPUs",
    check=check_count,
)
