"""When a pool has settled after a restart or a loss: judged from looks at its hosts, without a clock of its own.

Source: recorded restarts of a real xapi. A host's ``enabled`` goes false and true again within ten seconds of the
death of its toolstack, the VM's state flips at most half a second later, and a dead member shows its new
``agent_start_time`` only some ten seconds after it died. Hence a watch of its own length even when nothing
seems to have happened, and a quiet time after the last change.
"""

from __future__ import annotations

import dataclasses

from lmflow.models import Attempt, Host, Model, Waits


@dataclasses.dataclass(frozen=True, slots=True)
class Looks(Model):
    """What a series of looks has shown: when it began, when the hosts last changed, whether they are all back."""

    first_at: float
    changed_at: float
    state: tuple[str, ...]
    all_back: bool


def look(previous: Looks | None, hosts: tuple[Host, ...], *, attempt: Attempt, now: float) -> Looks:
    """Return the series with one more look at source, destination and coordinator.

    ``hosts`` are all hosts of the pool, ``now`` any clock in seconds that only goes forward. A host that was
    disabled at the submit need not be enabled again.
    """
    concerned = sorted((h for h in hosts if h.uuid in attempt.starts), key=lambda h: h.uuid)
    state = tuple(f"{h.uuid} {h.agent_start_time} {h.enabled} {h.live}" for h in concerned)
    back = len(concerned) == len(attempt.starts) and all(
        h.live and (h.enabled or h.uuid in attempt.disabled) for h in concerned
    )
    if previous is None:
        return Looks(first_at=now, changed_at=now, state=state, all_back=back)
    changed_at = previous.changed_at if previous.state == state else now
    return Looks(first_at=previous.first_at, changed_at=changed_at, state=state, all_back=back)


def is_settled(looks: Looks, *, now: float, waits: Waits) -> bool:
    """Tell whether all concerned hosts are back, were watched long enough, and have been quiet."""
    watched = now - looks.first_at >= waits.settle_seconds
    quiet = now - looks.changed_at >= waits.quiet_seconds
    return looks.all_back and watched and quiet


def is_overdue(looks: Looks, *, now: float, waits: Waits) -> bool:
    """Tell whether the pool has had its time to settle and did not: nothing changed for so long, and it is not back."""
    return now - looks.changed_at >= waits.settle_seconds + waits.pool_seconds
