"""Fixtures for every room: pools in processes of their own, ended by their pid."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scene import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """An empty world in a temporary directory: ``scene.start(...)`` adds pools, ``scene.run(...)`` runs lmflow."""
    made = Scene(tmp_path)
    yield made
    made.close()
