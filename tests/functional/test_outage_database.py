"""The database goes away in mid-run, answers nothing, or is full: nothing is done twice, lost, or claimed falsely."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lmflow.db.database import Database
from lmflow.db.engine import open_engine
from lmflow.exceptions import UnreachableError
from tests.support.invariants import Invariants
from tests.support.kills import query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.proxy import Link, Proxy
from tests.support.scene import Command, Scene
from tests.support.servers import KINDS, Server, Servers
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]

MOVE = ["migrate", "v", "--to", "B", "--request-id", "r"]
TWO_LEASES_LATE = {
    "postgresql": "SELECT 1 FROM lmflow_leases"
    " WHERE expires_at + lease_seconds < extract(epoch FROM clock_timestamp())",
    "mariadb": "SELECT 1 FROM lmflow_leases"
    " WHERE expires_at + lease_seconds < timestampdiff(microsecond, '1970-01-01', utc_timestamp(6)) / 1e6",
}
ATOMS = "SELECT data FROM lmflow_events WHERE kind = 'atom' ORDER BY at"


def _unplug_b(world: dict[str, Any]) -> None:
    get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"


def _start_pool(scene: Scene, tmp_path: Path) -> SimulatedPool:
    """Start a pool in which a migration needs a plug before, and stands still in the middle of its copy."""
    pool = scene.start(write_world(tmp_path / "p.json", _unplug_b))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    return pool


def _read(scene: Scene, statement: str) -> list[Any]:
    return scene.read_server(statement) if scene.server_url else query(scene, statement)


def _migrate_to_the_middle(scene: Scene, *args: str, **kwargs: Any) -> Command:
    child = scene.popen(*(args or MOVE), **kwargs)
    _wait_for_middle(scene, child)
    return child


def _wait_for_middle(scene: Scene, child: Command) -> None:
    statement = "SELECT 1 FROM lmflow_attempts WHERE progress > 0.05"
    assert wait_until(lambda: bool(_read(scene, statement)), child, "progress"), scene.read_output(child)


def _let_arrive(scene: Scene, pool: SimulatedPool) -> None:
    pool.control("POST", "/release_phases", {})
    scene.wait_until(lambda: pool.resident_on("v") == "B", seconds=60)


def _assert_done_once(scene: Scene, pool: SimulatedPool) -> None:
    """Every step was begun and ended once, by our records; every change was asked for once, by the pool's audit log."""
    told = [json.loads(row[0]) for row in _read(scene, ATOMS)]
    begun = Counter(str(each["atom"]) for each in told if each["state"] == "RUNNING")
    ended = Counter(str(each["atom"]) for each in told if each["state"] == "SUCCESS")
    assert set(begun.values()) == {1}, begun
    assert ended == begun
    calls = Counter(call for call in pool.changing_calls() if call not in ("task.destroy", "event.from"))
    assert {"Async.VM.pool_migrate": 1, "Async.PBD.plug": 1}.items() <= calls.items()
    assert set(calls.values()) == {1}, calls
    assert pool.runs_on("v") == ["B"]
    (run,) = scene.runs()
    assert run["state"] == "success"


def _judge(scene: Scene) -> None:
    """Look at the invariants while the database on the server is still there."""
    Invariants(scene).check()
    for pool in scene.pools:
        pool.stop()
    scene.pools.clear()
    scene.server_url = ""


@contextlib.contextmanager
def _use_proxy(scene: Scene, server: Server) -> Iterator[Proxy]:
    """Let the commands reach the database through a proxy, while the test goes straight to it."""
    with server.fresh_database() as url, Proxy(("127.0.0.1", server.port)) as proxy:
        scene.server_url = url
        yield proxy
        _judge(scene)


def _write_config(scene: Scene, proxy: Proxy) -> None:
    text = scene.write_config().read_text(encoding="utf-8")
    port = sa.make_url(scene.server_url).port
    assert text.count(f":{port}/") == 1
    scene.config_file.write_text(text.replace(f":{port}/", f":{proxy.port}/"), encoding="utf-8")


class _Loser:
    """Loses the answer to the commit of each so many-th event that is told, some times: done there, unheard here.

    Most commits end a look, of which the answer does not matter; told twice, an event would be there twice.
    """

    def __init__(self, proxy: Proxy, *, every: int, times: int) -> None:
        self.lost = 0
        self._proxy, self._every, self._times, self._seen = proxy, every, times, 0
        proxy.when("up", EVENT, self)

    def __call__(self, link: Link) -> None:
        self._seen += 1
        if self._seen % self._every == 0 and self.lost < self._times:
            self.lost += 1
            link.when("up", b"COMMIT", lambda link: link.when("down", b"", Link.cut))
        self._proxy.when("up", EVENT, self)


EVENT = b"INSERT INTO lmflow_events"


@pytest.mark.parametrize("kind", KINDS)
def test_commits_without_an_answer_and_an_outage_in_mid_run(
    servers: Servers, scene: Scene, tmp_path: Path, kind: str
) -> None:
    with _use_proxy(scene, servers.shared(kind)) as proxy:
        pool = _start_pool(scene, tmp_path)
        assert scene.run("db", "upgrade").returncode == 0
        _write_config(scene, proxy)
        child = scene.popen(*MOVE)
        assert wait_until(lambda: bool(scene.runs()), child, "the run"), scene.read_output(child)
        loser = _Loser(proxy, every=3, times=3)
        _wait_for_middle(scene, child)
        proxy.refuse()
        proxy.cut()
        _let_arrive(scene, pool)
        assert _is_noticed(scene, child)
        proxy.accept()
        proxy.silence(2)
        late = _Loser(proxy, every=2, times=2)
        assert child.wait(90) == 0, scene.read_output(child)
        assert (loser.lost, late.lost) == (3, 2)
        _assert_done_once(scene, pool)


def _is_noticed(scene: Scene, child: Command) -> bool:
    return wait_until(lambda: "could not be renewed" in scene.read_output(child)[1], child, "an outage that is noticed")


def _wait_for_two_leases(scene: Scene, kind: str) -> None:
    """Wait until nobody has renewed the lease for more than twice its length, by the database's clock."""
    scene.wait_until(lambda: bool(scene.read_server(TWO_LEASES_LATE[kind])), seconds=60)


@pytest.mark.parametrize("kind", KINDS)
def test_an_outage_that_lasts_two_leases(servers: Servers, scene: Scene, tmp_path: Path, kind: str) -> None:
    scene.waits = {"lease_seconds": 2.0, "heartbeat_seconds": 0.5, "outage_seconds": 60.0}
    with _use_proxy(scene, servers.shared(kind)) as proxy:
        pool = _start_pool(scene, tmp_path)
        _write_config(scene, proxy)
        child = _migrate_to_the_middle(scene)
        proxy.refuse()
        proxy.cut()
        _let_arrive(scene, pool)
        _wait_for_two_leases(scene, kind)
        assert _is_noticed(scene, child), scene.read_output(child)
        assert child.poll() is None
        proxy.accept()
        assert child.wait(90) == 0, scene.read_output(child)
        _assert_done_once(scene, pool)


@pytest.mark.parametrize("kind", KINDS)
def test_an_owner_cut_off_from_the_database_while_an_heir_on_another_machine_waits(
    servers: Servers, scene: Scene, tmp_path: Path, kind: str
) -> None:
    scene.waits = {"lease_seconds": 2.0, "heartbeat_seconds": 0.5, "outage_seconds": 60.0}
    with _use_proxy(scene, servers.shared(kind)) as proxy:
        pool = _start_pool(scene, tmp_path)
        straight = scene.directory / "straight.conf"
        straight.write_text(scene.write_config().read_text(encoding="utf-8"), encoding="utf-8")
        _write_config(scene, proxy)
        child = _migrate_to_the_middle(scene)
        proxy.refuse()
        proxy.cut()
        _put_on_another_machine(scene)
        heir = scene.popen("resume", "r", env={"LMFLOW_CONFIG_FILE": str(straight)})
        assert wait_until(lambda: "was owned by" in scene.read_output(heir)[1], heir, "it waits")
        _let_arrive(scene, pool)
        assert heir.wait(90) == 0, scene.read_output(heir)
        assert child.poll() is None, scene.read_output(child)
        written = _read(scene, ATOMS)
        proxy.accept()
        assert child.wait(90) == 10, scene.read_output(child)
        assert _read(scene, ATOMS) == written
        calls = Counter(call for call in pool.changing_calls() if call not in ("task.destroy", "event.from"))
        assert (calls["Async.VM.pool_migrate"], calls["Async.PBD.plug"]) == (1, 1), calls
        assert len(pool.effects("v")) == 1
        assert pool.runs_on("v") == ["B"]
        assert [run["state"] for run in scene.runs()] == ["success"]


def _put_on_another_machine(scene: Scene) -> None:
    """Have the lease say so: nobody here can see whether its owner lives."""
    engine = sa.create_engine(scene.server_url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        conn.exec_driver_sql("UPDATE lmflow_leases SET machine = 'other/0123', boot_id = 'another'")


def test_an_sqlite_file_that_somebody_locks_for_a_while(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = _start_pool(scene, tmp_path)
    child = _migrate_to_the_middle(scene)
    with contextlib.closing(sqlite3.connect(scene.database_file, timeout=30, isolation_level=None)) as somebody:
        somebody.execute("BEGIN EXCLUSIVE")
        _let_arrive(scene, pool)
        scene.wait_until(lambda: not pool.get("VM", "v")["current_operations"])
        assert child.poll() is None
        somebody.execute("ROLLBACK")
    assert child.wait(60) == 0, scene.read_output(child)
    _assert_done_once(scene, pool)


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_is_gone_for_good_and_comes_back_too_late(
    servers: Servers, scene: Scene, tmp_path: Path, kind: str
) -> None:
    scene.waits = {"outage_seconds": 1.0}
    with _use_proxy(scene, servers.shared(kind)) as proxy:
        pool = _start_pool(scene, tmp_path)
        _write_config(scene, proxy)
        child = _migrate_to_the_middle(scene)
        proxy.refuse()
        proxy.cut()
        assert child.wait(60) == 9, scene.read_output(child)
        _assert_nothing_false(scene, pool)
        _let_arrive(scene, pool)
        proxy.accept()
        _assert_taken_up(scene, pool)


def _assert_nothing_false(scene: Scene, pool: SimulatedPool) -> None:
    """What is stored is true of a run that its owner had to leave in the middle of the copy."""
    (run,) = scene.runs()
    assert run["state"] == "running"
    assert [row[0] for row in _read(scene, "SELECT state FROM lmflow_attempts")] == ["accepted"]
    told = [json.loads(row[0]) for row in _read(scene, ATOMS)]
    ended = {each["atom"] for each in told if each["state"] in ("SUCCESS", "FAILURE", "REVERTED", "REVERTING")}
    assert "submit_pool_migrate" in ended
    assert "await_pool_migrate" not in ended
    assert "Async.PBD.unplug" not in pool.changing_calls()


def _assert_taken_up(scene: Scene, pool: SimulatedPool) -> None:
    status = scene.run("status")
    assert status.returncode == 0, status.stderr
    assert "INTERRUPTED" in status.stdout
    assert "No VM is down" in status.stdout
    resumed = scene.run("resume", "r")
    assert resumed.returncode == 0, resumed.stderr
    assert len(pool.audit("VM.pool_migrate")) == 1
    assert pool.runs_on("v") == ["B"]


FULL = """
import pathlib, sqlalchemy

mark = pathlib.Path({mark!r})

@sqlalchemy.event.listens_for(sqlalchemy.Engine, "begin")
def limit(conn):
    pages = conn.exec_driver_sql("PRAGMA page_count").scalar() if mark.exists() else 2**30
    conn.exec_driver_sql(f"PRAGMA max_page_count = {{pages}}")
"""


def test_a_disk_without_room_for_the_sqlite_file(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    scene.waits = {"outage_seconds": 1.0}
    mark, program = tmp_path / "full", tmp_path / "program"
    program.mkdir()
    (program / "sitecustomize.py").write_text(FULL.format(mark=str(mark)), encoding="utf-8")
    env = {"PYTHONPATH": str(program)}
    pool = _start_pool(scene, tmp_path)
    child = _migrate_to_the_middle(scene, *MOVE, env=env, fresh=True)
    mark.touch()
    _let_arrive(scene, pool)
    assert child.wait(60) == 9, scene.read_output(child)
    told = scene.read_output(child)[1]
    assert "database or disk is full" in told
    assert "Traceback" not in told
    (run,) = scene.runs()
    assert run["state"] == "running"
    assert "Async.PBD.unplug" not in pool.changing_calls()
    assert scene.run("status", env=env, fresh=True).returncode == 0  # reading needs no room
    mark.unlink()
    _assert_taken_up(scene, pool)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_whose_files_may_not_grow(servers: Servers, scene: Scene, tmp_path: Path, kind: str) -> None:
    scene.waits = {"outage_seconds": 1.0}
    server = servers.start_own(kind)
    try:
        with server.fresh_database() as url:
            scene.server_url = url
            pool = _start_pool(scene, tmp_path)
            child = _migrate_to_the_middle(scene)
            _limit_files(server, 8192)
            assert child.wait(90) == 9, scene.read_output(child)
            assert "Traceback" not in scene.read_output(child)[1]
            server.crash()
            server.start()
            _assert_nothing_false(scene, pool)
            _let_arrive(scene, pool)
            _assert_taken_up(scene, pool)
            _judge(scene)
    finally:
        servers.end_own()


def _limit_files(server: Server, size: int) -> None:
    """Let the server write no file further than that; as its account, because root may not do it everywhere."""
    assert server.process is not None
    main = server.process.pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text(encoding="ascii").split()
    for pid in (main, *children):
        with contextlib.suppress(AssertionError):  # a backend that has just ended
            server._call("prlimit", f"--pid={pid}", f"--fsize={size}:")


def test_an_sqlite_file_that_was_moved_away_is_an_outage_and_not_made_anew(tmp_path: Path) -> None:
    home = tmp_path / "with space & 100%#"
    database = Database.open(f"sqlite:///{home}/lmflow.db", outage_seconds=0)
    database.runs.list()
    database._transactor.engine.dispose()
    (home / "lmflow.db").rename(tmp_path / "away")
    with pytest.raises(UnreachableError, match="unable to open"):
        database.runs.list()
    assert list(home.iterdir()) == []
    (tmp_path / "away").rename(home / "lmflow.db")
    assert database.runs.list() == ()
    database.close()


def test_a_partner_that_vanished_is_noticed_by_the_kernel(servers: Servers) -> None:
    with servers.shared("postgresql").fresh_database() as url:
        engine = open_engine(url)
        with engine.connect() as conn, contextlib.closing(socket.socket(fileno=_copy_descriptor(conn))) as copy:
            assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
            assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        engine.dispose()


def _copy_descriptor(conn: sa.Connection) -> int:
    connection: Any = conn.connection.driver_connection
    return os.dup(connection.fileno())
