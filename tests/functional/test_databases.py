"""The installed command with its runs on a PostgreSQL and on a MariaDB server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import sqlalchemy as sa

from tests.support.invariants import Invariants
from tests.support.kills import kill, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Command, Scene
from tests.support.servers import KINDS, Server, Servers
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

MOVE = ["migrate", "v", "--to", "B", "--request-id", "change-4711"]


def _dump(scene: Scene) -> None:
    """Write all that is stored into a file of the scene, for the judge who looks for secrets there."""
    engine = sa.create_engine(scene.server_url, poolclass=sa.NullPool)
    metadata = sa.MetaData()
    with contextlib.closing(engine.connect()) as conn:
        metadata.reflect(conn)
        rows = [str(row) for table in metadata.sorted_tables for row in conn.execute(table.select())]
    scene.outputs.mkdir(exist_ok=True)
    (scene.outputs / "database.dump").write_text("\n".join(rows), encoding="utf-8")


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """The server that all tests share."""
    return servers.shared(request.param)


@pytest.fixture(params=KINDS)
def own_server(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Server]:
    """A server that the test may stop; at its end it has to run."""
    yield servers.start_own(request.param, durable=True)
    servers.end_own()


@contextlib.contextmanager
def _use(server: Server, scene: Scene) -> Iterator[None]:
    """Keep the runs of the scene on the server, and look afterwards that its password was told to nobody."""
    with server.fresh_database() as url:
        scene.server_url = url
        yield
        for path in (*scene.outputs.glob("*"), *(scene.directory / "home").rglob("*.log")):
            assert server.secret not in path.read_text(encoding="utf-8"), path
        _dump(scene)
        Invariants(scene).check()


@pytest.fixture
def database(server: Server, scene: Scene) -> Iterator[str]:
    with _use(server, scene):
        yield scene.server_url or ""


@pytest.fixture
def own_database(own_server: Server, scene: Scene) -> Iterator[Server]:
    with _use(own_server, scene):
        yield own_server


def start_pool(scene: Scene, tmp_path: Path, *, hold: bool = False) -> SimulatedPool:
    pool = scene.start(write_world(tmp_path / "p.json"))
    if hold:
        pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    return pool


def let_go(pool: SimulatedPool) -> None:
    pool.control("POST", "/release_phases", {})


def wait_for_progress(scene: Scene, child: Command) -> None:
    def reached() -> bool:
        return bool(scene.read_server("SELECT 1 FROM lmflow_attempts WHERE progress > 0.05"))

    assert wait_until(reached, child, "progress"), scene.read_output(child)


def assert_moved_once(pool: SimulatedPool) -> None:
    assert pool.runs_on("v") == ["B"]
    assert len(pool.audit("VM.pool_migrate")) == 1


def assert_told_in_one_line(done: CompletedProcess[str], *secrets: str) -> None:
    lines = done.stderr.splitlines()
    assert sum(line.startswith("lmflow: ") for line in lines) == 1, done.stderr
    assert all(line.startswith(("lmflow: ", "  tried: ", "  try: ")) for line in lines), done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not [secret for secret in secrets if secret in done.stderr + done.stdout]


def test_a_database_is_upgraded_and_a_run_is_stored_and_told(database: str, scene: Scene, tmp_path: Path) -> None:
    pool = start_pool(scene, tmp_path)
    for words in ("was new", "is at version"):
        upgraded = scene.run("db", "upgrade")
        assert upgraded.returncode == 0, upgraded.stderr
        assert words in upgraded.stderr
    done = scene.run(*MOVE, "--reason", "größer 🙂")
    assert done.returncode == 0, done.stderr
    assert_moved_once(pool)
    (run,) = scene.rows("run", "list", "--all")
    assert (run["request_id"], run["state"]) == ("change-4711", "success")
    shown = json.loads(scene.run("run", "show", run["run"][:6], "-f", "json").stdout)
    assert shown["reason"] == "größer 🙂"
    assert {event["kind"] for event in shown["events"]} >= {"atom", "state"}
    assert json.loads(scene.run("why", "change-4711", "-f", "json").stdout)["state"] == "success"


def test_killed_in_mid_migration(database: str, scene: Scene, tmp_path: Path) -> None:
    pool = start_pool(scene, tmp_path, hold=True)
    child = scene.popen(*MOVE, fresh=True)
    wait_for_progress(scene, child)
    kill(child)
    before = set(pool.records("session"))
    heir = scene.popen("resume", fresh=True)
    wait_until(lambda: "still migrating" in scene.read_output(heir)[1], heir, "re-attached")
    let_go(pool)
    assert heir.wait(60) == 0, scene.read_output(heir)
    assert_moved_once(pool)
    assert not before & set(pool.records("session")), "the session of the dead owner"


def test_two_requests_for_one_vm_and_one_request_twice(database: str, scene: Scene, tmp_path: Path) -> None:
    pool = start_pool(scene, tmp_path, hold=True)
    first = scene.popen(*MOVE)
    wait_for_progress(scene, first)
    (run,) = scene.runs()
    second = scene.run("migrate", "v", "--to", "C")
    assert second.returncode == 10
    assert run["run"] in second.stderr
    assert scene.run("resume", "change-4711").returncode == 10
    again = scene.popen(*MOVE)
    let_go(pool)
    assert first.wait(60) == 0, scene.read_output(first)
    assert again.wait(60) == 0, scene.read_output(again)
    assert_moved_once(pool)
    assert [r["run"] for r in scene.runs()] == [run["run"]]


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "crashed"])
def test_a_server_that_comes_back_in_mid_run(own_database: Server, scene: Scene, tmp_path: Path, crash: bool) -> None:
    pool = start_pool(scene, tmp_path, hold=True)
    child = scene.popen(*MOVE)
    wait_for_progress(scene, child)
    if crash:
        own_database.crash()
    else:
        own_database.stop()
    let_go(pool)
    scene.wait_until(lambda: pool.resident_on("v") == "B")
    assert child.poll() is None, scene.read_output(child)
    own_database.start()
    assert child.wait(60) == 0, scene.read_output(child)
    assert_moved_once(pool)
    (run,) = scene.runs()
    assert run["state"] == "success"


def test_a_server_that_stays_away_and_a_resume_when_it_is_back(
    own_database: Server, scene: Scene, tmp_path: Path
) -> None:
    scene.waits = {"outage_seconds": 1.0}
    pool = start_pool(scene, tmp_path, hold=True)
    child = scene.popen(*MOVE)
    wait_for_progress(scene, child)
    own_database.stop()
    assert child.wait(60) == 9, scene.read_output(child)
    told = scene.read_output(child)[1]
    assert "Traceback" not in told
    (line,) = (each for each in told.splitlines() if each.startswith("lmflow: "))
    assert "did not answer" in line
    assert "127.0.0.1" in line
    refused = scene.run("status")
    assert refused.returncode == 9
    assert_told_in_one_line(refused, own_database.secret)
    own_database.start()
    let_go(pool)
    resumed = scene.run("resume")
    assert resumed.returncode == 0, resumed.stderr
    assert_moved_once(pool)


def test_a_server_that_does_not_let_us_in(server: Server, scene: Scene, tmp_path: Path) -> None:
    start_pool(scene, tmp_path)
    with server.fresh_database() as url:
        name = sa.make_url(url).database or ""
        for closed in (server.url(name, password="not-it"), server.url(name, "nobody"), server.url("nowhere")):
            scene.server_url = closed
            scene.write_config()
            for command in (MOVE, ["db", "upgrade"]):
                done = scene.run(*command)
                assert done.returncode == 9, done.stderr
                assert_told_in_one_line(done, "not-it", server.secret)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("oracle://me:not-it@host/name", "oracle"),
        ("mysql+pymysql://me:not-it@host/name", "mariadb+pymysql"),
        ("postgresql+nosuch://me:not-it@host/name", "lmflow[postgresql]"),
        ("mariadb+nosuch://me:not-it@host/name", "lmflow[mariadb]"),
        ("mariadb+pymysql://me:not-it@host:port/name", "SQLAlchemy URL"),
    ],
)
def test_a_url_that_lmflow_cannot_use(scene: Scene, tmp_path: Path, url: str, words: str) -> None:
    scene.server_url = url
    scene.write_config()
    done = scene.run("status")
    assert done.returncode == 2, done.stderr
    assert_told_in_one_line(done, "not-it")
    assert words in done.stderr


@pytest.mark.parametrize(
    ("module", "url"), [("psycopg", "postgresql+psycopg"), ("pymysql", "mariadb+pymysql")], ids=KINDS
)
def test_a_driver_that_is_not_installed(scene: Scene, tmp_path: Path, module: str, url: str) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / f"{module}.py").write_text(f'raise ModuleNotFoundError("No module named {module!r}")')
    scene.server_url = f"{url}://me:not-it@127.0.0.1/name"
    scene.write_config()
    done = scene.run("status", env={"PYTHONPATH": str(tmp_path / "without")}, fresh=True)
    assert done.returncode == 2, done.stderr
    assert_told_in_one_line(done, "not-it")
    assert f"pip install 'lmflow[{url.partition('+')[0]}]'" in done.stderr
