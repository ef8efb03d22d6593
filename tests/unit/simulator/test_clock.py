"""One clock: a pool's time, and who in the simulator goes by real time and why."""

import ast
import threading
from pathlib import Path

import pytest

import lmflow.simulator
from lmflow.simulator.clock import Clock
from lmflow.simulator.database.values import DateTime

ROOM = Path(lmflow.simulator.__file__).parent
BY_REAL_TIME = {
    "clock.py": "it is what makes the pool's time of real time",
    "events.py": "a scaled time-out is kept long enough for a real client not to ask without end",
    "http_reader.py": "the patience with a slow client, which knows no scale",
    "pool.py": "how long no real client has asked anything",
    "server.py": "the patience with a client that does not read, which knows no scale",
}
"""Modules that read real time or sleep by it; everybody else asks the clock."""
REAL_CALLS = frozenset({"time.time", "time.monotonic", "time.sleep", "time.perf_counter", "threading.Timer"})


def test_pool_seconds_pass_faster_by_the_scale() -> None:
    clock = Clock(100.0, 1_000.0)
    first = clock.now()
    assert clock.wait(5.0) is False
    assert clock.now() - first >= 5.0
    assert first >= 1_000.0
    assert clock.real(50.0) == 0.5
    assert clock.real(-1.0) == 0.0


def test_a_wait_ends_with_its_event() -> None:
    event = threading.Event()
    event.set()
    assert Clock(1.0).wait(1e6, event) is True


def test_stamps_are_written_as_xapi_writes_them() -> None:
    assert Clock(1.0).stamp(0.0) == DateTime("19700101T00:00:00Z")


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_time_goes_forward(scale: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Clock(scale)


def _real_time_in(path: Path) -> set[str]:
    """List what a module does by real time: calls that read it, and waits for a number that stands there."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            waits = name.endswith((".wait", ".wait_for")) and not name.endswith("clock.wait")
            literal = waits and node.args and isinstance(node.args[-1], ast.Constant)
            if name in REAL_CALLS or literal:
                found.add(f"{name}({', '.join(ast.unparse(arg) for arg in node.args)})")
    return found


def test_nobody_goes_by_real_time_but_who_is_named() -> None:
    found = {path.name: calls for path in ROOM.rglob("*.py") if (calls := _real_time_in(path))}
    found.get("transfer.py", set()).discard("self._xenops.released.wait(0.01)")  # until a test lets go
    unexpected = {name: calls for name, calls in found.items() if calls and name not in BY_REAL_TIME}
    assert unexpected == {}, "wait by the pool's clock, or say here why not"
    assert set(BY_REAL_TIME) <= set(found), "no exception without a use"
