"""A database for each test: on SQLite, on PostgreSQL and on MariaDB."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmflow.db.database import Database, Fence
from lmflow.db.owner import current_owner
from lmflow.models import Run
from tests.functional.db.requests import FLOWS, make_request
from tests.support.servers import KINDS, Servers


@pytest.fixture(params=["sqlite", *KINDS])
def url(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state/lmflow.db"
        return
    with servers.shared(request.param).fresh_database() as made:
        yield made


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database.open(url)
    yield database
    database.close()


@pytest.fixture
def create(database: Database) -> Callable[..., tuple[Run, Fence]]:
    """Create a run: ``create("db-01", lease_seconds=0)``."""

    def call(name: str = "web-01", *, request_id: str = "", lease_seconds: float = 30) -> tuple[Run, Fence]:
        request = make_request(name, request_id)
        return database.runs.create(
            request, kind="move", owner=current_owner(), lease_seconds=lease_seconds, flows=FLOWS
        )

    return call
