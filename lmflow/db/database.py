"""The door of this room: everything lmflow remembers, behind plain methods and models."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from lmflow.db import migrations, records, transactions
from lmflow.db.attempts import AttemptStore
from lmflow.db.clock import Now
from lmflow.db.control import ControlStore
from lmflow.db.engine import open_engine
from lmflow.db.events import EventStore
from lmflow.db.fence import Fence
from lmflow.db.leases import LeaseStore
from lmflow.db.pruning import PruneStore
from lmflow.db.runs import FlowSpec, NewRun, RequestExists, RunStore
from lmflow.db.selecting import RunFilter, Selection
from lmflow.exceptions import DamagedError
from lmflow.models import Run

if TYPE_CHECKING:
    from taskflow.persistence import models as tf_models

    from lmflow.db.backend import FencedBackend

__all__ = ["AtomRow", "Database", "Fence", "FlowSpec", "NewRun", "RequestExists", "RunFilter", "Selection"]


@dataclasses.dataclass(frozen=True, slots=True)
class AtomRow:
    """An atom as it is stored. ``failure`` is one short line, of the revert if that failed, or ''."""

    name: str
    state: str
    intention: str
    results: Any
    failure: str
    meta: Mapping[str, Any]
    version: str


class Database:
    """All stores on one engine. It may be used from several threads, and not across a fork."""

    def __init__(self, engine: sa.Engine, *, outage_seconds: float = 120.0) -> None:
        self._engine = engine
        self._transactor = transactions.Transactor(engine, outage_seconds=outage_seconds)
        self.runs = RunStore(self._transactor)
        self.events = EventStore(self._transactor)
        self.attempts = AttemptStore(self._transactor)
        self.leases = LeaseStore(self._transactor)
        self.control = ControlStore(self._transactor)
        self.past = PruneStore(self._transactor)

    @classmethod
    def open(cls, url: str, *, outage_seconds: float = 120.0) -> Self:
        """Open a database; an empty one is filled with our tables.

        UnreachableError when it does not answer; ConfigurationError with the remedy when it cannot be used, is
        older than we are (``lmflow db upgrade``) or newer.
        """
        engine = open_engine(url)
        with _reported(engine):
            version = migrations.find_version(engine)
            if version is None or migrations.is_unused(engine, version):
                migrations.upgrade(engine)
                version = migrations.find_version(engine)
            migrations.check_version(engine, version)
        return cls(engine, outage_seconds=outage_seconds)

    @classmethod
    def upgrade(cls, url: str) -> tuple[str, str]:
        """Bring a database to our version; return the version before ('' for none) and after. Errors as in open."""
        engine = open_engine(url)
        with _reported(engine):
            before = migrations.find_version(engine)
            migrations.upgrade(engine)
        engine.dispose()
        return before or "", migrations.REVISIONS[-1]

    def barrier(self, fence: Fence) -> None:
        """Commit what was deferred for a run: what must be known after a crash is on disk when this returns.

        Nothing deferred is no transaction. LeaseLost; UnreachableError after an outage.
        """
        self._transactor.barrier(fence)

    def read_clock(self) -> float:
        """Return the seconds since 1970 by the database's clock."""
        return self._transactor.read(lambda conn: float(conn.execute(sa.select(Now())).scalar_one()))

    def taskflow_backend(self, run_uuid: str, fence: Fence) -> FencedBackend:
        """Return TaskFlow's backend for one run; each of its write transactions proves the fence first."""
        from lmflow.db import backend  # noqa: PLC0415 - TaskFlow is slow to import, and no use to most commands

        if fence.run_uuid != run_uuid:
            raise ValueError(f"the fence is of run {fence.run_uuid}, not of {run_uuid}")
        return backend.FencedBackend(self._transactor, fence)

    def load_flow(self, run: Run, which: str) -> tf_models.FlowDetail:
        """Return the flow detail ``move`` or ``settle`` with its atoms; DamagedError when the run has none."""
        detail = self._find_flow(run, which)
        if detail is None:
            raise DamagedError(run.uuid, f"it has no {which} flow")
        return detail

    def atoms(self, run: Run, which: str) -> tuple[AtomRow, ...]:
        """Return the atoms of ``move`` or ``settle`` that TaskFlow has stored, by name; none before it began."""
        atoms = self._find_flow(run, which) or ()
        return tuple(sorted((_make_row(atom) for atom in atoms), key=lambda row: row.name))

    def _find_flow(self, run: Run, which: str) -> tf_models.FlowDetail | None:
        from lmflow.db import backend  # noqa: PLC0415 - as above

        self._transactor.catch_up(run.uuid)
        flow_uuid = {"move": run.move_uuid, "settle": run.settle_uuid}[which]
        with records.reading(run.uuid, f"its {which} flow"):
            return self._transactor.read(lambda conn: backend.find_flow_detail(conn, flow_uuid))

    def close(self) -> None:
        """Close all connections and end all waiting for the database."""
        self._transactor.close()
        self._engine.dispose()


def _make_row(atom: tf_models.AtomDetail) -> AtomRow:
    failure = atom.revert_failure or atom.failure
    version = atom.version
    return AtomRow(
        name=atom.name,
        state=atom.state or "PENDING",
        intention=atom.intention,
        results=atom.results,
        failure=records.mask(f"{failure.exception_str}".strip().partition("\n")[0][:500]) if failure else "",
        meta=dict(atom.meta or {}),
        version=".".join(str(part) for part in version) if isinstance(version, (tuple, list)) else str(version or ""),
    )


@contextlib.contextmanager
def _reported(engine: sa.Engine) -> Iterator[None]:
    """Turn what goes wrong while a database is opened into our errors, and let go of the engine."""
    try:
        yield
    except (sa_exc.DBAPIError, sa_exc.TimeoutError) as error:
        engine.dispose()
        raise transactions.reworded(error, engine) from error
    except BaseException:
        engine.dispose()
        raise
