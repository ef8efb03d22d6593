"""The rules on every host of a pool: an overview goes in, a verdict per host comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from lmflow.checks import host, vm
from lmflow.checks.registry import Rule, check_all
from lmflow.models import VM, Finding, Host, HostVerdict, Overview, Snapshot, XapiError

Answers = Mapping[str, XapiError | None]
"""What ``VM.assert_can_boot_here`` said, by host UUID, None for yes; hosts that were not asked about are absent."""

_ANYWHERE: tuple[Rule, ...] = (*vm.RULES, host.check_source)


def check_hosts(overview: Overview, vm_uuid: str, answers: Answers | None = None) -> tuple[HostVerdict, ...]:
    """Return the verdict on each host of the pool, by name; the reasons that hold for every host stand with each.

    KeyError when the overview does not hold the VM.
    """
    asked = answers or {}
    hosts = sorted(overview.hosts, key=lambda each: (each.name_label, each.uuid))
    return tuple(_judge(overview, overview.get_vm(vm_uuid), each, asked) for each in hosts)


def check_anywhere(overview: Overview, vm_uuid: str) -> tuple[Finding, ...]:
    """Return the reasons that hold whatever the destination: what the VM is and does, and its present host."""
    snapshot = overview.snapshot(vm_uuid, overview.pool.coordinator_uuid)
    return tuple(finding for rule in _ANYWHERE for finding in rule(snapshot))


def find_askable(overview: Overview, vm_uuid: str) -> tuple[str, ...]:
    """Return the UUIDs of the hosts on which XAPI's word decides, by name: no rule objects, or estimates only."""
    present = overview.get_vm(vm_uuid).resident_on_uuid
    hosts = sorted(overview.hosts, key=lambda each: (each.name_label, each.uuid))
    others = (each.uuid for each in hosts if each.uuid != present)
    return tuple(uuid for uuid in others if not check_all(_answer(overview.snapshot(vm_uuid, uuid), None)))


def _judge(overview: Overview, moving: VM, place: Host, answers: Answers) -> HostVerdict:
    free = overview.find_free_bytes(place.uuid)
    if place.uuid == moving.resident_on_uuid:
        return HostVerdict(place.uuid, place.name_label, present=True, ok=False, headroom_bytes=free)
    snapshot = overview.snapshot(moving.uuid, place.uuid)
    asked = place.uuid in answers
    if asked:
        snapshot = _answer(snapshot, answers[place.uuid])
    findings = check_all(snapshot)
    return HostVerdict(
        place.uuid,
        place.name_label,
        present=False,
        ok=not findings,
        findings=findings,
        headroom_bytes=None if free is None else free - moving.needed_bytes,
        asked_pool=asked,
    )


def _answer(snapshot: Snapshot, answer: XapiError | None) -> Snapshot:
    return dataclasses.replace(snapshot, boot_check=answer, boot_asked=True)
