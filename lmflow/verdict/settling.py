"""When a pool has settled after a restart or a loss: judged from looks at its hosts, without a clock of its own.

Source: recorded restarts of a real xapi. A host's ``enabled`` goes false and true again within ten seconds of the
death of its toolstack, the VM's state flips at most half a second later, and a dead member shows its new
``agent_start_time`` only some ten seconds after it died. Hence a watch of its own length even when nothing
seems to have happened, and a quiet time after the last change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from lmflow.models import Attempt, Host, Model, Waits


@dataclasses.dataclass(frozen=True, slots=True)
class Looks(Model):
    """What a series of looks has shown: when it began, when the hosts last changed, whether they are all back."""

    first_at: float
    changed_at: float
    state: tuple[str, ...]
    all_back: bool
    all_live: bool


def look(
    previous: Looks | None, hosts: tuple[Host, ...], *, attempt: Attempt, now: float, ends: Collection[str] = ()
) -> Looks:
    """Return the series with one more look at source, destination and coordinator.

    ``hosts`` are all hosts of the pool, ``now`` any clock in seconds that only goes forward. ``ends`` are source and
    destination, if they are to be told from the coordinator at the submit: that one need not come back. Dead or gone,
    it is the coordinator no longer, because another host answers us as such, and nothing of the VM is on it.
    """
    shown = {h.uuid for h in hosts if h.live}
    expected = {u for u in attempt.starts if not ends or u in ends or u in shown}
    state = tuple(
        f"{h.uuid} {h.agent_start_time} {h.enabled} {h.live}"
        for h in sorted((h for h in hosts if h.uuid in attempt.starts), key=lambda h: h.uuid)
    )
    concerned = [h for h in hosts if h.uuid in expected]
    live = len(concerned) == len(expected) and all(h.live for h in concerned)
    back = live and all(h.enabled or h.uuid in attempt.disabled for h in concerned)
    changed_at = now if previous is None or previous.state != state else previous.changed_at
    first_at = now if previous is None else previous.first_at
    return Looks(first_at=first_at, changed_at=changed_at, state=state, all_back=back, all_live=live)


def is_settled(looks: Looks, *, now: float, waits: Waits) -> bool:
    """Tell whether all concerned hosts are back, were watched long enough, and have been quiet.

    A host that was disabled at the submit need not be enabled again; one that is disabled and live, with nothing
    changing for a whole ``settle_seconds``, was disabled by a person: no restart takes that long.
    """
    watched = now - looks.first_at >= waits.settle_seconds
    quiet_for = now - looks.changed_at
    back = looks.all_back or (looks.all_live and quiet_for >= waits.settle_seconds)
    return back and watched and quiet_for >= waits.quiet_seconds


def is_overdue(looks: Looks, *, now: float, waits: Waits) -> bool:
    """Tell whether the pool has had its time to settle and did not: nothing changed for so long, and it is not back."""
    return now - looks.changed_at >= waits.settle_seconds + waits.pool_seconds
