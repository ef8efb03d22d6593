"""Runs on a real pool that were noted down as histories, in the terms of ``alignment``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.alignment import align
from tests.support.replays import States, Watcher

TRACES = Path(__file__).parent.parent / "data" / "traces"
ACTION_SECONDS = 1.5
"""A history begins with what befell the migration, so long after the submit."""

_ROLES = {
    "OpaqueRef:dd425feb-ee34-da4a-3dc0-dc434f4603c6": "h2",
    "OpaqueRef:03a547de-d0f1-3a15-2a3c-38d13cfd3b23": "h1",
}
MASKS = {
    "history: progress, allowed_operations and marks of a task": "the timelines hold them, field by field",
    "history: what was over at its first row": "it begins with what befell the migration, 1.5 s after the submit",
}
"""What is not compared, and why."""


def get_items(trace: str) -> list[dict[str, Any]]:
    """The items of a recorded trace."""
    (path,) = TRACES.glob(f"{trace}*.json")
    return list(json.loads(path.read_text(encoding="utf-8"))["items"])


def get_note(trace: str, label: str) -> dict[str, Any]:
    """The note whose label starts so."""
    (item,) = (item for item in get_items(trace) if item["label"].startswith(label) and "note" in item)
    return dict(item["note"])


class Note:
    """One history: [seconds, task, real, power_state, resident_on, operations]."""

    def __init__(self, trace: str, label: str) -> None:
        self.name = f"{trace} {label}"
        note = get_note(trace, label)
        self.final: dict[str, Any] = note["final"]
        self._rows = note["history"]
        self.columns = {
            "vm": self._collect(_read_vm),
            "real": self._collect(_read_real),
            "task": self._collect(_read_task),
        }

    def _collect(self, read: Callable[[list[Any]], Any]) -> States:
        states: States = []
        for row in self._rows:
            found = read(row)
            if found is not None and (not states or states[-1][1] != found):
                states.append((row[0] + ACTION_SECONDS, found))
        return states

    def check(self, watcher: Watcher) -> None:
        """Fail unless a run showed the same; the first look came when the migration was under way already."""
        seen = {
            "vm": [(at, (state[0], state[1], list(state[3]))) for at, state in watcher.seen["vm"]],
            "real": watcher.seen["real"],
            "task": [(at, _outcome(state)) for at, state in watcher.seen["task"]],
        }
        for column, states in self.columns.items():
            if column == "task" and not states:
                continue
            later = _since_the_action(_deduplicated(seen[column]))
            first = next(index for index, (_, state) in enumerate(later) if state == states[0][1])
            align(f"{self.name} {column}", states, later[first:])


def _deduplicated(states: States) -> States:
    return [item for index, item in enumerate(states) if index == 0 or states[index - 1][1] != item[1]]


def _since_the_action(states: States) -> States:
    """Drop what was over when the history began."""
    ends = [at for at, _ in states[1:]] + [float("inf")]
    return [state for state, end in zip(states, ends, strict=True) if end > ACTION_SECONDS]


def _is_error(found: Any) -> bool:
    return not isinstance(found, str) or "PARSE_ERROR" in found


def _read_vm(row: list[Any]) -> Any:
    power_state, resident_on, operations = row[3:6]
    return None if _is_error(power_state) else (power_state, resident_on, sorted(operations.values()))


def _read_real(row: list[Any]) -> Any:
    return tuple(row[2]["real"][host] == "RUNNING" for host in ("h1", "h2"))


def _read_task(row: list[Any]) -> Any:
    task = row[1]
    if isinstance(task, dict):
        return (task["status"], [_ROLES.get(part, part) for part in task["error_info"]])
    return "lost" if task[0] == "HANDLE_INVALID" else None


def _outcome(state: Any) -> Any:
    return state if state == "lost" else (state[0], state[4])
