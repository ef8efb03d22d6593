"""Rules on the destination, and on the source as the one that sends."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.answer import find_answer
from lmflow.models import Finding, Snapshot

_BUSY = ("evacuate", "reboot", "shutdown")
_SEEN_ELSEWHERE = ("HOST_DISABLED", "HOST_NOT_LIVE")


def check_live(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when the destination does not answer its heartbeat."""
    destination = snapshot.host(snapshot.destination_uuid)
    if destination is not None and not destination.live:
        yield Finding(
            rule="host.live",
            code="HOST_NOT_LIVE",
            message=f"{destination.name_label} is not live",
            remedy="choose another host, or bring it back",
        )


def check_source(snapshot: Snapshot) -> Iterator[Finding]:
    """Object, whatever the destination, when the source does not answer its heartbeat."""
    source = snapshot.host(snapshot.source_uuid)
    if source is not None and not source.live:
        yield Finding(
            rule="host.live",
            code="HOST_OFFLINE",
            message=f"{source.name_label}, where the VM is shown, is not live",
            remedy="find out what became of that host first; a VM on a dead host cannot be migrated",
        )


def check_enabled(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when the destination takes no VMs. A disabled source is no obstacle."""
    destination = snapshot.host(snapshot.destination_uuid)
    if destination is not None and not destination.enabled:
        yield Finding(
            rule="host.enabled",
            code="HOST_DISABLED",
            message=f"{destination.name_label} is disabled (maintenance mode)",
            remedy=f"xe host-enable uuid={destination.uuid}, or choose another host",
        )


def check_operations(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when the destination is being emptied or is going down: XAPI refuses that at once."""
    destination = snapshot.host(snapshot.destination_uuid)
    if destination is None:
        return
    for operation in destination.current_operations:
        if operation in _BUSY:
            yield Finding(
                rule="host.operations",
                code="OTHER_OPERATION_IN_PROGRESS",
                message=f"{destination.name_label} is in the middle of: {operation}",
                remedy="try again when it is done, or choose another host",
            )


def check_version(snapshot: Snapshot) -> Iterator[Finding]:
    """Object to an older destination; outside a rolling upgrade XAPI itself would let it pass."""
    older = find_older(snapshot)
    if older and not snapshot.pool.rolling_upgrade:
        yield Finding(
            rule="host.version",
            code="VM_HOST_INCOMPATIBLE_VERSION",
            message=older,
            remedy="migrate to a host of the same or a newer version",
        )


def check_hardware(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when nobody asked XAPI and the destination does not offer the virtual hardware that the VM booted with."""
    destination, wanted = snapshot.host(snapshot.destination_uuid), snapshot.vm.hardware_platform_version
    if snapshot.boot_asked or destination is None:
        return
    offered = destination.hardware_platform_versions
    if offered and wanted not in offered:
        yield Finding(
            rule="host.hardware",
            code="VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION",
            message=f"it has virtual hardware of version {wanted}, which {destination.name_label} does not offer",
            remedy="choose a host of the same or a newer version",
        )


def check_answer(snapshot: Snapshot) -> Iterator[Finding]:
    """Pass on an objection of XAPI that no other rule explains."""
    answer, destination = find_answer(snapshot, "host"), snapshot.host(snapshot.destination_uuid)
    if answer is None or destination is None:
        return
    if answer.code in _SEEN_ELSEWHERE and not (destination.live and destination.enabled):
        return
    yield Finding(
        rule="host.answer",
        code=answer.code,
        message=f"XAPI says that {snapshot.vm.name_label} cannot run on {destination.name_label}: {answer.code}",
        remedy="choose another host, or remove the cause",
    )


def find_older(snapshot: Snapshot) -> str:
    """Return a sentence when the destination's platform version is below the source's, else ''."""
    destination, source = snapshot.host(snapshot.destination_uuid), snapshot.host(snapshot.source_uuid)
    if destination is None or source is None:
        return ""
    there, here = _version(destination.software_version), _version(source.software_version)
    if not there or not here or there >= here:
        return ""
    return (
        f"{destination.name_label} has version {'.'.join(map(str, there))},"
        f" older than {'.'.join(map(str, here))} on {source.name_label}"
    )


def _version(software: object) -> tuple[int, ...]:
    text = dict(software).get("platform_version", "") if isinstance(software, dict) else ""
    parts = text.split(".") if isinstance(text, str) else []
    return tuple(int(p) for p in parts) if parts and all(p.isdigit() for p in parts) else ()


RULES = (check_live, check_source, check_enabled, check_operations, check_version, check_hardware, check_answer)
