"""Every state of every task and VM of a simulated pool, as it was written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from lmflow.simulator.pool import SimulatedPool

_CLASSES = ("task", "VM")


@dataclasses.dataclass(frozen=True)
class Written:
    """One change: when (pool seconds), of what, the record then; None once it was gone."""

    at: float
    cls: str
    ref: str
    record: dict[str, Any] | None


class Watch:
    """Listens to the database from its making on, so that no state is too short to be seen."""

    def __init__(self, pool: SimulatedPool) -> None:
        self._pool = pool
        self._written: list[Written] = []
        store = pool.store
        with store.lock:
            for cls in _CLASSES:
                for ref in store.refs(cls):
                    self._hear("add", cls, ref)
            store.listeners.append(self._hear)

    def _hear(self, operation: str, cls: str, ref: str) -> None:
        if cls in _CLASSES:
            record = None if operation == "del" else dict(self._pool.store.record(cls, ref))
            self._written.append(Written(self._pool.clock.now(), cls, ref, record))

    def states(self, task_ref: str, vm_ref: str = "") -> Iterator[tuple[float, dict[str, Any], dict[str, Any]]]:
        """Give (seconds since the task's beginning, its record, the VM's record), a row for each change of either."""
        task: dict[str, Any] | None = None
        vm: dict[str, Any] = {}
        began_at = 0.0
        for written in list(self._written):
            if written.ref == task_ref:
                began_at = began_at or written.at
                task = written.record
            elif written.ref == vm_ref:
                vm = written.record or {}
            else:
                continue
            if task is not None:
                yield written.at - began_at, task, vm

    def tasks_called(self, name: str) -> list[str]:
        """Give the references of all tasks with this name, in the order of their beginning."""
        found = [w.ref for w in self._written if w.cls == "task" and w.record and w.record["name_label"] == name]
        return list(dict.fromkeys(found))

    def life_of(self, ref: str) -> tuple[float, float]:
        """Give when an object was made and when it was last written, or removed."""
        times = [written.at for written in list(self._written) if written.ref == ref]
        return times[0], times[-1]
