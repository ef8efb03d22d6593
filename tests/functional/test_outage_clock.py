"""Clocks that are wrong, or are set in mid-run, steal no living lease and decide nothing."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
import sqlalchemy as sa

from lmflow.db import schema
from lmflow.db.clock import Now
from lmflow.db.database import Database, Fence
from lmflow.db.owner import current_owner
from lmflow.exceptions import FlowSuspended, LockedError
from lmflow.models import Lease, Notice, Run, Waits
from lmflow.runner.takeover import take_lease
from tests.functional.db.requests import FLOWS, make_request
from tests.support.invariants import Invariants
from tests.support.kills import kill, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.proxy import put_before
from tests.support.scene import Command, Scene
from tests.support.servers import Servers
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]

# Slow, so that an owner that waits costs little.
SCALE = 25.0
MOVE = ["migrate", "v", "--to", "B", "--request-id", "r"]


@functools.cache
def _find_library() -> str:
    """Return what the program faketime preloads, by asking it."""
    told = subprocess.run(
        ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
    )
    return told.stdout.strip()


class Clock:
    """The wall clock of the commands that have its ``environment``; the other clock goes on, as in a machine."""

    def __init__(self, directory: Path, offset: str = "+0") -> None:
        self._file = directory / "clock"
        self.set(offset)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": _find_library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        """Set it beside the true time: ``+1h``, ``-3d``; whoever runs sees it within a second."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{offset}\n", encoding="ascii")
        draft.rename(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def _hold_in_mid_migration(scene: Scene, pool: SimulatedPool, clock: Clock) -> Command:
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    child = scene.popen(*MOVE, env=clock.environment, fresh=True)

    def is_under_way() -> bool:
        statement = "SELECT 1 FROM lmflow_attempts WHERE progress > 0.05"
        return bool(scene.read_server(statement) if scene.server_url else query(scene, statement))

    assert wait_until(is_under_way, child, "progress"), scene.read_output(child)
    return child


def _count_beats(scene: Scene) -> int:
    statement = "SELECT beat FROM lmflow_leases"
    rows = scene.read_server(statement) if scene.server_url else query(scene, statement)
    return int(rows[0][0])


def _wait_for_beat(scene: Scene) -> None:
    beats = _count_beats(scene)
    scene.wait_until(lambda: _count_beats(scene) > beats)


def test_a_clock_that_is_set_in_mid_run_takes_the_run_from_nobody(
    simulator: Start, scene: Scene, tmp_path: Path, clock: Clock
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), time_scale=SCALE)
    owner = _hold_in_mid_migration(scene, pool, clock)
    clock.set("+1h")
    second = scene.run("resume", "r", env=clock.environment, fresh=True)
    assert second.returncode == 10, second.stderr
    clock.set("-2d")
    _wait_for_beat(scene)
    assert owner.poll() is None, scene.read_output(owner)
    pool.control("POST", "/release_phases", {})
    assert owner.wait(60) == 0, scene.read_output(owner)
    assert len(pool.audit("VM.pool_migrate")) == 1
    assert query(scene, "SELECT COUNT(*) FROM lmflow_leases WHERE token > 3") == [(0,)]


def test_machines_whose_clocks_are_days_apart_share_a_server(
    simulator: Start, servers: Servers, scene: Scene, tmp_path: Path
) -> None:
    ahead, behind = (Clock(tmp_path / name, offset) for name, offset in _make_places(tmp_path, "+3d", "-3d"))
    with servers.shared("postgresql").fresh_database() as url:
        scene.server_url = url
        pool = simulator(write_world(tmp_path / "p.json"), time_scale=SCALE)
        owner = _hold_in_mid_migration(scene, pool, ahead)
        refused = scene.run("resume", "r", env=behind.environment, fresh=True)
        assert refused.returncode == 10, refused.stderr
        owner.kill()
        owner.wait()
        pool.control("POST", "/release_phases", {})
        heir = scene.run("resume", "r", env=behind.environment, fresh=True)
        assert heir.returncode == 0, heir.stderr
        assert len(pool.audit("VM.pool_migrate")) == 1
        _judge(scene)


def _make_places(tmp_path: Path, *offsets: str) -> list[tuple[str, str]]:
    named = [(f"machine{number}", offset) for number, offset in enumerate(offsets)]
    for name, _ in named:
        (tmp_path / name).mkdir()
    return named


@pytest.mark.parametrize(("offset", "code"), [("-2h", 4), ("+1m", 0)])
def test_an_attempt_without_a_reply_is_not_sent_again_when_its_age_is_in_doubt(
    simulator: Start, scene: Scene, tmp_path: Path, clock: Clock, offset: str, code: int
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), time_scale=SCALE)
    _die_before_the_request_arrives(scene, pool)
    clock.set(offset)
    done = scene.run("resume", "r", env=clock.environment, fresh=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert pool.runs_on("v") == (["A"] if code else ["B"])


def test_an_old_attempt_is_not_new_to_a_machine_that_is_behind(
    simulator: Start, servers: Servers, scene: Scene, tmp_path: Path
) -> None:
    with servers.shared("postgresql").fresh_database() as url:
        scene.server_url = url
        pool = simulator(write_world(tmp_path / "p.json"), time_scale=SCALE)
        _die_before_the_request_arrives(scene, pool)
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as conn:
            conn.exec_driver_sql("UPDATE lmflow_attempts SET created_at = created_at - 7200")
        done = scene.run("resume", "r", env=Clock(tmp_path, "-3h").environment, fresh=True)
        assert done.returncode == 4, done.stdout + done.stderr
        assert pool.audit("VM.pool_migrate") == []
        _judge(scene)


def _judge(scene: Scene) -> None:
    """Look at the invariants while the database is still there."""
    Invariants(scene).check()
    for pool in scene.pools:
        pool.stop()
    scene.pools.clear()
    scene.server_url = ""


def _die_before_the_request_arrives(scene: Scene, pool: SimulatedPool) -> None:
    with put_before(pool) as proxy:
        scene.write_config(lab={"addresses": proxy.address})
        proxy.when("up", b"Async.VM.pool_migrate", lambda link: link.hold("up"))
        child = scene.popen(*MOVE)
        proxy.wait_until(lambda: any(link.held["up"] for link in proxy.links), seconds=60)
        kill(child)
    scene.write_config()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.open(f"sqlite:///{tmp_path}/state/lmflow.db")
    yield made
    made.close()


def _expire(database: Database, seconds: float) -> None:
    """Let every lease have expired so long ago, as a clock does that is set forward."""
    with database._transactor.engine.begin() as conn:
        conn.execute(sa.update(schema.leases).values(expires_at=Now() - seconds))


def _make_run(database: Database, lease_seconds: float = 0.4) -> tuple[Run, Fence]:
    """Make a run whose owner is on a machine that cannot be seen from here."""
    owner = dataclasses.replace(current_owner(), machine="elsewhere/1")
    return database.runs.create(make_request(), kind="move", owner=owner, lease_seconds=lease_seconds, flows=FLOWS)


WAITS = Waits(lease_seconds=0.4, heartbeat_seconds=0.1, poll_seconds=0.01)


def _take(database: Database, run: Run, *, notify: Callable[[Notice], None], stop: Event) -> tuple[Fence, Lease | None]:
    """Take the run's lease, and wait where that waits."""
    steps = take_lease(database, run, waits=WAITS, notify=notify, stop=stop)
    while True:
        try:
            stop.wait(next(steps).seconds)
        except StopIteration as end:
            taken: tuple[Fence, Lease | None] = end.value
            return taken


def test_an_expired_lease_that_its_owner_renews_is_not_taken(database: Database) -> None:
    run, fence = _make_run(database)
    _expire(database, 3600)
    with pytest.raises(LockedError):
        _take(database, run, notify=lambda _: database.leases.renew(fence), stop=Event())
    database.leases.renew(fence)


def test_an_expired_lease_of_nobody_is_watched_and_taken(database: Database) -> None:
    run, fence = _make_run(database)
    _expire(database, 3600)
    said: list[Notice] = []
    heir, previous = _take(database, run, notify=said.append, stop=Event())
    assert heir.token == fence.token + 1
    assert previous is not None
    assert [notice.text.partition(": ")[2] for notice in said] == ["its lease has expired; watched for 0 s"]


def test_an_expired_lease_is_watched_by_the_configuration_of_its_owner(database: Database) -> None:
    run, fence = _make_run(database, lease_seconds=3600)
    _expire(database, 3600)
    said: list[Notice] = []

    def renew(notice: Notice) -> None:
        said.append(notice)
        database.leases.renew(fence)

    with pytest.raises(LockedError):
        _take(database, run, notify=renew, stop=Event())
    assert said[0].text.endswith("watched for 1800 s")


def test_a_lease_that_was_let_go_of_is_taken_without_a_look(database: Database) -> None:
    run, fence = _make_run(database)
    database.leases.release(fence)
    _take(database, run, notify=lambda notice: pytest.fail(notice.text), stop=Event())


@pytest.mark.parametrize("expired", [True, False], ids=["watched", "counted down"])
def test_whoever_waits_for_a_lease_can_be_told_to_stop_and_has_taken_nothing(database: Database, expired: bool) -> None:
    run, fence = _make_run(database, lease_seconds=3600)
    if expired:
        _expire(database, 3600)
    before, stop = database.leases.get(run.uuid), Event()
    with pytest.raises(FlowSuspended) as caught:
        _take(database, run, notify=lambda _: stop.set(), stop=stop)
    assert caught.value.reason == "detached"
    after = database.leases.get(run.uuid)
    assert (before and before.token) == (after and after.token) == fence.token
    database.leases.renew(fence)
