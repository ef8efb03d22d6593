"""Embedded pools of two hosts whose VMs move, served on real sockets."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import world
from tests.support.moves import TWO_HOSTS, Moves

SCALE = 50.0


@pytest.fixture
def make_moves() -> Iterator[Callable[..., Moves]]:
    """Start pools from descriptions; they are stopped after the test."""
    made: list[SimulatedPool] = []

    def make(description: dict[str, Any] | None = None, **options: Any) -> Moves:
        chosen = Options(**{"time_scale": SCALE, **options})
        pool = SimulatedPool(chosen, world=world.load(description or TWO_HOSTS))
        made.append(pool)
        pool.start(0)
        return Moves(pool)

    yield make
    for pool in made:
        pool.stop()


@pytest.fixture
def moves(make_moves: Callable[..., Moves]) -> Moves:
    return make_moves()
