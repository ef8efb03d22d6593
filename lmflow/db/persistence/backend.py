"""The plug-in ``lmflow`` of TaskFlow's persistence: safe with any engine and executor, and for any flow."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import exc as sa_exc
from taskflow import exceptions as tf_exceptions
from taskflow import states
from taskflow.persistence import base, models

from lmflow.db import migrations
from lmflow.db.engine import open_engine
from lmflow.db.fence import Hold
from lmflow.db.persistence.connection import Connection, KnownFlow
from lmflow.db.persistence.encoding import Rules
from lmflow.db.persistence.tables import delete_books, logbooks
from lmflow.db.transactions import Transactor
from lmflow.exceptions import ConfigurationError, UnreachableError

LOG = logging.getLogger(__name__)

_BEGINS = (states.RUNNING, states.REVERTING)
_ENDS = (states.SUCCESS, states.FAILURE, states.REVERTED, states.SUSPENDED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a configuration may say besides ``connection``; see ``Backend``."""

    outage_seconds: float = 120.0
    linger_seconds: float = 1.0
    max_bytes: float = 1024 * 1024
    reading_atoms: Collection[str] = ()

    @classmethod
    def make(cls, conf: Mapping[str, Any]) -> Options:
        """Take the options out of a configuration, whose values may be texts; ValueError."""
        seconds = {
            name: float(conf[name]) for name in ("outage_seconds", "linger_seconds", "max_bytes") if name in conf
        }
        if not all(value >= 0 for value in seconds.values()):
            raise ValueError(f"{', '.join(seconds)}: none of them is negative")
        atoms = conf.get("reading_atoms", ())
        return cls(**seconds, reading_atoms=frozenset(atoms.split(",") if isinstance(atoms, str) else atoms))


class Backend(base.Backend):
    """Keeps TaskFlow's flows in SQLite, PostgreSQL or MariaDB.

    ``conf``: a URL such as ``lmflow+sqlite:////path`` or a mapping with it as ``connection``, and options.
    ``outage_seconds``: how long a database that does not answer is waited for. ``linger_seconds``: what is no barrier
    is written after so long when no barrier comes. ``max_bytes``: the JSON of one result. ``reading_atoms``: names of
    atoms without side effects, whose start need not be on disk.

    ConfigurationError for a place or a URL that cannot be used. May be used from many threads, not across a fork.
    """

    def __init__(self, conf: Mapping[str, Any] | str) -> None:
        conf = {"connection": conf} if isinstance(conf, str) else dict(conf)
        super().__init__(conf)
        options = Options.make(conf)
        engine = open_engine(str(conf["connection"]).removeprefix("lmflow+"))
        self._transactor = Transactor(engine, outage_seconds=options.outage_seconds)
        self._connection = OwnConnection(self, self._transactor, options)

    def get_connection(self) -> Connection:
        """Return the one connection object."""
        return self._connection

    def flush(self) -> None:
        """Commit all that waits, of all flows."""
        self._connection.before_reading()

    def close(self) -> None:
        """Commit all that waits and let go of the database."""
        try:
            self._connection.finish()
        finally:
            self._transactor.close()
            self._transactor.engine.dispose()


class OwnConnection(Connection):
    """The start of an atom, or of its revert, and the end of a flow are barriers: they return when all is on disk."""

    def __init__(self, backend: Backend, transactor: Transactor, options: Options) -> None:
        super().__init__(backend, transactor, Rules(max_bytes=options.max_bytes))
        self._options = options
        self._mutex = threading.Lock()
        self._due: set[str] = set()  # flows whose barrier has begun and not succeeded yet
        self._states: dict[str, str | None] = {}
        self._sweeper = _Sweeper(self, options.linger_seconds)

    def upgrade(self) -> None:
        """Create TaskFlow's tables and their indexes, under a lock, unless they are there."""
        try:
            migrations.ensure_taskflow(self._transactor.engine)
        except (sa_exc.SQLAlchemyError, UnreachableError) as error:
            raise tf_exceptions.StorageFailure(f"the tables cannot be made: {error}", cause=error) from error

    def clear_all(self) -> None:
        """Delete all logbooks of this database."""
        for known in self.list_waiting():
            known.hold.deferred.clear()
        for known in self.list_known():
            self.forget(known.uuid)
        self._write(lambda conn: delete_books(conn, logbooks.c.uuid.is_not(None)), Hold())

    def hold_of(self, flow_uuid: str) -> Hold:
        """Return a new hold: flows of one process are written beside each other."""
        return Hold()

    def after_atom(self, known: KnownFlow, atom: models.AtomDetail) -> None:
        """Make the barrier before a body begins."""
        before, now = self._states.get(atom.uuid), atom.state
        self._states[atom.uuid] = now
        if before != now and now in _BEGINS and atom.name not in self._options.reading_atoms:
            self._due.add(known.uuid)
        self._settle(known)

    def after_flow(self, known: KnownFlow, flow: models.FlowDetail) -> None:
        """Make the barrier at the end of a flow, of which nothing is remembered then."""
        if flow.state not in _ENDS:
            self._settle(known)
            return
        self.barrier(known.hold)
        self.forget(flow.uuid)

    def forget(self, flow_uuid: str) -> None:
        """Forget a flow."""
        for atom_uuid in list(known.atoms) if (known := self._flows.get(flow_uuid)) else ():
            self._states.pop(atom_uuid, None)
        self._due.discard(flow_uuid)
        super().forget(flow_uuid)

    def before_reading(self) -> None:
        """Commit all that waits."""
        for known in self.list_waiting():
            self.barrier(known.hold)

    def list_known(self) -> list[KnownFlow]:
        """Return the flows that are under way here."""
        return list(self._flows.values())

    def list_waiting(self) -> list[KnownFlow]:
        """Return those flows of which something waits."""
        return [known for known in self.list_known() if known.hold.deferred.since is not None]

    def finish(self) -> None:
        """Commit all that waits, and stop looking for it."""
        self._sweeper.stop()
        self.before_reading()

    def _settle(self, known: KnownFlow) -> None:
        if known.uuid in self._due:  # also one that failed before: TaskFlow tries again
            self.barrier(known.hold)
            self._due.discard(known.uuid)
        elif known.hold.deferred.since is not None:
            self._sweeper.wake()


class _Sweeper:
    """Writes what has waited for too long, in a thread that sleeps while nothing waits."""

    def __init__(self, connection: OwnConnection, linger_seconds: float) -> None:
        self._connection = connection
        self._linger_seconds = linger_seconds
        self._waiting = threading.Event()
        self._stopped = threading.Event()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Look after what waits from now on."""
        if self._waiting.is_set() or math.isinf(self._linger_seconds):
            return
        self._waiting.set()
        with self._mutex:
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._run, name="lmflow-sweeper", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        with self._mutex:
            self._stopped.set()
            self._waiting.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._waiting.wait() and not self._stopped.wait(self._linger_seconds):
            self._waiting.clear()
            late = time.monotonic() - self._linger_seconds
            for known in self._connection.list_waiting():
                since = known.hold.deferred.since
                if since is None or since > late:
                    self._waiting.set()
                    continue
                try:
                    self._connection.barrier(known.hold)
                except (tf_exceptions.TaskFlowException, ConfigurationError) as error:
                    LOG.warning("what waits of flow %s could not be written yet: %s", known.uuid, error)
                    self._waiting.set()
