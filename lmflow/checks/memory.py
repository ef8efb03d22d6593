"""Rules on memory: XAPI alone knows what is reserved, so its own answer is explained; without one, an estimate."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.answer import find_answer
from lmflow.models import Finding, Snapshot

_MIB = 1024 * 1024


def check_answer(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when XAPI says that the destination has not enough free memory, with both figures."""
    answer, host = find_answer(snapshot, "memory"), snapshot.host(snapshot.destination_uuid)
    if answer is None or host is None:
        return
    figures = [int(p) // _MIB for p in answer.params if p.isdigit()]
    what = f": needs {figures[0]} MiB, {figures[1]} MiB are available" if len(figures) == 2 else ""
    yield Finding(
        rule="memory.answer",
        code=answer.code,
        message=f"{host.name_label} has not enough free memory{what}",
        remedy="free memory there (reservations and HA count too), or choose another host",
    )


def check_estimate(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when nobody asked XAPI and its arithmetic on records leaves less than the VM needs."""
    host, free, needed = snapshot.host(snapshot.destination_uuid), snapshot.free_bytes, snapshot.vm.needed_bytes
    if snapshot.boot_asked or host is None or free is None or needed <= free:
        return
    yield Finding(
        rule="memory.estimate",
        code="HOST_NOT_ENOUGH_FREE_MEMORY",
        message=f"{host.name_label} seems to lack free memory: needs {needed // _MIB} MiB, about {free // _MIB} MiB are"
        " free by the pool's records",
        remedy="free memory there (reservations and HA count too), or choose another host",
    )


RULES = (check_answer, check_estimate)
