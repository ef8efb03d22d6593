"""What waits: last values win, events keep order and moment, a commit without an answer loses and doubles nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from lmflow.db import schema
from lmflow.db.deferring import Deferred, RowGone, RowKind
from lmflow.db.engine import open_engine

TABLE = sa.Table("t", sa.MetaData(), sa.Column("uuid", sa.String, primary_key=True), sa.Column("x", sa.Integer))
KIND = RowKind(TABLE)
EVENTS = schema.events


class Clock:
    """A monotonic clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def deferred(clock: Clock) -> Deferred:
    return Deferred(clock)


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sa.Connection]:
    engine = open_engine(f"sqlite:///{tmp_path}/lmflow.db")
    with engine.connect() as conn:
        conn.exec_driver_sql("CREATE TABLE lmflow_runs (uuid VARCHAR PRIMARY KEY)")
        conn.exec_driver_sql("INSERT INTO lmflow_runs VALUES ('r')")
        EVENTS.create(conn)
        TABLE.create(conn)
        conn.commit()
        yield conn
    engine.dispose()


def _commit(deferred: Deferred, conn: sa.Connection, *, heard: bool = True) -> None:
    deferred.write(conn)
    conn.commit()
    if heard:
        deferred.committed()


def _rows(conn: sa.Connection) -> dict[str, int]:
    return {row.uuid: row.x for row in conn.execute(sa.select(TABLE))}


def _events(conn: sa.Connection) -> list[tuple[int, str]]:
    query = sa.select(EVENTS.c.sequence, EVENTS.c.data).order_by(EVENTS.c.sequence)
    return [(row.sequence, row.data) for row in conn.execute(query)]


def test_last_values_win_in_one_statement(deferred: Deferred, conn: sa.Connection) -> None:
    statements: list[str] = []
    sa.event.listen(conn, "before_cursor_execute", lambda c, k, text, *rest: statements.append(text))
    deferred.put(KIND, {"uuid": "a", "x": 1}, rest={})
    deferred.put(KIND, {"uuid": "b", "x": 1}, rest={})
    deferred.put(KIND, {"uuid": "a", "x": 2})
    _commit(deferred, conn)
    assert _rows(conn) == {"a": 2, "b": 1}
    assert sum(text.startswith("INSERT") for text in statements) == 1
    assert not [text for text in statements if text.startswith("UPDATE")]
    assert deferred.since is None


def test_what_is_added_during_a_transaction_waits_for_the_next(
    deferred: Deferred, conn: sa.Connection, clock: Clock
) -> None:
    deferred.put(KIND, {"uuid": "a", "x": 1}, rest={})
    deferred.append("r", "atom", '"one"', 1)
    assert deferred.since == 100.0
    deferred.write(conn)
    clock.now = 105.0
    deferred.put(KIND, {"uuid": "a", "x": 2})
    deferred.append("r", "atom", '"two"', 1)
    conn.commit()
    deferred.committed()
    assert _rows(conn) == {"a": 1}
    assert deferred.since == 105.0
    _commit(deferred, conn)
    assert _rows(conn) == {"a": 2}
    assert _events(conn) == [(1, '"one"'), (2, '"two"')]


def test_a_commit_without_an_answer_is_repeated_once(deferred: Deferred, conn: sa.Connection) -> None:
    deferred.put(KIND, {"uuid": "a", "x": 1}, rest={})
    deferred.append("r", "atom", '"one"', 1)
    _commit(deferred, conn, heard=False)
    deferred.put(KIND, {"uuid": "a", "x": 2})
    deferred.append("r", "atom", '"two"', 1)
    _commit(deferred, conn, heard=False)
    deferred.append("r", "atom", '"three"', 1)
    _commit(deferred, conn)
    assert _rows(conn) == {"a": 2}
    assert _events(conn) == [(1, '"one"'), (2, '"two"'), (3, '"three"')]


def test_what_was_rolled_back_is_written_again(deferred: Deferred, conn: sa.Connection) -> None:
    deferred.put(KIND, {"uuid": "a", "x": 1}, rest={})
    deferred.append("r", "atom", '"one"', 1)
    deferred.write(conn)
    conn.rollback()
    _commit(deferred, conn)
    assert (_rows(conn), _events(conn)) == ({"a": 1}, [(1, '"one"')])


def test_an_event_keeps_the_moment_at_which_it_happened(deferred: Deferred, conn: sa.Connection, clock: Clock) -> None:
    deferred.append("r", "atom", '"early"', 1)
    clock.now += 50.0
    deferred.append("r", "atom", '"late"', 1)
    clock.now += 1.0
    _commit(deferred, conn)
    early, late = conn.execute(sa.select(EVENTS.c.at).order_by(EVENTS.c.sequence)).scalars()
    assert late - early == pytest.approx(50.0, abs=1.0)


def test_a_row_that_is_gone_is_told(deferred: Deferred, conn: sa.Connection) -> None:
    deferred.put(KIND, {"uuid": "never", "x": 1})
    with pytest.raises(RowGone, match="1 of 1 rows of t"):
        deferred.write(conn)


def test_which_events_wait(deferred: Deferred) -> None:
    assert not deferred.has_events(None)
    deferred.append("r", "atom", "{}", 1)
    assert deferred.has_events("atom")
    assert deferred.has_events(None)
    assert not deferred.has_events("intent")
    deferred.clear()
    assert deferred.since is None
