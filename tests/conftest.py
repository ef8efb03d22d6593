"""Fixtures for every room: pools in processes of their own, ended by their pid."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scene import Scene
from tests.support.servers import Servers

# A test run in the background of a script has them ignored, and so would the commands that tests interrupt.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """An empty world in a temporary directory: ``scene.start(...)`` adds pools, ``scene.run(...)`` runs lmflow."""
    made = Scene(tmp_path)
    yield made
    made.close()


# They take longest; begun last, one of them would keep one worker busy while the others have nothing left to do.
LONG = (
    "test_pages", "test_cli_border", "test_databases", "test_exit_codes", "test_schemas", "test_examples", "test_tools",
    "test_mutants", "test_kill_matrix", "test_kill_mutants", "test_cli_demo", "every_boundary", "test_cli_ways",
    "45b", "45c",
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; the order within both groups stays random."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONG))


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """PostgreSQL and MariaDB, each started once a test run by the first who asks; see tests.support.servers."""
    common, worker = tmp_path_factory.getbasetemp(), hasattr(request.config, "workerinput")
    made = Servers(common.parent if worker else common, os.getppid() if worker else os.getpid())
    yield made
    made.end_own()
