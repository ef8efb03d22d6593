"""A paused owner that wakes up after a takeover writes nothing, and nothing that it sends takes effect.

Scenario 51 shows on SQLite that a living owner is not robbed, and one that was stopped in mid-migration; here it is a
server too, and a request that was sent long before it arrives.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from tests.support import kills
from tests.support.claims import PUT, find_mark
from tests.support.pool import SimulatedPool
from tests.support.proxy import Proxy
from tests.support.scene import COMMAND_SECONDS, Command, Scene
from tests.support.servers import Servers
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

MOVE = ["migrate", "v", "--to", "B", "--request-id", "change-4711"]
EXPIRED = {
    "sqlite": "select 1 from lmflow_leases where expires_at < (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "select 1 from lmflow_leases where expires_at < extract(epoch from clock_timestamp())",
}
WRITTEN = "select count(*) from lmflow_events"
PROXY_ADDRESS = "127.9.9.9"


@pytest.fixture(params=sorted(EXPIRED))
def kind(request: pytest.FixtureRequest, servers: Servers, scene: Scene) -> Iterator[str]:
    """Keep the scene's runs in such a database, with a short lease. Tests ask for it first: the judge reads it too."""
    scene.waits = {"lease_seconds": 3.0, "heartbeat_seconds": 0.5}
    if request.param == "sqlite":
        yield "sqlite"
        return
    with servers.shared(request.param).fresh_database() as url:
        scene.server_url = url
        yield request.param


def read(scene: Scene, statement: str) -> list[object]:
    return scene.read_server(statement) if scene.server_url else kills.query(scene, statement)


def pause(scene: Scene, child: Command) -> None:
    """SIGSTOP, outside a transaction: stopped inside one, it would hold its lease's row against everybody."""
    if not scene.server_url:
        kills.pause(scene, child)
        return
    engine = sa.create_engine(scene.server_url, poolclass=sa.NullPool)
    limit = time.monotonic() + kills.LIMIT_SECONDS
    while time.monotonic() < limit:
        child.send_signal(signal.SIGSTOP)
        with contextlib.suppress(sa_exc.DBAPIError), engine.begin() as conn:
            conn.exec_driver_sql("select 1 from lmflow_leases for update nowait")
            return
        child.send_signal(signal.SIGCONT)
    raise AssertionError("it was never stopped outside a transaction")


def wake_too_late(scene: Scene, paused: Command) -> None:
    """Let the former owner go on, and look that it ends without having written anything."""
    before = read(scene, WRITTEN)
    paused.send_signal(signal.SIGCONT)
    assert paused.wait(COMMAND_SECONDS) == 10, scene.read_output(paused)
    assert read(scene, WRITTEN) == before


def assert_moved_once(pool: SimulatedPool) -> None:
    assert pool.runs_on("v") == ["B"]
    assert len(pool.effects("v")) == 1
    assert find_mark(pool) is None


def test_55_an_owner_stopped_between_its_lease_check_and_its_send(
    kind: str, simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    # The send begins by asking which reference the destination has; just before, the intent was written.
    pool.control("POST", "/hold", {"call": "host.get_by_uuid", "point": "request_read", "nth": 1})
    paused = scene.popen(*MOVE)
    assert kills.wait_until(lambda: bool(read(scene, "select 1 from lmflow_attempts")), paused, "the intent")
    assert kills.wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), paused, "the send")
    assert lmflow("resume", "change-4711").returncode == 10, "its owner lives"
    pause(scene, paused)
    scene.wait_until(lambda: bool(read(scene, EXPIRED[kind])))
    heir = lmflow("resume", "change-4711")
    assert heir.returncode == 0, heir.stdout + heir.stderr
    pool.control("POST", "/release", {})
    wake_too_late(scene, paused)
    assert_moved_once(pool)
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_55_a_submit_that_the_pool_works_off_after_the_takeover_takes_no_effect(
    kind: str, simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    """Held back in the pool: of one that is late on the wire it would answer 408, and never read the call."""
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/hold", {"call": "Async.VM.pool_migrate", "point": "request_read", "nth": 1})
    paused = scene.popen(*MOVE)
    assert kills.wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), paused, "the submit")
    (sent,) = pool.audit("VM.pool_migrate")
    pause(scene, paused)
    scene.wait_until(lambda: bool(read(scene, EXPIRED[kind])))
    heir = lmflow("resume", "change-4711")
    assert heir.returncode == 0, heir.stdout + heir.stderr
    pool.control("POST", "/release", {})
    scene.wait_until(lambda: bool(pool.audit("VM.pool_migrate")[0]["outcome"]))
    late, *others = pool.audit("VM.pool_migrate")
    assert late["seq"] == sent["seq"]
    assert (late["effect"], [each["effect"] for each in others]) == (False, [True])
    wake_too_late(scene, paused)
    assert_moved_once(pool)


def test_55_a_mark_held_back_past_the_takeover_takes_no_effect(
    kind: str, simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    coordinator, port = str(pool.ready["coordinator"]), int(pool.ready["port"])
    with Proxy((coordinator, port), address=PROXY_ADDRESS, port=port) as proxy:
        detour = scene.directory / "detour.conf"
        scene.write_config(**{pool.name: {"addresses": PROXY_ADDRESS}})
        detour.write_text(scene.config_file.read_text(encoding="utf-8"), encoding="utf-8")
        scene.write_config()
        proxy.when("up", PUT.encode(), lambda link: link.hold("up"))
        paused = scene.popen(*MOVE, env={"LMFLOW_CONFIG_FILE": str(detour)})
        assert kills.wait_until(lambda: bool(proxy.held("up")), paused, "in the proxy"), scene.read_output(paused)
        pause(scene, paused)
        scene.wait_until(lambda: bool(read(scene, EXPIRED[kind])))
        heir = lmflow("resume", "change-4711")
        assert heir.returncode == 0, heir.stdout + heir.stderr
        known = len(pool.audit(PUT))
        proxy.flow()
        proxy.wait_until(lambda: not proxy.held("up"))
        # Its sender still sleeps, and cannot take it back.
        scene.wait_until(lambda: len(pool.audit(PUT)) > known)
        wake_too_late(scene, paused)
    late = pool.audit(PUT)[known:]
    assert late, "the pool never read it"
    assert not [entry for entry in late if entry["effect"]]
    assert_moved_once(pool)
