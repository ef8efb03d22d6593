"""Deleting what is known of requests that ended long ago, with everything that belongs to them but their ids."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from lmflow.db import past, schema
from lmflow.db.clock import Now
from lmflow.db.persistence.tables import delete_books, logbooks
from lmflow.db.transactions import Transactor
from lmflow.models import Pruned, RunState

PRUNABLE = (RunState.SUCCESS, RunState.REFUSED, RunState.FAILED)
"""Whoever is in any other state holds a VM, or leaves something for a person to do."""

_RUNS = schema.runs
_PAGE = 500
_BATCH = 20
_OF_RUN = (schema.events, schema.attempts, schema.leases, schema.control)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What may go: requests that ended before ``until`` (seconds since 1970), the newest ``keep`` of them left out.

    ``states``: in one of these their last try ended. ``forget``: their request ids go as well, and so do those of
    requests that were pruned earlier and ended so long ago.
    """

    until: float
    states: Collection[RunState] = PRUNABLE
    keep: int = 0
    forget: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class _Request:
    """All tries of one request, the first one first."""

    runs: tuple[Any, ...]

    @property
    def first(self) -> Any:
        return self.runs[0]

    @property
    def last(self) -> Any:
        return self.runs[-1]


class PruneStore:
    """Deletes ended requests in short transactions, so that living runs are not held up."""

    def __init__(self, transactor: Transactor, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._transactor = transactor
        self._sleep = sleep

    def prune(self, retention: Retention, *, delete: bool, recall: past.Recall) -> Pruned:
        """Delete what the retention lets go, or only say what that would be.

        In the same transaction a row of ``lmflow_requests_past`` takes the place of each run, with what ``recall``
        makes of its end, unless the request ids are to be forgotten. A request goes with all its tries or not at all.
        ValueError for a state that is never pruned. Blocks; between two transactions it waits as long as the last one
        took, for others to get their turn.
        """
        if not set(retention.states) <= set(PRUNABLE):
            raise ValueError(f"never pruned: {sorted(set(retention.states) - set(PRUNABLE))}")
        pruned, to_keep = Pruned(deleted=delete), retention.keep
        # A run never ends before it begins; what is kept is counted from the newest on.
        after = None if to_keep else (retention.until, "")
        while found := self._read_page(after):
            after = (found[-1].first.created_at, found[-1].first.uuid)
            ended = [each for each in found if all(run.state in PRUNABLE for run in each.runs)]
            kept, rest = ended[:to_keep], ended[to_keep:]
            to_keep -= len(kept)
            chosen = [each for each in rest if _is_wanted(each, retention)]
            for start in range(0, len(chosen), _BATCH):
                batch = chosen[start : start + _BATCH]
                pruned = _add(pruned, self._delete(batch, None if retention.forget else recall) if delete else batch)
        if retention.forget:
            pruned = dataclasses.replace(pruned, forgotten=pruned.runs + self._forget(retention, delete=delete))
        return pruned

    def _forget(self, retention: Retention, *, delete: bool) -> int:
        """Forget the ids of requests that were pruned earlier, and return how many ids that are."""
        count, after = 0, ""
        wanted = functools.partial(past.list_old, until=retention.until, states=retention.states, limit=_PAGE)
        while True:
            after, found = self._transactor.read(functools.partial(wanted, after=after))
            if not after:
                return count
            count += sum(tries for _first, tries in found)
            if found and delete:
                firsts = [first for first, _tries in found]
                began = time.monotonic()
                self._transactor.write(functools.partial(past.forget, firsts=firsts))
                self._sleep(time.monotonic() - began)

    def _read_page(self, after: tuple[float, str] | None) -> list[_Request]:
        return self._transactor.read(lambda conn: _read_requests(conn, _read_page(conn, after)))

    def _delete(self, requests: Sequence[_Request], recall: past.Recall | None) -> list[_Request]:
        """Delete requests in one transaction and return those that are gone by it; those that changed stay."""
        rows = None
        if recall is not None:
            uuids = [run.uuid for request in requests for run in request.runs]
            rows = self._transactor.read(lambda conn: past.make_rows(conn, uuids, recall))
        began = time.monotonic()
        gone = self._transactor.write(lambda conn: _delete_requests(conn, requests, rows), alone=True)
        self._sleep(time.monotonic() - began)
        return gone


def _read_page(conn: sa.Connection, after: tuple[float, str] | None) -> Sequence[Any]:
    """Return the first runs of the next requests, newest first."""
    query = sa.select(_RUNS.c.uuid, _RUNS.c.created_at).where(_RUNS.c.parent_uuid.is_(None))
    if after is not None:
        at, run_uuid = after
        earlier = sa.or_(_RUNS.c.created_at < at, sa.and_(_RUNS.c.created_at == at, _RUNS.c.uuid < run_uuid))
        query = query.where(_RUNS.c.created_at <= at, earlier)
    return conn.execute(query.order_by(_RUNS.c.created_at.desc(), _RUNS.c.uuid.desc()).limit(_PAGE)).all()


def _read_requests(conn: sa.Connection, firsts: Sequence[Any]) -> list[_Request]:
    """Return the requests of these first runs in their order, each with all its tries and their leases."""
    uuids = [first.uuid for first in firsts]
    columns = (
        *(_RUNS.c[name] for name in ("uuid", "state", "created_at", "updated_at", "logbook_uuid", "parent_uuid")),
        (schema.leases.c.expires_at > Now()).label("is_owned"),
    )
    joined = _RUNS.outerjoin(schema.leases, schema.leases.c.run_uuid == _RUNS.c.uuid)
    rows = [
        row
        for column in (_RUNS.c.uuid, _RUNS.c.parent_uuid)
        for row in conn.execute(sa.select(*columns).select_from(joined).where(column.in_(uuids)))
    ]
    families: dict[str, list[Any]] = {uuid: [] for uuid in uuids}
    for row in sorted(rows, key=lambda row: (row.parent_uuid in families, row.created_at)):
        families[row.uuid if row.uuid in families else row.parent_uuid].append(row)
    return [_Request(tuple(runs)) for runs in families.values() if runs]


def _is_wanted(request: _Request, retention: Retention) -> bool:
    """Tell whether it may go. An owner that has just ended its run still reads it, to say how it ended."""
    return (
        request.last.state in retention.states
        and all(run.updated_at < retention.until for run in request.runs)
        and not any(run.is_owned for run in request.runs)
    )


def _delete_requests(
    conn: sa.Connection, requests: Sequence[_Request], rows: Mapping[str, dict[str, Any]] | None
) -> list[_Request]:
    """Delete those that are as they were read, and keep the rows made of them, if any; return what is gone."""
    read = {request.first.uuid: request for request in requests}
    ours = sorted(run.uuid for request in requests for run in request.runs)
    # Two prunes at once would both keep what both delete; the second one waits here, and then finds nothing.
    conn.execute(sa.select(_RUNS.c.uuid).where(_RUNS.c.uuid.in_(ours)).order_by(_RUNS.c.uuid).with_for_update()).all()
    now = {each.first.uuid: each for each in _read_requests(conn, [request.first for request in requests])}
    # Only what is as it was read: in between it may have been pruned by somebody else, or repaired.
    gone = [request for uuid, request in read.items() if uuid in now and now[uuid] == request]
    uuids = [run.uuid for request in gone for run in request.runs]
    books = [run.logbook_uuid for request in gone for run in request.runs if run.logbook_uuid]
    if not uuids:
        return []
    if rows is not None:
        past.keep(conn, [rows[uuid] for uuid in uuids])
    delete_books(conn, logbooks.c.uuid.in_(books))
    for table in _OF_RUN:
        conn.execute(sa.delete(table).where(table.c.run_uuid.in_(uuids)))
    conn.execute(sa.delete(_RUNS).where(_RUNS.c.uuid.in_(uuids), _RUNS.c.parent_uuid.is_not(None)))
    conn.execute(sa.delete(_RUNS).where(_RUNS.c.uuid.in_(uuids)))
    return gone


def _add(pruned: Pruned, gone: Sequence[_Request]) -> Pruned:
    states = dict(pruned.states)
    for request in gone:
        states[request.last.state] = states.get(request.last.state, 0) + 1
    moments = [run.created_at for request in gone for run in request.runs]
    if pruned.oldest_at is not None and pruned.newest_at is not None:
        moments += [pruned.oldest_at, pruned.newest_at]
    return dataclasses.replace(
        pruned,
        requests=pruned.requests + len(gone),
        runs=pruned.runs + sum(len(request.runs) for request in gone),
        states=dict(sorted(states.items())),
        oldest_at=min(moments, default=None),
        newest_at=max(moments, default=None),
    )
