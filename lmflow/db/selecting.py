"""Which runs are wanted, and the statements that find them without a look at all the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

import sqlalchemy as sa

from lmflow.db import records, schema
from lmflow.exceptions import DamagedError
from lmflow.models import Run, RunState

_RUNS = schema.runs
_PATTERN = "00000000-0000-0000-0000-000000000000"
_DIGITS = frozenset("0123456789abcdef")
_OPEN = frozenset(state for state in RunState if not state.is_terminal)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are wanted: those to which all of it applies. Without anything, all.

    ``vm``: its name or UUID. ``since`` and ``until`` are seconds since 1970 by the database's clock, of the creation;
    ``until`` is left out itself.
    """

    states: Collection[RunState] | None = None
    vm: str = ""
    pool_profile: str = ""
    since: float | None = None
    until: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """The runs that were found, newest first, and those of them that cannot be read."""

    runs: tuple[Run, ...] = ()
    damaged: tuple[DamagedError, ...] = ()


def select(conn: sa.Connection, wanted: RunFilter, limit: int | None) -> Selection:
    """Read the newest runs that are wanted.

    An index gives the rows of one state, or of one VM, newest first; of several states or names it would give all, to
    be sorted. So each is asked for by itself, up to the limit. The runs of a pool are looked for from the newest on:
    those of a pool that has hardly any cost a look at all.
    """
    found = {row.uuid: row for condition in _list_conditions(wanted) for row in conn.execute(_order(condition, limit))}
    rows = sorted(found.values(), key=lambda row: (row.created_at, row.uuid), reverse=True)
    return make_selection(rows[:limit])


def make_selection(rows: Iterable[sa.Row[tuple[object, ...]]]) -> Selection:
    """Make runs of rows; a row that is no run is told of, and keeps nobody from the others."""
    runs, damaged = [], []
    for row in rows:
        try:
            runs.append(records.make_run(row))
        except DamagedError as error:
            damaged.append(error)
    return Selection(tuple(runs), tuple(damaged))


def make_prefix_condition(text: str, column: sa.Column[str] = _RUNS.c.uuid) -> sa.ColumnElement[bool] | None:
    """Return the condition for UUIDs that begin with the text, None when none can.

    LIKE uses an index in no database that compares as it likes; from the first to the last UUID there is, all do.
    """
    low = text.lower()
    fits = all(each == "-" if place == "-" else each in _DIGITS for each, place in zip(low, _PATTERN, strict=False))
    if not 0 < len(low) <= len(_PATTERN) or not fits:
        return None
    rest = _PATTERN[len(low) :]
    return column.between(low + rest, low + rest.replace("0", "f"))


def _list_conditions(wanted: RunFilter) -> list[sa.ColumnElement[bool]]:
    common: list[sa.ColumnElement[bool]] = []
    if wanted.pool_profile:
        common.append(_RUNS.c.pool_profile == wanted.pool_profile)
    if wanted.since is not None:
        common.append(_RUNS.c.created_at >= wanted.since)
    if wanted.until is not None:
        common.append(_RUNS.c.created_at < wanted.until)
    names = [_RUNS.c.vm_uuid == wanted.vm, _RUNS.c.vm_name == wanted.vm[: schema.NAME_LENGTH]]
    of_vm = names if wanted.vm else [sa.true()]
    return [sa.and_(*common, state, name) for state in _list_states(wanted.states) for name in of_vm]


def _list_states(states: Collection[RunState] | None) -> list[sa.ColumnElement[bool]]:
    if states is None:
        return [sa.true()]
    # Whoever holds a VM is open, also in a state that a newer lmflow has written.
    holding = [_RUNS.c.active_key > ""] if set(states) >= _OPEN else []
    one_by_one = [state for state in RunState if state in states and not (holding and state in _OPEN)]
    return [*holding, *(_RUNS.c.state == state.value for state in one_by_one)]


def _order(condition: sa.ColumnElement[bool], limit: int | None) -> sa.Select[tuple[object, ...]]:
    return sa.select(_RUNS).where(condition).order_by(_RUNS.c.created_at.desc(), _RUNS.c.uuid.desc()).limit(limit)
