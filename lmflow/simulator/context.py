"""What an operation gets to know about the call that it answers."""

from __future__ import annotations

from dataclasses import dataclass

from lmflow.simulator.audit import Entry
from lmflow.simulator.clock import Clock
from lmflow.simulator.database.store import Store
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.tasks import TaskHandle


@dataclass(slots=True)
class Context:
    """One call: the pool, who asked (``session_ref``), where (``host_ref``), and its task if it has one."""

    pool: Kernel
    host_ref: str
    session_ref: str
    entry: Entry
    task: TaskHandle | None = None
    dummy_task: str = ""
    """What stands for the task of an Async call that has no record."""
    parent: Context | None = None
    """The call on whose behalf the coordinator made this one."""

    @property
    def store(self) -> Store:
        """The pool's database."""
        return self.pool.store

    @property
    def clock(self) -> Clock:
        """The pool's time."""
        return self.pool.clock

    def took_effect(self) -> None:
        """Write into the audit log that the call has begun to change the pool, and so has what called it."""
        self.entry.effect = True
        if self.parent is not None:
            self.parent.took_effect()
