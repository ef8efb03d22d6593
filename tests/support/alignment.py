"""Whether a recorded sequence of states and a simulated one are the same, at similar times."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Any

from tests.support.replays import BRIEF_HERE_SECONDS, BRIEF_SECONDS, SLACK_SECONDS, Recording, States, Watcher

FIRST_SECONDS = 0.3
"""What the first samples saw is the run's beginning: whether it was seen is chance."""

MASKS = {
    "task: progress": "a progress is of an instant; that it goes up by elevenths and down once is a test of its own",
    "vm, hosts: domid and start time as such": "numbers of another pool; which is new, and when, is compared",
    "xenops: silent": "a request that hung or was refused said so through a relay, 5 s late; answers are compared",
    "vm: until its reservation": "the first sample comes before it or after it",
    "everything: recorded for 0.45 s, seen here for 0.5 s": "one sample, or the steps between two writes, miss it; "
    "each part of such a state seen here is as in the state before or after it",
    "vm: no allowed operations, for 0.5 s": "while the VM's database record is written at the end of an operation",
    "C11 vm: hard_shutdown under way, for 0.5 s": "the recorder asked for it, and was back before its next sample",
    "C13 xenops h1: Halted, for 0.5 s": "what xenopsd knows of a VM is taken away by the toolstack, after its domain",
    "everything: half to double the time, and 0.7 s": "one sample and the first look; the copy was simulated",
    "D01, D02: the order over all columns": "compared; within one sample any order may have been",
}
"""What is not compared, and why."""
_PASSING = {"vm": ((4, 0),), "C11 vm": ((4, 0), (3, ["hard_shutdown"])), "C13 xenops h1": ((0, "Halted"),)}
"""Column -> (place, value) of the parts that only the operations' ends show, see ``MASKS``."""


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
    allowed = _PASSING.get(name, _PASSING.get(name.partition(" ")[2], ()))
    _check_passing(told, [j for _, j in matched], seen, allowed)
    for at, came in ((recorded[i][0], seen[j][0]) for i, j in matched):
        if at == recorded[0][0]:
            continue
        latest = (late or {}).get(at, at)
        assert 0.5 * at - SLACK_SECONDS <= came <= 2 * latest + SLACK_SECONDS, f"at another time ({at}, {came}): {told}"


def _match(recorded: States, seen: States) -> list[tuple[int, int]] | None:
    """Pair the states (by their places), passing over brief ones on either side; None when that is impossible."""
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(recorded) or j < len(seen):
        if i < len(recorded) and j < len(seen) and recorded[i][1] == seen[j][1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif j < len(seen) and _is_brief(seen, j, BRIEF_HERE_SECONDS):
            j += 1
        elif j < len(seen) and pairs and seen[j][1] == seen[pairs[-1][1]][1]:
            j += 1  # the state before, again, after a brief one
        elif i < len(recorded) and (recorded[i][0] < FIRST_SECONDS or _is_brief(recorded, i, BRIEF_SECONDS)):
            i += 1
        else:
            return None
    return pairs


def _check_passing(told: str, paired: list[int], states: States, allowed: Collection[tuple[int, Any]]) -> None:
    """Fail unless each part of every state that was passed over is that of the paired state before or after it."""
    for before, after in itertools.pairwise(paired):
        ends = [_parts(states[before][1]), _parts(states[after][1])]
        for _, state in states[before + 1 : after]:
            new = [(i, p) for i, p in enumerate(_parts(state)) if all(p != end[i] for end in ends)]
            assert not [part for part in new if part not in allowed], f"a state that never was, {state}: {told}"


def _parts(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


def check_order(recording: Recording, watcher: Watcher) -> None:
    """Fail unless what decides a migration came in the recorded order, over all columns.

    What the recorder found in one sample may have come in any order.
    """
    recorded, seen = _find_steps(recording.columns), _find_steps(watcher.seen)
    assert list(recorded) == list(seen), f"{recording.name}: {recorded} {seen}"
    told = f"{recording.name}\nrecorded: {recorded}\nseen:     {seen}"
    for first, then in itertools.permutations(recorded, 2):
        if recorded[first] < recorded[then]:
            assert seen[first] < seen[then], f"{then} came before {first}: {told}"


def _find_steps(columns: Mapping[str, States]) -> dict[str, float]:
    """When each decisive change was seen for the first time after the beginning, in a fixed order."""
    place = columns["vm"][0][1][1]
    target = next(role for role in ("h1", "h2") if role != place)
    later = [(at, state) for at, state in columns["vm"] if state[1] == target]
    left = [at for at, state in columns[f"hosts {target}"] if "vm_migrate" in state[1]][-1]
    return {
        "real": next(at for at, state in columns["real"] if state[("h1", "h2").index(target)]),
        "place": later[0][0],
        "host": next(at for at, state in columns[f"hosts {target}"] if at > left and not state[1]),
        "operation": next(at for at, state in later if not state[3]),
        "task": next(at for at, state in columns["task"] if state[0] != "pending"),
    }
