"""Rules on the CPU: a running guest keeps using the features it booted with."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.answer import find_answer
from lmflow.models import Finding, Snapshot


def check_features(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when the VM was booted with CPU features, or by a vendor, that the destination has not.

    Features are compared word by word as XAPI writes them (hexadecimal, joined by '-'); where either side is not
    written so, XAPI's own answer decides.
    """
    host = snapshot.host(snapshot.destination_uuid)
    if host is None:
        return
    flags = snapshot.vm.last_boot_cpu_flags
    vendor, features = flags.get("vendor", ""), flags.get("features", "")
    if vendor and host.cpu_vendor and vendor != host.cpu_vendor:
        reason = f"it was booted on a CPU of {vendor}, {host.name_label} has {host.cpu_vendor}"
    elif _lacks(features, host.cpu_features_pv if snapshot.vm.domain_type == "pv" else host.cpu_features):
        reason = f"it was booted with CPU features that {host.name_label} lacks"
    else:
        return
    yield _make("cpu.features", "VM_INCOMPATIBLE_WITH_THIS_HOST", reason)


def check_count(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when nobody asked XAPI and the VM may have more VCPUs than the destination has CPUs."""
    host, vm = snapshot.host(snapshot.destination_uuid), snapshot.vm
    if snapshot.boot_asked or host is None or vm.vcpus_unrestricted:
        return
    if 0 < host.cpu_count < vm.vcpus_max:
        yield Finding(
            rule="cpu.count",
            code="HOST_NOT_ENOUGH_PCPUS",
            message=f"it has up to {vm.vcpus_max} VCPUs, {host.name_label} has {host.cpu_count} CPUs",
            remedy="choose a host with more CPUs",
        )


def check_answer(snapshot: Snapshot) -> Iterator[Finding]:
    """Pass on XAPI's objection to the CPU when the features did not show it."""
    answer, host = find_answer(snapshot, "cpu"), snapshot.host(snapshot.destination_uuid)
    if answer is None or host is None or any(check_features(snapshot)):
        return
    yield _make("cpu.answer", answer.code, f"XAPI says that the CPU of {host.name_label} does not suit it")


def _lacks(needed: str, present: str) -> bool:
    try:
        wants, has = ([int(word, 16) for word in text.split("-")] for text in (needed, present))
    except ValueError:
        return False
    return len(wants) == len(has) and any(want & ~have for want, have in zip(wants, has, strict=True))


def _make(rule: str, code: str, message: str) -> Finding:
    return Finding(
        rule=rule, code=code, message=message, remedy="choose a host with the same or a newer CPU, or restart the VM"
    )


RULES = (check_features, check_count, check_answer)
