"""Rules on memory: XAPI alone knows what is reserved, so its own arithmetic is asked and explained."""

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


RULES = (check_answer,)
