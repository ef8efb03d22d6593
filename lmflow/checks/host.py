"""Rules on the destination, and on the source as the one that sends."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lmflow.checks.answer import find_answer, is_open
from lmflow.checks.rule import Rule
from lmflow.models import Finding, Snapshot

_BUSY = ("evacuate", "reboot", "shutdown")
_HARDWARE = "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION"
_RECENT_SECONDS = 120


def check_live(snapshot: Snapshot) -> Iterator[Finding]:
    """Does the destination answer its heartbeat?"""
    destination = snapshot.host(snapshot.destination_uuid)
    if destination is not None and not destination.live:
        yield LIVE.object_to(f"{destination.name_label} is not live")


def check_source(snapshot: Snapshot) -> Iterator[Finding]:
    """Does the source answer its heartbeat?"""
    source = snapshot.host(snapshot.source_uuid)
    if source is not None and not source.live:
        yield SOURCE.object_to(f"{source.name_label}, where the VM is shown, is not live")


def check_enabled(snapshot: Snapshot) -> Iterator[Finding]:
    """Does the destination take VMs? A disabled source is no obstacle."""
    destination = snapshot.host(snapshot.destination_uuid)
    if destination is not None and not destination.enabled:
        yield ENABLED.object_to(
            f"{destination.name_label} is disabled (maintenance mode)",
            remedy=f"xe host-enable uuid={destination.uuid}, or choose another host",
        )


def check_operations(snapshot: Snapshot) -> Iterator[Finding]:
    """Is the destination free of operations that empty it or take it down? XAPI refuses those at once."""
    destination = snapshot.host(snapshot.destination_uuid)
    if destination is None:
        return
    for operation in destination.current_operations:
        if operation in _BUSY:
            yield OPERATIONS.object_to(f"{destination.name_label} is in the middle of: {operation}")


def check_version(snapshot: Snapshot) -> Iterator[Finding]:
    """Is the destination at least as new as the source? Outside a rolling upgrade XAPI would let it pass."""
    older = find_older(snapshot)
    if older and not snapshot.pool.rolling_upgrade:
        yield VERSION.object_to(older)


def check_hardware(snapshot: Snapshot) -> Iterator[Finding]:
    """Does the destination offer the virtual hardware that the VM booted with? From records, where XAPI did not say."""
    destination, wanted = snapshot.host(snapshot.destination_uuid), snapshot.vm.hardware_platform_version
    if destination is None or not is_open(snapshot, _HARDWARE):
        return
    offered = destination.hardware_platform_versions
    if offered and wanted not in offered:
        yield HARDWARE.object_to(
            f"it has virtual hardware of version {wanted}, which {destination.name_label} does not offer"
        )


def check_answer(snapshot: Snapshot) -> Iterator[Finding]:
    """Has XAPI an objection to the destination that no other rule explains?"""
    answer, destination = find_answer(snapshot, "host"), snapshot.host(snapshot.destination_uuid)
    if answer is None or destination is None:
        return
    name = snapshot.vm.name_label
    yield ANSWER.object_to(
        f"XAPI says that {name} cannot run on {destination.name_label}: {answer.code}", code=answer.code
    )


def check_address(snapshot: Snapshot) -> Iterator[Finding]:
    """Has the destination a management address, IPv4 or IPv6? The source's toolstack reaches it there."""
    destination = snapshot.host(snapshot.destination_uuid)
    if destination is None or destination.address:
        return
    own = (pif for pif in snapshot.pifs if pif.management and pif.host_uuid == destination.uuid)
    if not any(pif.ip or any(pif.ipv6) for pif in own):
        yield ADDRESS.object_to(f"{destination.name_label} has no management address, neither IPv4 nor IPv6")


def check_reserved(snapshot: Snapshot) -> Iterator[Finding]:
    """Is the destination free of reservations for VMs that nothing brings there?"""
    destination = snapshot.host(snapshot.destination_uuid)
    if destination is not None and snapshot.reserved_by:
        names = ", ".join(snapshot.reserved_by)
        yield RESERVED.object_to(
            f"{destination.name_label} keeps memory for VMs that no operation brings there: {names}"
        )


def check_restart(snapshot: Snapshot) -> Iterator[Finding]:
    """Has no toolstack of source, destination and coordinator restarted just now, as far as clocks agree?"""
    for host in snapshot.hosts:
        age = snapshot.observed_at - _read_seconds(host.agent_start_time)
        if -_RECENT_SECONDS < age < _RECENT_SECONDS:
            yield RESTART.object_to(f"the toolstack of {host.name_label} restarted less than two minutes ago")


def find_older(snapshot: Snapshot) -> str:
    """Return a sentence when the destination's platform version is below the source's, else ''."""
    destination, source = snapshot.host(snapshot.destination_uuid), snapshot.host(snapshot.source_uuid)
    if destination is None or source is None:
        return ""
    there = _split(destination.software_version.get("platform_version", ""))
    here = _split(source.software_version.get("platform_version", ""))
    if not there or not here or there >= here:
        return ""
    return (
        f"{destination.name_label} has version {'.'.join(map(str, there))},"
        f" older than {'.'.join(map(str, here))} on {source.name_label}"
    )


def _split(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(p) for p in parts) if all(p.isdecimal() for p in parts) else ()


def _read_seconds(text: str) -> float:
    """Return seconds since 1970 as XAPI writes them ("1700000000."), minus infinity for anything else."""
    try:
        return float(text)
    except ValueError:
        return -math.inf


LIVE = Rule(
    name="host.live",
    group="host",
    order=400,
    codes=("HOST_NOT_LIVE",),
    needs=("hosts",),
    remedy="choose another host, or bring it back",
    check=check_live,
)
ENABLED = Rule(
    name="host.enabled",
    group="host",
    order=410,
    codes=("HOST_DISABLED",),
    needs=("hosts",),
    remedy="enable the host, or choose another host",
    check=check_enabled,
)
HARDWARE = Rule(
    name="host.hardware",
    group="host",
    order=420,
    codes=(_HARDWARE,),
    needs=("vm", "hosts", "boot_check"),
    remedy="choose a host of the same or a newer version",
    check=check_hardware,
)
ANSWER = Rule(
    name="host.answer",
    group="host",
    order=450,
    codes=("VM_REQUIRES_IOMMU", "VM_REQUIRES_GPU", "VM_REQUIRES_VGPU", "VM_REQUIRES_VUSB"),
    needs=("boot_check", "hosts"),
    remedy="choose another host, or remove the cause",
    quiet_after=("host.live", "host.enabled", "host.version", "pool.upgrade"),
    check=check_answer,
)
OPERATIONS = Rule(
    name="host.operations",
    group="host",
    order=510,
    codes=("OTHER_OPERATION_IN_PROGRESS",),
    needs=("hosts",),
    remedy="try again when it is done, or choose another host",
    check=check_operations,
)
SOURCE = Rule(
    name="host.source",
    group="host",
    order=520,
    codes=("HOST_OFFLINE",),
    needs=("hosts",),
    remedy="find out what became of that host first; a VM on a dead host cannot be migrated",
    elsewhere=False,
    check=check_source,
)
ADDRESS = Rule(
    name="host.address",
    group="host",
    order=550,
    codes=("HOST_HAS_NO_MANAGEMENT_IP",),
    needs=("hosts", "pifs"),
    remedy="repair the host's management network, or choose another host",
    check=check_address,
)
VERSION = Rule(
    name="host.version",
    group="host",
    order=600,
    codes=("VM_HOST_INCOMPATIBLE_VERSION",),
    needs=("pool", "hosts"),
    remedy="migrate to a host of the same or a newer version",
    check=check_version,
)
RESERVED = Rule(
    name="host.reserved",
    group="host",
    order=640,
    codes=("RESERVATION_LEFT",),
    needs=("reserved_by",),
    remedy="see what had sent them there; the memory that is kept for them counts as taken",
    warning=True,
    check=check_reserved,
)
RESTART = Rule(
    name="host.restart",
    group="host",
    order=650,
    codes=("TOOLSTACK_RESTARTED",),
    needs=("hosts", "observed_at"),
    remedy="wait until the pool has settled: what it shows of its VMs may be wrong for a while",
    warning=True,
    check=check_restart,
)
