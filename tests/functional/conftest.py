"""Fixtures of tests that drive the installed command against pools over the wire."""

from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from tests.support.invariants import Invariants
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene


@pytest.fixture
def invariants(scene: Scene) -> Iterator[Invariants]:
    """Judges the scene after the test; every test with a pool has it, because ``simulator`` asks for it."""
    made = Invariants(scene)
    yield made
    made.check()


@pytest.fixture
def simulator(scene: Scene, invariants: Invariants) -> Callable[..., SimulatedPool]:
    """Start a pool: ``simulator("lab", "--refuse-witness", time_scale=100)``; all options of the simulator."""
    return scene.start


@pytest.fixture
def lmflow(scene: Scene) -> Callable[..., CompletedProcess[str]]:
    """Run the command with the scene's configuration: ``lmflow("migrate", "web-01", "--to", "xcp-b")``."""
    return scene.run
