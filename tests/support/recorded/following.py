"""Histories that the recorder watched by asking again and again, held against every state that was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.support.recorded import masks
from tests.support.recorded.binding import Difference, show
from tests.support.recorded.player import Answer, Player
from tests.support.recorded.reading import Leaf, Tree, read_result, read_value
from tests.support.recorded.trace import Item

BETWEEN_SECONDS = 0.65
"""The longest time between two questions of the recorder: a shorter state it may have missed."""
_STALL_SECONDS = 0.1
"""Real seconds that a busy machine may add to anything."""

Row = list[Any]
"""[seconds, what was seen, ...]; rows differ in at least one thing that was seen."""


def compare_history(player: Player, item: Item, recorded: Sequence[Row], seen: Sequence[Row]) -> list[Difference]:
    """List where the sequences differ: each recorded state has to come, in its order, its time within a factor of two.

    Between them, and before the first, only states may come that were too short for the recorder to see.
    """
    slack = BETWEEN_SECONDS + _STALL_SECONDS * player.pool.clock.scale
    found: list[Difference] = []
    position = 0
    for index, row in enumerate(recorded):
        match = next((i for i in range(position, len(seen)) if _is_same(player, item, row, seen[i])), None)
        if match is None:
            return [*found, Difference(f"history/{index}", show(row[1:]), show([state[1:] for state in seen]))]
        found += _missed(seen[max(position, 1) : match], seen, slack)
        if not row[0] / 2 - slack <= seen[match][0] <= row[0] * 2 + slack:
            found.append(Difference(f"history/{index}/seconds", str(row[0]), str(seen[match][0])))
        position = match
    return found


def _missed(skipped: Sequence[Row], seen: Sequence[Row], slack: float) -> list[Difference]:
    long = []
    for row in skipped:
        after = next((other[0] for other in seen if other[0] > row[0]), row[0])
        if after - row[0] > slack:
            long.append(Difference("history", "no such state", f"{show(row[1:])} for {after - row[0]:.2f} s"))
    return long


def _is_same(player: Player, item: Item, recorded: Row, seen: Row) -> bool:
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
