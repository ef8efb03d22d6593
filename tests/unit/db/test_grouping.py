"""Group commit: one transaction for many threads, and each hears of its own unit."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from lmflow.db import schema
from lmflow.db.engine import open_engine
from lmflow.db.fence import Fence
from lmflow.db.transactions import Transactor
from lmflow.exceptions import LeaseLost, UnreachableError

THREADS = 32


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/lmflow.db")
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE t (x INTEGER PRIMARY KEY)")
        conn.exec_driver_sql("CREATE TABLE lmflow_runs (uuid VARCHAR PRIMARY KEY)")
        schema.leases.create(conn)
        schema.events.create(conn)
        for number in range(THREADS):
            conn.exec_driver_sql("INSERT INTO lmflow_runs VALUES (?)", (f"run-{number}",))
            conn.execute(sa.insert(schema.leases).values(_lease(f"run-{number}")))
    yield engine
    engine.dispose()


def _lease(run_uuid: str) -> dict[str, object]:
    texts = dict.fromkeys(("machine", "boot_id", "started", "session_uuid"), "")
    return {"run_uuid": run_uuid, "token": 1, "pid": 1, "lease_seconds": 9.0, "expires_at": 0.0, "beat": 0, **texts}


def _insert(number: int) -> Callable[[sa.Connection], int]:
    def work(conn: sa.Connection) -> int:
        conn.exec_driver_sql("INSERT INTO t VALUES (?)", (number,))
        return number

    return work


def _stored(transactor: Transactor) -> set[int]:
    return transactor.read(lambda conn: set(conn.exec_driver_sql("SELECT x FROM t").scalars()))


class Crowd:
    """Threads that all wait behind a leader; what each was told."""

    def __init__(self, transactor: Transactor) -> None:
        self.transactor = transactor
        self.told: dict[int, object] = {}
        self.began, self.go = threading.Event(), threading.Event()
        self.threads: list[threading.Thread] = []

    def _hold_up(self, conn: sa.Connection) -> None:
        self.began.set()
        self.go.wait()

    def _call(self, number: int, work: Callable[[sa.Connection], object], fence: Fence | None, patient: bool) -> None:
        try:
            self.told[number] = self.transactor.write(work, fence, patient=patient)
        except (LeaseLost, UnreachableError, sa_exc.IntegrityError) as error:
            self.told[number] = error

    def start(
        self, number: int, work: Callable[[sa.Connection], object], fence: Fence | None, *, patient: bool = True
    ) -> None:
        thread = threading.Thread(target=self._call, args=(number, work, fence, patient))
        self.threads.append(thread)
        thread.start()

    def lead(self) -> None:
        self.start(-1, self._hold_up, None)
        self.began.wait()

    def run(self) -> None:
        """Let the leader go once all others queue."""
        committer = self.transactor._committer
        while len(committer._queue) < len(self.threads) - 1:
            pass
        self.go.set()
        for thread in self.threads:
            thread.join()


def test_what_waits_behind_a_commit_is_one_transaction_and_who_lost_the_lease_hears_of_it(engine: sa.Engine) -> None:
    crowd, commits = Crowd(Transactor(engine)), list[object]()
    sa.event.listen(engine, "commit", commits.append)
    fences = [Fence(f"run-{number}", 1) for number in range(THREADS)]
    fences[7].token = 2
    fences[7].deferred.append("run-7", "atom", "{}", 1)
    fences[8].deferred.append("run-8", "atom", "{}", 1)
    crowd.lead()
    for number, fence in enumerate(fences):
        crowd.start(number, _insert(number), fence)
    crowd.run()
    assert isinstance(crowd.told[7], LeaseLost)
    others = set(range(THREADS)) - {7}
    assert {number for number in others if crowd.told[number] == number} == others
    assert len(commits) == 2, "the leader's own, and that of all others"
    assert _stored(crowd.transactor) == others
    assert [fence.deferred_since for fence in fences] == [None] * THREADS
    events = crowd.transactor.read(lambda conn: conn.execute(sa.select(schema.events.c.run_uuid)).scalars().all())
    assert events == ["run-8"]


def test_a_unit_that_fails_fails_alone(engine: sa.Engine) -> None:
    crowd = Crowd(Transactor(engine))
    crowd.transactor.write(_insert(1))
    crowd.lead()
    for number in range(5):
        crowd.start(number, _insert(number), Fence(f"run-{number}", 1))
    crowd.run()
    assert isinstance(crowd.told[1], sa_exc.IntegrityError)
    assert _stored(crowd.transactor) == {0, 1, 2, 3, 4}
    assert [crowd.told[number] for number in (0, 2, 3, 4)] == [0, 2, 3, 4]


def test_an_outage_in_mid_group_befalls_all_and_each_has_its_own_patience(engine: sa.Engine) -> None:
    crowd, broken = Crowd(Transactor(engine)), threading.Event()

    def commit(conn: sa.Connection) -> None:
        if conn.info.pop("many", None) and not broken.is_set():
            broken.set()
            error = sa_exc.OperationalError("COMMIT", {}, Exception("the server closed the connection"))
            raise error

    def work(number: int) -> Callable[[sa.Connection], int]:
        def mark(conn: sa.Connection) -> int:
            conn.info["many"] = True
            return _insert(number)(conn)

        return mark

    sa.event.listen(engine, "commit", commit)
    crowd.lead()
    for number in range(4):
        crowd.start(number, work(number), Fence(f"run-{number}", 1), patient=number != 2)
    crowd.run()
    assert broken.is_set()
    assert isinstance(crowd.told[2], UnreachableError), "who is not patient is told at once"
    assert [crowd.told[number] for number in (0, 1, 3)] == [0, 1, 3]
    assert _stored(crowd.transactor) == {0, 1, 3}


def test_an_interrupt_of_the_leader_befalls_nobody_else(engine: sa.Engine) -> None:
    transactor, interrupted = Transactor(engine), list[str]()
    crowd = Crowd(transactor)

    def stop(conn: sa.Connection) -> None:
        if threading.current_thread().name == "leader":
            raise KeyboardInterrupt

    def lead() -> None:
        try:
            transactor.write(stop, Fence("run-0", 1))
        except KeyboardInterrupt:
            interrupted.append("leader")

    crowd.lead()
    first = threading.Thread(target=lead, name="leader")
    first.start()
    while not transactor._committer._queue:
        pass
    crowd.threads.append(first)
    crowd.start(1, _insert(1), Fence("run-1", 1))
    crowd.run()
    assert interrupted == ["leader"]
    assert crowd.told[1] == 1
    assert _stored(transactor) == {1}
    transactor.write(_insert(2))  # nobody leads any more


def test_a_barrier_without_anything_deferred_is_no_transaction(engine: sa.Engine) -> None:
    transactor, begun = Transactor(engine), list[object]()
    sa.event.listen(engine, "begin", begun.append)
    transactor.barrier(Fence("run-1", 1))
    assert begun == []


def test_the_deferred_of_a_lost_lease_is_dropped_and_readers_go_on(engine: sa.Engine) -> None:
    transactor, lost = Transactor(engine), Fence("run-1", 9)
    lost.deferred.append("run-1", "atom", "{}", 1)
    transactor.note_deferring(lost)
    transactor.catch_up("run-1")
    assert lost.deferred_since is None
