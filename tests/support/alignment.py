"""Whether a recorded sequence of states and a simulated one are the same, at similar times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.replays import BRIEF_HERE_SECONDS, BRIEF_SECONDS, SLACK_SECONDS, Recording, States, Watcher

FIRST_SECONDS = 0.3
"""What the first samples saw is the run's beginning: whether it was seen is chance."""

MASKS = {
    "task: progress": "a progress is of an instant; that it goes up by elevenths and down once is a test of its own",
    "vm, hosts: domid and start time as such": "numbers of another pool; which is new, and when, is compared",
    "xenops: silent": "a request that hung or was refused said so through a relay, 5 s late; answers are compared",
    "vm: until its reservation": "the first sample comes before it or after it",
    "everything: recorded for 0.45 s, seen here for 1 s": "one sample, and the steps between two writes, can miss it",
}
"""What is not compared, and why."""


def check_same(recording: Recording, watcher: Watcher) -> None:
    """Fail unless every column of the run is that of the recording."""
    with_silence = {c: s for c, s in recording.columns.items() if not c.startswith("xenops")}
    for column, states in with_silence.items():
        recorded, seen = _from_reservation(column, states), _from_reservation(column, watcher.seen[column])
        align(f"{recording.name} {column}", recorded, seen, recording.late)
    for column in ("xenops h1", "xenops h2"):
        recorded, seen = _only_answers(recording.columns[column]), _only_answers(watcher.seen[column])
        align(f"{recording.name} {column}", recorded, seen, recording.late)


def _from_reservation(column: str, states: States) -> States:
    if column != "vm":
        return states
    first = next((index for index, (_, state) in enumerate(states) if state[2] != "NULL"), 0)
    return states[first:]


def _only_answers(states: States) -> States:
    kept: States = []
    for at, state in states:
        if state != "silent" and (not kept or kept[-1][1] != state):
            kept.append((at, state))
    return kept


def _is_brief(states: States, index: int, limit: float) -> bool:
    return index + 1 < len(states) and states[index + 1][0] - states[index][0] <= limit


def align(name: str, recorded: States, seen: States, late: Mapping[float, float] | None = None) -> None:
    """Fail unless both show the same states in the same order, each between half and double its time.

    ``late`` is until when a state of the recording can have come, where that is not when it was noted.
    """
    told = f"{name}\nrecorded: {recorded}\nseen:     {seen}"
    matched = _match(recorded, seen)
    assert matched is not None, f"another sequence of states: {told}"
    for (at, _), (came, _) in matched:
        if at == recorded[0][0]:
            continue
        latest = (late or {}).get(at, at)
        assert 0.5 * at - SLACK_SECONDS <= came <= 2 * latest + SLACK_SECONDS, f"at another time ({at}, {came}): {told}"


def _match(recorded: States, seen: States) -> list[tuple[tuple[float, Any], tuple[float, Any]]] | None:
    """Pair the states, passing over brief ones on either side; None when that is impossible."""
    pairs, i, j = [], 0, 0
    while i < len(recorded) or j < len(seen):
        if i < len(recorded) and j < len(seen) and recorded[i][1] == seen[j][1]:
            pairs.append((recorded[i], seen[j]))
            i, j = i + 1, j + 1
        elif j < len(seen) and _is_brief(seen, j, BRIEF_HERE_SECONDS):
            j += 1
        elif j < len(seen) and pairs and seen[j][1] == pairs[-1][1][1]:
            j += 1  # the state before, again, after a brief one
        elif i < len(recorded) and (recorded[i][0] < FIRST_SECONDS or _is_brief(recorded, i, BRIEF_SECONDS)):
            i += 1
        else:
            return None
    return pairs
