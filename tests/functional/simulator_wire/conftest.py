"""An embedded pool of two hosts, served on real sockets."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.registry import OPERATIONS, Operation
from tests.support.wire import TinyWorld, WireClient

SCALE = 100.0


@pytest.fixture
def make_pool() -> Iterator[Callable[..., SimulatedPool]]:
    """Start pools with options; they are stopped after the test."""
    made: list[SimulatedPool] = []

    def make(*, control: bool = False, start: bool = True, schema: Any = None, **options: Any) -> SimulatedPool:
        chosen = Options(**{"time_scale": SCALE, **options})
        pool = SimulatedPool(chosen, world=TinyWorld(), schema=schema)
        made.append(pool)
        if start:
            pool.start(0 if control else None)
        return pool

    yield make
    for pool in made:
        pool.stop()


@pytest.fixture
def pool(make_pool: Callable[..., SimulatedPool]) -> SimulatedPool:
    return make_pool()


@pytest.fixture
def wire(pool: SimulatedPool) -> WireClient:
    """A client that is logged in."""
    client = WireClient(pool)
    client.login()
    return client


@pytest.fixture
def operation(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put an operation of the test's own in the place of a call: ``operation("VM.pool_migrate", f)``."""

    def put(name: str, function: Callable[..., Any], *, effect: bool = True) -> None:
        monkeypatch.setitem(OPERATIONS, name, Operation(name, function, effect))

    return put
