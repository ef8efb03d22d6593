"""The rules on every host of a pool: an overview goes in, a verdict per host comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from lmflow.checks.asking import Rulebook
from lmflow.checks.registry import find_refusals, find_rules_for, find_warnings
from lmflow.models import VM, Finding, Host, HostVerdict, Overview, Site, Snapshot, XapiError

Answers = Mapping[str, XapiError | None]
"""What ``VM.assert_can_boot_here`` said, by host UUID, None for yes; hosts that were not asked about are absent."""

_NOTHING_SET = Site()


def check_hosts(
    overview: Overview,
    vm_uuid: str,
    answers: Answers | None = None,
    site: Site = _NOTHING_SET,
    *,
    strict: bool = False,
) -> tuple[HostVerdict, ...]:
    """Return the verdict on each host of the pool, by name; the reasons that hold for every host stand with each.

    With ``strict`` a warning refuses. KeyError when the overview does not hold the VM.
    """
    asked, book, moving = answers or {}, find_rules_for(site), overview.get_vm(vm_uuid)
    return tuple(_judge(overview, book, moving, each, asked, strict=strict) for each in _sort_hosts(overview))


def check_anywhere(overview: Overview, vm_uuid: str, site: Site = _NOTHING_SET) -> tuple[Finding, ...]:
    """Return the reasons that hold whatever the destination: what the VM is and does, and its present host."""
    snapshot = overview.snapshot(vm_uuid, overview.pool.coordinator_uuid)
    return find_refusals(find_rules_for(site).ask_anywhere(snapshot))


def find_askable(
    overview: Overview, vm_uuid: str, site: Site = _NOTHING_SET, *, strict: bool = False
) -> tuple[str, ...]:
    """Return the UUIDs of the hosts on which XAPI's word decides, by name: no rule objects, or estimates only."""
    book, present = find_rules_for(site), overview.get_vm(vm_uuid).resident_on_uuid
    others = (each.uuid for each in _sort_hosts(overview) if each.uuid != present)
    snapshots = {uuid: _answer(overview.snapshot(vm_uuid, uuid), None) for uuid in others}
    return tuple(uuid for uuid, each in snapshots.items() if not find_refusals(book.ask(each), strict))


def _judge(
    overview: Overview, book: Rulebook, moving: VM, place: Host, answers: Answers, *, strict: bool
) -> HostVerdict:
    free = overview.find_free_bytes(place.uuid)
    if place.uuid == moving.resident_on_uuid:
        return HostVerdict(place.uuid, place.name_label, present=True, ok=False, headroom_bytes=free)
    snapshot = overview.snapshot(moving.uuid, place.uuid)
    asked = place.uuid in answers
    if asked:
        snapshot = _answer(snapshot, answers[place.uuid])
    found = book.ask(snapshot)
    refusals = find_refusals(found, strict)
    return HostVerdict(
        place.uuid,
        place.name_label,
        present=False,
        ok=not refusals,
        findings=refusals,
        headroom_bytes=None if free is None else free - moving.needed_bytes,
        asked_pool=asked,
        warnings=find_warnings(found, strict),
    )


def _sort_hosts(overview: Overview) -> list[Host]:
    return sorted(overview.hosts, key=lambda each: (each.name_label, each.uuid))


def _answer(snapshot: Snapshot, answer: XapiError | None) -> Snapshot:
    return dataclasses.replace(snapshot, boot_check=answer, boot_asked=True)
