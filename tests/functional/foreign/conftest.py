"""What the tests of foreign clients start from."""

from collections.abc import Callable

import pytest

from tests.functional.foreign.clients import Desk
from tests.support.scene import Scene


@pytest.fixture
def sit_down(scene: Scene, simulator: object) -> Callable[..., Desk]:
    """Start a pool and sit down before it: ``sit_down("lab", "--https")``; the invariants are judged at the end."""
    return lambda world="lab", *options: Desk(scene, scene.start(world, *options))
