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


# They take longest; begun last, one of them would keep one worker busy while the others have nothing left to do.
LONG = ("test_readme", "test_tools", "test_mutants", "test_cli_demo", "every_boundary", "test_cli_ways", "45b", "45c")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; the order within both groups stays random."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONG))
