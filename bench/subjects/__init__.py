"""Who does the job: one small module a subject, loaded in a process of its own."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from typing import Any, Protocol

SQLITE, POSTGRESQL, MEMORY = "sqlite", "postgresql", "memory"
DURABLE = (SQLITE, POSTGRESQL)


class Subject(Protocol):
    """What can be asked of a subject. Each is made with the URL of an empty database, or of its own from before."""

    def run_one(self) -> None:
        """Do one job to its end."""

    def run_many(self, count: int, width: int) -> None:
        """Do so many jobs, ``width`` of them at a time."""

    def close(self) -> None:
        """Let go of everything."""


class Resumable(Subject, Protocol):
    """A subject whose interrupted jobs another process can end."""

    def interrupt(self, count: int) -> None:
        """Leave so many jobs in the middle, as they are when their process is killed."""

    def resume(self, count: int) -> None:
        """End the jobs that another process has left; so many are known to exist."""


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A subject that can be measured. ``needs`` is a module without which it cannot."""

    name: str
    title: str
    module: str
    stores: tuple[str, ...] = DURABLE
    needs: str = ""
    resumes: bool = False
    slow: bool = False


KNOWN = (
    Known("sql", "raw SQL", "bench.subjects.sql"),
    Known("memory", "TaskFlow in memory", "bench.subjects.memory", stores=(MEMORY,)),
    Known("stock", "TaskFlow, stock backend", "bench.subjects.stock", slow=True),
    Known("dbos", "DBOS", "bench.subjects.dbos_peer", needs="dbos", resumes=True),
    Known("plugin", "TaskFlow, lmflow's backend", "bench.subjects.plugin", needs="lmflow.db.persistence"),
    Known("lmflow", "lmflow's driver", "bench.subjects.driver", needs="lmflow.runner.driver", resumes=True),
)


def is_there(module: str) -> bool:
    """Say whether a module can be imported, without doing so; '' always can."""
    try:
        return not module or importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def make(known: Known, url: str) -> Any:
    """Return the subject on this database."""
    return importlib.import_module(known.module).Contender(url)
