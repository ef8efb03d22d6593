"""A day and more in mid-run: XAPI ends a session that nobody used for 24 hours, and the run ends right all the same."""

from __future__ import annotations

import signal

import pytest

from tests.support.ends import Ends
from tests.support.invariants import Invariants
from tests.support.kills import pause
from tests.support.scene import Scene

A_DAY_SECONDS = 86_401.0


@pytest.mark.parametrize("left", ["stopped", "killed"])
def test_a_run_outlives_its_session(scene: Scene, invariants: Invariants, left: str) -> None:
    ends = Ends.start(scene)
    owner = ends.hold("long")
    if left == "stopped":
        pause(scene, owner)
    else:
        owner.kill()
        owner.wait()
    before = set(ends.pool.records("session"))
    assert before
    ends.pool.control("POST", "/idle", {"seconds": A_DAY_SECONDS})
    assert set(ends.pool.records("session")) == before, "it waits for a task that is not done"
    ends.release()
    scene.wait_until(lambda: ends.pool.resident_on(ends.vms["long"]) == "B")
    scene.wait_until(lambda: all(t["status"] != "pending" for t in ends.pool.records("task").values()))
    ends.pool.control("POST", "/idle", {"seconds": A_DAY_SECONDS})
    assert not before & set(ends.pool.records("session"))
    if left == "stopped":
        owner.send_signal(signal.SIGCONT)
        done = ends.end(owner)
    else:
        done = scene.run("resume", "long")
    assert done.returncode == 0, done.stderr
    assert len(ends.pool.effects(ends.vms["long"])) == 1
