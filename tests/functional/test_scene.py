"""The judge judges: a scene that breaks an invariant is found out, one that holds them is not."""

from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from lmflow.xapi.connection import Connection
from tests.support.invariants import Invariants
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene

Command = Callable[..., CompletedProcess[str]]
Simulator = Callable[..., SimulatedPool]


@pytest.fixture
def judge(scene: Scene) -> Iterator[Invariants]:
    """A judge that is called by the test itself."""
    return Invariants(scene)


def test_a_migration_holds_all_invariants(simulator: Simulator, lmflow: Command) -> None:
    pool = simulator()
    done = lmflow("migrate", "web-01", "--to", "xcp-b")
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("web-01") == ["xcp-b"]
    assert pool.resident_on("web-01") == "xcp-b"
    assert len(pool.effects("web-01")) == 1


def test_a_second_migration_with_effect_is_found(scene: Scene, judge: Invariants) -> None:
    pool = scene.start()
    assert scene.run("migrate", "web-01", "--to", "xcp-b").returncode == 0
    assert scene.run("migrate", "web-01", "--to", "xcp-a").returncode == 0
    judge.check()
    (first, _) = scene.runs()
    scene.database_file.unlink()
    with pytest.raises(AssertionError, match=r"a: 2 VM.pool_migrate of web-01 took effect"):
        judge.check()
    assert first["state"] == "success"
    assert len(pool.effects()) == 2


def test_a_lie_about_the_place_is_found(scene: Scene, judge: Invariants) -> None:
    scene.start()
    assert scene.run("migrate", "web-01", "--to", "xcp-b").returncode == 0
    truth = scene.runs()

    def lie() -> list[dict[str, object]]:
        return [{**truth[0], "destination": "xcp-c"}]

    judge.scene.runs = lie  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match=r"b: run .* says success, web-01 runs on \['xcp-b'\]"):
        judge.check()


def test_a_password_in_a_file_is_found(scene: Scene, judge: Invariants) -> None:
    pool = scene.start()
    (scene.directory / "debug.log").write_text(f"login as root with {pool.ready['password']}")
    with pytest.raises(AssertionError, match=r"f: a secret stands in debug\.log"):
        judge.check()


def test_a_session_reference_in_a_file_is_found(scene: Scene, judge: Invariants) -> None:
    pool = scene.start()
    scene.run("migrate", "web-01", "--to", "xcp-b")
    issued = pool.control("GET", "/secrets")
    session = next(secret for secret in issued if str(secret).startswith("OpaqueRef:"))
    (scene.directory / "debug.log").write_text(f"GET /services/xenops?session_id={session}")
    with pytest.raises(AssertionError, match=r"f: a secret stands in debug\.log"):
        judge.check()


def test_a_session_left_behind_is_found(scene: Scene, judge: Invariants) -> None:
    pool = scene.start()
    open_session = Connection.open(scene.profile(pool), lambda: str(pool.ready["password"]))
    with open_session, pytest.raises(AssertionError, match=r"d: a session of lmflow is left"):
        judge.check()
    judge.check()


def test_a_run_left_open_is_found(scene: Scene, judge: Invariants) -> None:
    pool = scene.start()
    pool.control("POST", "/copy_seconds", {"vm": pool.uuid("VM", "web-01"), "seconds": 3000})
    child = scene.popen("migrate", "web-01", "--to", "xcp-b")
    scene.wait_until(lambda: bool(pool.effects("web-01")))
    child.kill()
    child.wait()
    with pytest.raises(AssertionError, match=r"e: run .* of web-01 is left running"):
        judge.check()
    judge.open_runs = True
    judge.check()
