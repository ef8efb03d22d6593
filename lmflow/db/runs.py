"""The index of runs: who asked for what, and how it stands."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from lmflow.db import past, records, schema, selecting
from lmflow.db.clock import Now
from lmflow.db.fence import Fence
from lmflow.db.leases import locked_by
from lmflow.db.selecting import RunFilter, Selection
from lmflow.db.transactions import Transactor
from lmflow.exceptions import LmflowError, LockedError, UsageError
from lmflow.models import MoveRequest, Owner, Run, RunState

T = TypeVar("T")

_RUNS = schema.runs
_PREFIX_LIMIT = 20


@dataclasses.dataclass(frozen=True, slots=True)
class FlowSpec:
    """A flow to be built by an importable factory, ``package.module:function``; ``kwargs`` are strict JSON."""

    name: str
    factory: str
    kwargs: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be created. ``notes`` are events (kind, strict JSON) to stand right behind the first.

    ``first_uuid``: the run whose next try this is. ``session_uuid``: the owner's session, when it may send already.
    """

    request: MoveRequest
    kind: str
    owner: Owner
    lease_seconds: float
    flows: Sequence[FlowSpec] = ()
    notes: Sequence[tuple[str, Mapping[str, Any]]] = ()
    first_uuid: str | None = None
    session_uuid: str = ""


class RequestExists(LmflowError):  # noqa: N818 - an answer rather than an error: the run that the request id names
    """The request id names an earlier run, for ever."""

    code = "REQUEST_EXISTS"

    def __init__(self, run: Run) -> None:
        super().__init__(
            f"request {run.request.request_id} is run {run.uuid} ({run.state})",
            advice=f"lmflow run show {run.uuid[:8]}",
        )
        self.run = run


class RequestsWaiting(LmflowError):  # noqa: N818 - an answer rather than an error: what is to be answered first
    """Somebody has asked something of the run that nobody has answered yet. It stays inside lmflow."""


class RunStore:
    """Runs of all pools."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    def get_age_seconds(self, run_uuid: str) -> float:
        """Return how long ago the run was created, or the first try of its request, by the database's clock."""
        first = self.get(run_uuid)
        while first.parent_uuid is not None and (parent := self.get(first.parent_uuid)).kind == first.kind:
            first = parent
        now = self._transactor.read(lambda conn: float(conn.execute(sa.select(Now())).scalar_one()))
        return now - first.created_at

    def create(
        self,
        request: MoveRequest,
        *,
        kind: str,
        owner: Owner,
        lease_seconds: float,
        flows: Sequence[FlowSpec],
        notes: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> tuple[Run, Fence]:
        """Create the run, its logbook with a detail for each flow, its lease and its first events at once.

        ``notes`` are events (kind, strict JSON) to stand right behind the first.

        RequestExists when the request id is known, also of a run that was pruned; LockedError (with the first run's
        UUID) when another active run holds the VM.
        """
        new = NewRun(request=request, kind=kind, owner=owner, lease_seconds=lease_seconds, flows=flows, notes=notes)
        run_uuid, begin = _prepare(new)

        def work(conn: sa.Connection) -> tuple[Run, Fence]:
            return _find_request(conn, run_uuid, request.request_id) or begin(conn), Fence(run_uuid, 1)

        return self._insert(work)

    def hand_over(
        self,
        fence: Fence,
        state: RunState,
        new: NewRun,
        *,
        summary: str,
        notes: Sequence[tuple[str, Mapping[str, Any]]] = (),
        answered: int = 0,
    ) -> tuple[Run, Fence]:
        """End a run and begin its next try at once: the VM is free at no moment between them, and held by one of them.

        That holds within this database: the mark on the VM itself is each try's own.

        ``notes`` are events of the run that ends, ``answered`` is the number of the last request to it (to cancel it)
        that was answered. RequestsWaiting when there is a later one: the next try would never hear of it.
        RequestExists when the new request id is known.
        """
        if not state.is_terminal:
            raise ValueError(f"a run that is handed over cannot be {state}")
        run_uuid, begin = _prepare(new)
        summary = records.mask(summary)
        values = {"state": state.value, "summary": summary, "updated_at": Now(), "active_key": None}
        ended = ("state", {"state": state.value, "phase": None, "summary": summary})
        handed = ("handed_over", {"run_uuid": run_uuid, "host": new.request.destination_name})
        events = [records.EventAppender(fence.run_uuid, *note) for note in (*notes, ended, handed)]

        def work(conn: sa.Connection) -> tuple[Run, Fence]:
            mine = _find_request(conn, run_uuid, new.request.request_id)
            if mine is None:
                _check_requests(conn, fence.run_uuid, answered)
                conn.execute(sa.update(_RUNS).where(_RUNS.c.uuid == fence.run_uuid).values(**values))
                for event in events:
                    event.append(conn)
                mine = begin(conn)
            return mine, Fence(run_uuid, 1)

        return self._insert(work, fence)

    def record_settled(
        self,
        request: MoveRequest,
        *,
        kind: str,
        state: RunState,
        summary: str,
        notes: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> Run:
        """Record a run that ended before it began; it has neither lease nor flows. As in create otherwise."""
        if not state.is_terminal:
            raise ValueError(f"a settled run cannot be {state}")
        run_uuid = str(uuid.uuid4())
        values = _make_values(run_uuid, request, kind) | {"state": state.value, "summary": records.mask(summary)}
        created = ("created", {"kind": kind, "request": request.to_json()})
        ended = ("state", {"state": state.value, "phase": "", "summary": summary})
        events = [records.EventAppender(run_uuid, *note) for note in (created, *notes, ended)]

        def work(conn: sa.Connection) -> Run:
            mine = _find_request(conn, run_uuid, request.request_id)
            if mine is None:
                _insert_run(conn, values)
                for event in events:
                    event.append(conn)
                mine = _get(conn, run_uuid)
            return mine

        return self._insert(work)

    def get(self, run_uuid: str) -> Run:
        """Return the run of exactly this UUID, also one that was pruned; UsageError when there is none."""
        return self._transactor.read(lambda conn: _get(conn, run_uuid))

    def find_by_prefix(self, text: str) -> tuple[Run, ...]:
        """Return the runs (at most 20) whose UUID begins with the text, newest first; none for an empty text.

        Runs that were pruned are looked for when there is no other.
        """
        condition = selecting.make_prefix_condition(text)
        found = () if condition is None else self._select(condition, limit=_PREFIX_LIMIT)
        return found or self._transactor.read(lambda conn: past.list_by_prefix(conn, text, _PREFIX_LIMIT))

    def find_by_request_id(self, request_id: str) -> Run | None:
        """Return the run that a request id names, also one that was pruned."""
        return self._transactor.read(lambda conn: _find_by_request_id(conn, request_id))

    def list_tries(self, run_uuid: str) -> tuple[Run, ...]:
        """Return every try of the request that this run is a try of, in order; itself alone when there is one."""
        run = self.get(run_uuid)
        first_uuid = run.parent_uuid or run.uuid
        found = self._select(sa.or_(_RUNS.c.uuid == first_uuid, _RUNS.c.parent_uuid == first_uuid), limit=None)
        if not found:  # a request is pruned with all its tries, maybe just now
            found = self._transactor.read(lambda conn: past.list_tries(conn, first_uuid))
        # Each was told of the hosts that were tried before it; a database's clock may be set back.
        return tuple(sorted(found, key=lambda each: len(each.request.ignored_uuids)))

    def get_newest(self, run_uuid: str) -> Run:
        """Return the latest try of the request that this run is a try of."""
        return self.list_tries(run_uuid)[-1]

    def find_active(self, pool_uuid: str, vm_uuid: str) -> Run | None:
        """Return the run that holds the VM: running, suspended or unknown."""
        return next(iter(self._select(_RUNS.c.active_key == _active_key(pool_uuid, vm_uuid), limit=1)), None)

    def check_vm_is_free(self, request: MoveRequest) -> None:
        """Raise LockedError, with its UUID, when an open run holds the VM; RequestExists when it is this request's."""
        self._transactor.read(lambda conn: _check_vm_is_free(conn, request))

    def list(self, *, states: Collection[RunState] | None = None, limit: int | None = 100) -> tuple[Run, ...]:
        """Return runs in any of these states, newest first; None for all states, and for all of them.

        A run whose row cannot be read is left out: ``select`` names it.
        """
        return self.select(RunFilter(states=states), limit=limit).runs

    def select(self, wanted: RunFilter, *, limit: int | None = 100) -> Selection:
        """Return the newest runs that are wanted, with those of them that cannot be read."""
        return self._transactor.read(lambda conn: selecting.select(conn, wanted, limit))

    def set_state(self, fence: Fence, state: RunState, *, phase: str | None = None, summary: str = "") -> None:
        """Store how the run stands, with an event; a terminal state lets the VM go, any other holds it.

        The summary replaces the last one. LockedError when a run that had ended is to go on (after a repair)
        and another run holds the VM by now.
        """
        summary = records.mask(summary)
        values: dict[str, Any] = {"state": state.value, "summary": summary, "updated_at": Now()}
        if phase is not None:
            values["phase"] = phase
        data = {"state": state.value, "phase": phase, "summary": summary}
        event = records.EventAppender(fence.run_uuid, "state", data)

        def work(conn: sa.Connection) -> None:
            run = _get(conn, fence.run_uuid)
            key = None if state.is_terminal else _active_key(run.request.pool_uuid, run.request.vm_uuid)
            if key is not None and run.state.is_terminal:
                _check_vm_is_free(conn, run.request)
            conn.execute(sa.update(_RUNS).where(_RUNS.c.uuid == fence.run_uuid).values(active_key=key, **values))
            event.append(conn)

        self._insert(work, fence)

    def _insert(self, work: Callable[[sa.Connection], T], fence: Fence | None = None) -> T:
        try:
            return self._transactor.write(work, fence)
        except sa.exc.IntegrityError:
            # Where writers do not queue as on SQLite, two may both have found nothing; now the winner is visible.
            return self._transactor.write(work, fence)

    def _select(self, condition: sa.ColumnElement[bool], *, limit: int | None) -> tuple[Run, ...]:
        query = sa.select(_RUNS).where(condition).order_by(_RUNS.c.created_at.desc(), _RUNS.c.uuid.desc()).limit(limit)
        return self._transactor.read(lambda conn: tuple(records.make_run(row) for row in conn.execute(query)))


def _prepare(new: NewRun) -> tuple[str, Callable[[sa.Connection], Run]]:
    """Return the new run's UUID, and what inserts it with its logbook, its lease and its first events."""
    from lmflow.db import backend  # noqa: PLC0415 - TaskFlow is slow to import, and no use to those who only read

    run_uuid, request = str(uuid.uuid4()), new.request
    records.check_session_uuid(new.session_uuid)
    book = backend.make_logbook(run_uuid, [(flow.name, flow.factory, flow.kwargs) for flow in new.flows])
    flow_uuids = {detail.name: detail.uuid for detail in book}
    values = _make_values(run_uuid, request, new.kind) | {
        "state": RunState.RUNNING.value,
        "phase": new.flows[0].name if new.flows else "",
        "active_key": _active_key(request.pool_uuid, request.vm_uuid),
        "parent_uuid": new.first_uuid,
        "logbook_uuid": book.uuid,
        **{f"{name}_uuid": flow_uuids.get(name, "") for name in ("move", "settle")},
    }
    created = ("created", {"kind": new.kind, "request": request.to_json()})
    events = [records.EventAppender(run_uuid, *note) for note in (created, *new.notes)]

    def begin(conn: sa.Connection) -> Run:
        _check_vm_is_free(conn, request)
        _insert_run(conn, values)
        backend.insert_logbook(conn, book)
        lease = records.lease_values(new.owner, new.lease_seconds) | {"session_uuid": new.session_uuid}
        conn.execute(sa.insert(schema.leases).values(run_uuid=run_uuid, token=1, beat=0, **lease))
        for event in events:
            event.append(conn)
        return _get(conn, run_uuid)

    return run_uuid, begin


def _active_key(pool_uuid: str, vm_uuid: str) -> str:
    return f"{pool_uuid}/{vm_uuid}"


def _make_values(run_uuid: str, request: MoveRequest, kind: str) -> dict[str, Any]:
    if not 0 < len(request.request_id) <= schema.REQUEST_ID_LENGTH:
        raise UsageError(f"a request id has 1 to {schema.REQUEST_ID_LENGTH} characters, not {len(request.request_id)}")
    if not request.request_id.isprintable():
        raise UsageError("a request id has no control characters", advice="give it letters, digits and dashes")
    return {
        "uuid": run_uuid,
        "request_id": request.request_id,
        "kind": kind,
        "phase": "",
        "pool_profile": request.pool_profile,
        "pool_uuid": request.pool_uuid,
        "vm_uuid": request.vm_uuid,
        "vm_name": request.vm_name[: schema.NAME_LENGTH],
        "request": records.to_text(request.to_json()),
        "created_at": Now(),
        "updated_at": Now(),
        "summary": "",
        **dict.fromkeys(("logbook_uuid", "move_uuid", "settle_uuid"), ""),
    }


def _get(conn: sa.Connection, run_uuid: str) -> Run:
    row = conn.execute(sa.select(_RUNS).where(_RUNS.c.uuid == run_uuid)).first()
    run = records.make_run(row) if row is not None else past.find_run(conn, run_uuid)
    if run is None:
        raise UsageError(f"there is no run {run_uuid}", advice="lmflow run list")
    return run


def _find_by_request_id(conn: sa.Connection, request_id: str) -> Run | None:
    """Return the run of the id. What is pruned between the two looks is seen by the second, and so in this order."""
    row = conn.execute(sa.select(_RUNS).where(_RUNS.c.request_id == request_id)).first()
    return records.make_run(row) if row is not None else past.find_request(conn, request_id)


def _insert_run(conn: sa.Connection, values: Mapping[str, Any]) -> None:
    """Insert the run's row; RequestExists when a run of the same id came, ended and was pruned since we looked.

    From the insert on nobody else can use the id, so that this look is the last word.
    """
    conn.execute(sa.insert(_RUNS).values(**values))
    pruned = past.find_request(conn, values["request_id"])
    if pruned is not None:
        raise RequestExists(pruned)


def _find_request(conn: sa.Connection, run_uuid: str, request_id: str) -> Run | None:
    """Return our own run when an earlier commit went through unheard; RequestExists for anybody else's."""
    run = _find_by_request_id(conn, request_id)
    if run is not None and run.uuid != run_uuid:
        raise RequestExists(run)
    return run


def _check_requests(conn: sa.Connection, run_uuid: str, answered: int) -> None:
    table = schema.control
    row = conn.execute(sa.select(table.c.id).where(table.c.run_uuid == run_uuid, table.c.id > answered)).first()
    if row is not None:
        raise RequestsWaiting(f"request {row.id} to run {run_uuid} was not answered")


def _check_vm_is_free(conn: sa.Connection, request: MoveRequest) -> None:
    key = _active_key(request.pool_uuid, request.vm_uuid)
    row = conn.execute(sa.select(_RUNS).where(_RUNS.c.active_key == key)).first()
    if row is None:
        return
    first = records.make_run(row)
    if first.request.request_id == request.request_id:
        # This very request, committed since we looked for it: PostgreSQL shows each statement what is newest.
        raise RequestExists(first)
    lease = conn.execute(records.select_lease(first.uuid)).first()
    owner = f": {locked_by(records.make_lease(lease)).message}" if lease is not None else ""
    raise LockedError(
        f"VM {first.request.vm_name or first.request.vm_uuid} is held by run {first.uuid} ({first.state}){owner}",
        run_uuid=first.uuid,
        advice=f"lmflow run wait {first.uuid[:8]}, or lmflow resume {first.uuid[:8]} if its owner is gone",
    )
