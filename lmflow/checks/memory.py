"""Rules on memory: XAPI alone knows what is reserved, so its own answer is explained; without one, an estimate."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.answer import find_answer, is_open
from lmflow.checks.rule import Rule
from lmflow.models import Finding, Snapshot

_MIB = 1024 * 1024
_CODE = "HOST_NOT_ENOUGH_FREE_MEMORY"
_REMEDY = "free memory there (reservations and HA count too), or choose another host"


def check_answer(snapshot: Snapshot) -> Iterator[Finding]:
    """Does XAPI say that the destination has enough free memory? Otherwise with both figures."""
    answer, host = find_answer(snapshot, "memory"), snapshot.host(snapshot.destination_uuid)
    if answer is None or host is None:
        return
    figures = [int(p) // _MIB for p in answer.params if p.isdecimal()]
    what = f": needs {figures[0]} MiB, {figures[1]} MiB are available" if len(figures) == 2 else ""
    yield ANSWER.object_to(f"{host.name_label} has not enough free memory{what}")


def check_estimate(snapshot: Snapshot) -> Iterator[Finding]:
    """Is as much memory free by XAPI's arithmetic on records as the VM needs? Where XAPI did not say."""
    host, free, needed = snapshot.host(snapshot.destination_uuid), snapshot.free_bytes, snapshot.vm.needed_bytes
    if host is None or free is None or needed <= free or not is_open(snapshot, _CODE):
        return
    yield ESTIMATE.object_to(
        f"{host.name_label} seems to lack free memory: needs {needed // _MIB} MiB, about {free // _MIB} MiB are"
        " free by the pool's records"
    )


ANSWER = Rule(
    name="memory.answer",
    group="memory",
    order=470,
    codes=(_CODE,),
    needs=("boot_check",),
    remedy=_REMEDY,
    check=check_answer,
)
ESTIMATE = Rule(
    name="memory.estimate",
    group="memory",
    order=480,
    codes=(_CODE,),
    needs=("vm", "free_bytes", "boot_check"),
    remedy=_REMEDY,
    check=check_estimate,
)
