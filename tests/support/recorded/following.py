"""Histories that the recorder watched by asking again and again, held against every state that was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.support.recorded import masks
from tests.support.recorded.binding import Difference, show
from tests.support.recorded.player import Answer, Player
from tests.support.recorded.reading import Leaf, Tree, read_result, read_value
from tests.support.recorded.trace import Item

SLACK_SECONDS = 0.7
"""The longest time between two questions of the recorder (0.65 s; a shorter state it may have missed), and the way of
a call. The topics are played on a steady clock: a busy machine adds nothing."""
RULES = {
    "history: a state between two recorded ones, for 0.7 s": (
        "the recorder asked each 0.65 s at the longest; every part of such a state, but for its progress, its inner "
        "calls and a first offer to cancel, is as in the recorded one before or after it"
    ),
    "history: what was before its first row, for 0.7 s": "the recorder had not asked yet",
    "history: half to double the time, and 0.7 s": "the recorded copy was simulated below that xapi, by a sleep",
}
"""What a history leaves open, and why."""
_PASSING = {"progress", "subtasks"}
_PROGRESS = 0.001
"""Recorded as written, with all digits; what is seen may be rounded."""

Row = list[Any]
"""[seconds, what was seen, ...]; rows differ in at least one thing that was seen."""


def compare_history(player: Player, item: Item, recorded: Sequence[Row], seen: Sequence[Row]) -> list[Difference]:
    """List where the sequences differ: each recorded state has to come, in its order, its time within a factor of two.

    Between them, and before the first, only states may come that were too short for the recorder to see.
    """
    found: list[Difference] = []
    position = 0
    seen = [row for index, row in enumerate(seen) if index == 0 or seen[index - 1][1:] != row[1:]]
    for index, row in enumerate(recorded):
        match = next((i for i in range(position, len(seen)) if _is_same(player, item, row, seen[i])), None)
        if match is None:
            return [*found, Difference(f"history/{index}", show(row[1:]), show([state[1:] for state in seen]))]
        found += _missed(seen, position, match) if index else []
        if not row[0] / 2 - SLACK_SECONDS <= seen[match][0] <= row[0] * 2 + SLACK_SECONDS:
            found.append(Difference(f"history/{index}/seconds", str(row[0]), str(seen[match][0])))
        position = match
    return found


def _missed(seen: Sequence[Row], before: int, after: int) -> list[Difference]:
    """Tell of states between two that were recorded which the recorder would have seen, or that are like neither."""
    found = []
    known = [_parts(seen[before]), _parts(seen[after])]
    for row, following in zip(seen[before + 1 : after], seen[before + 2 :], strict=False):
        parts = _parts(row)
        strange = {name: part for name, part in parts.items() if all(part != old.get(name) for old in known)}
        if strange == {"allowed_operations": ["cancel"]}:
            strange = {}  # a task is made before it can be cancelled, and the recorder's first look can come between
        if strange:
            found.append(Difference("history", "no such state", f"{strange} in {show(row[1:])}"))
        if following[0] - row[0] > SLACK_SECONDS:
            found.append(Difference("history", "no such state", f"{show(row[1:])} for {following[0] - row[0]:.2f} s"))
    return found


def _parts(row: Row) -> dict[str, Any]:
    """What a state is made of, but for what goes by within it: progress, and inner calls that begin and end."""
    parts = {f"{index}/{i}": part for index, cell in enumerate(row[1:]) if isinstance(cell, list)
             for i, part in enumerate(cell)}  # fmt: skip
    for cell in row[1:]:
        parts |= {name: part for name, part in cell.items() if name not in _PASSING} if isinstance(cell, dict) else {}
    return parts


def _is_as_far(recorded: Any, seen: Any) -> bool:
    """Tell whether two states of a task that copies show the same progress: there the mask is for single questions.

    In the clean-up it is chance which step the place's writing meets: 2/7 in trace 08, 6/7 in the timeline D01.
    """
    if not (isinstance(recorded, dict) and 0 < recorded.get("progress", 0) < 1 and recorded["allowed_operations"]):
        return True
    return bool(abs(recorded["progress"] - seen["progress"]) < _PROGRESS)


def _is_same(player: Player, item: Item, recorded: Row, seen: Row) -> bool:
    if not all(map(_is_as_far, recorded[1:], seen[1:])):
        return False
    binding = player.binding
    binding.is_masked = lambda difference: not masks.left_over(item, [difference])
    before = dict(binding.ours), dict(binding.recorded), set(binding.extra)
    differences = [
        difference
        for old, new in zip(recorded[1:], seen[1:], strict=True)
        for difference in binding.compare(_tree(old), _tree(new), "state")
    ]
    if not masks.left_over(item, differences):
        return True
    binding.ours, binding.recorded, binding.extra = before
    return False


def follow(player: Player, item: Item, recorded_task: str, look: Callable[[dict[str, Any]], Any] | None = None,
           vm: str = "vm-run") -> Answer:  # fmt: skip
    """Wait for the end of a task and hold its history, and its last record if there is one, against a note.

    ``look`` gives what was watched of the VM beside it.
    """
    task_ref = player.binding.translate(recorded_task)
    final = player.wait_for_task(task_ref)
    note = item.note
    differences: list[Difference] = []
    if "history" in note:
        fields = list(note["history"][0][1])
        seen = [
            [at, {name: task[name] for name in fields}, *([look(record)] if look else [])]
            for at, task, record in player.watch.states(task_ref, player.vm(vm))
        ]
        differences += compare_history(player, item, note["history"], seen)
    if "final" in note:
        differences += player.binding.compare(_tree(note["final"]), _tree(plain(final)), "final")
    answer = Answer(item, _tree(plain(final)), masks.left_over(item, differences))
    player.answers[item.index] = answer
    return answer


def wait_until(player: Player, condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait, in real seconds, until the database is as it shall be."""
    changed = player.pool.store.changed
    with changed:
        assert changed.wait_for(condition, seconds), "it did not happen"


def is_on(player: Player, vm: str, host: str) -> bool:
    """Tell whether a VM is on a host, by the database."""
    return bool(player.pool.store.value("VM", player.vm(vm), "resident_on") == player.host(host))


def _tree(value: Any) -> Tree:
    """Read a record; what a result holds is compared like any reply, for sets come in any order there too."""
    tree = read_value(value)
    if isinstance(tree, dict) and isinstance(tree.get("result"), Leaf):
        tree["result"] = read_result(tree["result"].text)
    return tree


def plain(value: Any) -> Any:
    """Write dates as the recordings do."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if type(value).__name__ == "DateTime":
        return {"__dateTime__": str(value)}
    return [plain(item) for item in value] if isinstance(value, list) else value
