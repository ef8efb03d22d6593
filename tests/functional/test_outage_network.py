"""The network between lmflow and the pool, and what others take away there: each at the submit and in the long wait."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.admin import as_admin
from tests.support.invariants import Invariants
from tests.support.kills import query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.proxy import Link, Proxy, put_before
from tests.support.scene import Command, Scene
from tests.support.worlds import write_world

SUBMIT = b"Async.VM.pool_migrate"
READ_SECONDS = 2.0


class Way:
    """A pool behind a proxy, in which one VM goes to and fro; each trip is another request."""

    def __init__(self, scene: Scene, pool: SimulatedPool, proxy: Proxy) -> None:
        self.scene, self.pool, self.proxy = scene, pool, proxy
        self._trips = 0
        scene.write_config(lab={"addresses": proxy.address, "read_timeout": READ_SECONDS})

    def leave(self) -> tuple[Command, str]:
        """Start a migration to the other host and return at once, with that host."""
        self._trips += 1
        target = "A" if self.pool.resident_on("v") == "B" else "B"
        return self.scene.popen("migrate", "v", "--to", target, "--request-id", f"trip-{self._trips}"), target

    def wait_for_middle(self, child: Command) -> None:
        """Wait until the migration stands still in its copy, and the run has seen it."""
        statement = "SELECT 1 FROM lmflow_attempts WHERE progress > 0.05 AND state = 'accepted'"
        found = wait_until(lambda: bool(query(self.scene, statement)), child, "progress")
        assert found, self.scene.read_output(child)

    def hold(self) -> None:
        """Let the next copy stand still in its middle."""
        self.pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})

    def release(self) -> None:
        self.pool.control("POST", "/release_phases", {})

    def assert_arrived(self, child: Command, target: str) -> None:
        assert child.wait(90) == 0, self.scene.read_output(child)
        assert self.pool.runs_on("v") == [target]
        assert len(self.pool.effects("v")) == self._trips


@pytest.fixture
def way(scene: Scene, invariants: Invariants, tmp_path: Path) -> Iterator[Way]:
    pool = scene.start(write_world(tmp_path / "p.json"))
    with put_before(pool) as proxy:
        yield Way(scene, pool, proxy)
    scene.write_config()


def _lose_reply(link: Link) -> None:
    link.when("down", b"HTTP/", Link.cut)


def _answer_nothing(link: Link) -> None:
    link.swallow("down")


def _lose_request(link: Link) -> None:
    link.swallow("up")


def test_the_coordinator_is_found_at_another_address(way: Way) -> None:
    members = [each for each in way.pool.ready["hosts"].values() if each != way.pool.ready["coordinator"]]
    addresses = f"{way.proxy.address},{members[0]}"
    way.scene.write_config(lab={"addresses": addresses})
    way.hold()
    child, target = way.leave()
    way.wait_for_middle(child)
    way.proxy.refuse()
    way.proxy.cut()
    way.release()
    way.assert_arrived(child, target)
    assert "new login" not in way.scene.read_output(child)[0]


AT_THE_SUBMIT: dict[str, tuple[Callable[[Link], object], int]] = {
    "the reply is lost": (_lose_reply, 1),
    "half-open after the request": (_answer_nothing, 1),
    "half-open before the request": (_lose_request, 0),
}
"""What befalls the connection, and how many of these requests reach the pool."""


def test_the_connection_of_the_submit(way: Way) -> None:
    for name, (befall, arrived) in AT_THE_SUBMIT.items():
        before = len(way.pool.audit("VM.pool_migrate"))
        way.proxy.when("up", SUBMIT, befall)
        child, target = way.leave()
        way.assert_arrived(child, target)
        sent = len(way.pool.audit("VM.pool_migrate")) - before
        assert sent == 1, name
        assert _count_last_attempts(way.scene) == 2 - arrived, name


def _count_last_attempts(scene: Scene) -> int:
    statement = (
        "SELECT COUNT(*) FROM lmflow_attempts WHERE run_uuid ="
        " (SELECT uuid FROM lmflow_runs ORDER BY created_at DESC LIMIT 1)"
    )
    return int(query(scene, statement)[0][0])


def test_a_silence_that_ends_before_the_read_time_is_no_news(way: Way) -> None:
    way.proxy.when("up", SUBMIT, lambda _: way.proxy.silence(READ_SECONDS / 2))
    child, target = way.leave()
    way.assert_arrived(child, target)
    assert _count_last_attempts(way.scene) == 1


def _go_silent(way: Way) -> None:
    way.proxy.silence(READ_SECONDS * 2)


def _become_half_open(way: Way) -> None:
    way.proxy.swallow()
    way.proxy.wait_until(lambda: way.proxy.swallowed("up") > 0)
    way.proxy.cut()
    way.proxy.flow()


def _refuse(way: Way) -> None:
    """Let nobody in until somebody has knocked in vain: a port that is closed cannot count, a silent one can."""
    known = len(way.proxy.links)
    way.proxy.hold()
    way.proxy.cut()
    way.proxy.wait_until(lambda: len(way.proxy.links) > known)
    way.proxy.refuse()
    way.proxy.cut()
    way.release()
    way.scene.wait_until(lambda: not way.pool.get("VM", "v")["current_operations"])
    way.proxy.flow()
    way.proxy.accept()


def _end_sessions(way: Way) -> None:
    """Somebody ends every session of ours."""
    with as_admin(way.pool) as call:
        for session in way.pool.records("session").values():
            if session["originator"].startswith("lmflow"):
                _log_out(way.pool, call("session.get_by_uuid", session["uuid"]))


def _log_out(pool: SimulatedPool, reference: str) -> None:
    with xmlrpc.client.ServerProxy(f"http://{pool.ready['coordinator']}:{pool.ready['port']}/") as server:
        reply: Any = server.session.logout(reference)
    assert reply["Status"] == "Success", reply


def _destroy_record(way: Way) -> None:
    """Somebody removes the record of the task that we wait for."""
    with as_admin(way.pool) as call:
        for ref, task in way.pool.records("task").items():
            if task["name_label"] == "Async.VM.pool_migrate":
                call("task.destroy", ref)


IN_THE_WAIT: dict[str, Callable[[Way], None]] = {
    "silent for longer than the read time": _go_silent,
    "half-open": _become_half_open,
    "nobody lets us in": _refuse,
    "the session is ended": _end_sessions,
    "the record of the task is destroyed": _destroy_record,
}


@pytest.mark.parametrize("names", [tuple(IN_THE_WAIT)[:3], tuple(IN_THE_WAIT)[3:]], ids=["network", "others"])
def test_the_long_wait(way: Way, names: tuple[str, ...]) -> None:
    for name in names:
        way.hold()
        child, target = way.leave()
        way.wait_for_middle(child)
        IN_THE_WAIT[name](way)
        way.release()
        way.assert_arrived(child, target)
        way.scene.wait_until(lambda: not way.pool.get("VM", "v")["current_operations"])
    # A log-in that was held back past our patience: the pool answers it, nobody hears that, nobody can end the session.
    _end_sessions(way)
