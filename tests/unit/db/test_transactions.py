"""What counts as an outage, and how long it is waited for."""

import random
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from lmflow.db.engine import open_engine
from lmflow.db.transactions import Transactor, is_outage
from lmflow.exceptions import ConfigurationError, UnreachableError


class Clock:
    """A clock that goes on only while somebody sleeps; ``then`` happens during the sleep of that number."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self.then: dict[int, object] = {}

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        action = self.then.get(len(self.pauses))
        if callable(action):
            action()

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def engine(home: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{home}/lmflow.db")
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE t (x INTEGER PRIMARY KEY)")
    yield engine
    engine.dispose()


def _insert(conn: sa.Connection) -> int:
    conn.exec_driver_sql("INSERT INTO t VALUES (1)")
    return 1


def _take_away(engine: sa.Engine, home: Path) -> Path:
    """Let the database vanish as a disk does that is unmounted."""
    engine.dispose()
    away = home.with_name("away")
    shutil.move(home, away)
    return away


def test_an_outage_is_waited_out(engine: sa.Engine, home: Path, clock: Clock) -> None:
    away = _take_away(engine, home)
    clock.then[3] = lambda: shutil.move(away, home)
    transactor = Transactor(engine, outage_seconds=60, sleep=clock.sleep, monotonic=clock.monotonic)
    assert transactor.write(_insert) == 1
    assert len(clock.pauses) == 3
    assert transactor.read(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM t").scalar()) == 1


def test_an_outage_that_lasts_is_reported_once_the_time_is_over(engine: sa.Engine, home: Path, clock: Clock) -> None:
    _take_away(engine, home)
    transactor = Transactor(engine, outage_seconds=60, sleep=clock.sleep, monotonic=clock.monotonic)
    with pytest.raises(UnreachableError, match="did not answer for 6") as lost:
        transactor.write(_insert)
    assert "unable to open database file" in lost.value.tried[0]
    assert 60 <= clock.now - 1000 < 64
    waited = len(clock.pauses)
    with pytest.raises(UnreachableError):
        transactor.write(_insert)
    assert len(clock.pauses) == waited, "the same outage is not waited for twice"


def test_after_an_outage_patience_is_new(engine: sa.Engine, home: Path, clock: Clock) -> None:
    transactor = Transactor(engine, outage_seconds=60, sleep=clock.sleep, monotonic=clock.monotonic)
    away = _take_away(engine, home)
    with pytest.raises(UnreachableError):
        transactor.write(_insert)
    shutil.move(away, home)
    transactor.write(_insert)
    waited = len(clock.pauses)
    _take_away(engine, home)
    with pytest.raises(UnreachableError):
        transactor.read(_insert)
    assert len(clock.pauses) > waited


def test_pauses_grow_and_differ_between_processes(engine: sa.Engine, home: Path, clock: Clock) -> None:
    _take_away(engine, home)
    random.seed(7)
    transactor = Transactor(engine, outage_seconds=30, sleep=clock.sleep, monotonic=clock.monotonic)
    with pytest.raises(UnreachableError):
        transactor.write(_insert)
    assert clock.pauses[0] < 0.1
    assert 1.0 <= max(clock.pauses) <= 3.0
    assert len({round(pause, 6) for pause in clock.pauses[-5:]}) == 5


def test_closing_ends_all_waiting(engine: sa.Engine, home: Path) -> None:
    _take_away(engine, home)
    transactor = Transactor(engine, outage_seconds=3600)
    waiting: list[UnreachableError] = []

    def wait() -> None:
        with pytest.raises(UnreachableError) as lost:
            transactor.write(_insert)
        waiting.append(lost.value)

    thread = threading.Thread(target=wait)
    thread.start()
    transactor.close()
    thread.join()
    assert len(waiting) == 1


def test_bad_data_is_raised_at_once(engine: sa.Engine, clock: Clock) -> None:
    transactor = Transactor(engine, sleep=clock.sleep, monotonic=clock.monotonic)
    transactor.write(_insert)
    with pytest.raises(sa_exc.IntegrityError):
        transactor.write(_insert)
    with pytest.raises(sa_exc.OperationalError, match="no such table"):
        transactor.write(lambda conn: conn.exec_driver_sql("INSERT INTO missing VALUES (1)"))
    assert clock.pauses == []


def test_a_damaged_file_is_a_matter_of_configuration(engine: sa.Engine, home: Path, clock: Clock) -> None:
    engine.dispose()
    file = home / "lmflow.db"
    file.write_bytes(b"not a database at all, and long enough to be looked at " * 100)
    with pytest.raises(ConfigurationError, match="not a database"):
        Transactor(engine, sleep=clock.sleep).write(_insert)
    assert clock.pauses == []


def _wrapped(cause: Exception, kind: type[sa_exc.DBAPIError], *, lost: bool = False) -> sa_exc.DBAPIError:
    return kind("UPDATE x", {}, cause, connection_invalidated=lost)


def _sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (_wrapped(_sqlite(5), sa_exc.OperationalError), True),
        (_wrapped(_sqlite(5 | 2 << 8), sa_exc.OperationalError), True),
        (_wrapped(_sqlite(10 | 1 << 8), sa_exc.OperationalError), True),
        (_wrapped(_sqlite(13), sa_exc.OperationalError), True),
        (_wrapped(_sqlite(1), sa_exc.OperationalError), False),
        (_wrapped(_sqlite(8), sa_exc.OperationalError), False),
        (_wrapped(Exception(2013, "lost"), sa_exc.OperationalError), True),
        (_wrapped(Exception(1054, "unknown column"), sa_exc.OperationalError), False),
        (_wrapped(Exception("server closed the connection"), sa_exc.OperationalError), True),
        (_wrapped(Exception("connection already closed"), sa_exc.InterfaceError, lost=True), True),
        (_wrapped(Exception("value too long"), sa_exc.DataError), False),
        (_wrapped(Exception("no such column"), sa_exc.ProgrammingError), False),
        (sa_exc.TimeoutError("QueuePool limit"), True),
        (ValueError("ours"), False),
    ],
)
def test_an_outage_is_told_from_bad_data(error: Exception, outage: bool) -> None:
    assert is_outage(error) is outage


def test_an_errors_words_hold_no_password() -> None:
    engine = open_engine("postgresql+psycopg://me:hidden@127.0.0.1:1/none?connect_timeout=1")
    with pytest.raises(UnreachableError) as lost:
        Transactor(engine, outage_seconds=0).write(lambda conn: None)
    assert "hidden" not in f"{lost.value} {lost.value.tried} {lost.value.advice}"
    assert "127.0.0.1" in lost.value.message
    engine.dispose()


def test_sixty_seconds_are_waited_out_within_the_usual_patience(engine: sa.Engine, home: Path, clock: Clock) -> None:
    away = _take_away(engine, home)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now >= 1060 and away.exists():
            shutil.move(away, home)

    transactor = Transactor(engine, sleep=sleep, monotonic=clock.monotonic)
    assert transactor.write(_insert) == 1
    assert 60 <= clock.now - 1000 < 64


def test_what_other_threads_can_do_does_not_prolong_an_outage(engine: sa.Engine, clock: Clock) -> None:
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE big (x BLOB)")
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar()

    def fill(conn: sa.Connection) -> None:
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        conn.exec_driver_sql("INSERT INTO big SELECT randomblob(100000)")

    def beat() -> None:
        thread = threading.Thread(
            target=transactor.read, args=(lambda conn: conn.exec_driver_sql("SELECT 1").scalar(),)
        )
        thread.start()
        thread.join()

    clock.then = dict.fromkeys(range(1, 200), beat)
    transactor = Transactor(engine, outage_seconds=60, sleep=clock.sleep, monotonic=clock.monotonic)
    with pytest.raises(UnreachableError, match="database or disk is full"):
        transactor.write(fill)
    assert clock.now - 1000 < 64
