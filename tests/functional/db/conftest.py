"""A database for each test: SQLite always; PostgreSQL too if LMFLOW_TEST_POSTGRESQL names a server (a URL)."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from lmflow.db.database import Database, Fence
from lmflow.db.owner import current_owner
from lmflow.models import Run
from tests.functional.db.requests import FLOWS, make_request

KINDS = ["sqlite", "postgresql"] if os.environ.get("LMFLOW_TEST_POSTGRESQL") else ["sqlite"]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state/lmflow.db"
        return
    server = os.environ["LMFLOW_TEST_POSTGRESQL"]
    schema = f"t{uuid.uuid4().hex}"
    engine = sa.create_engine(server)
    with engine.begin() as conn:
        conn.exec_driver_sql(f"CREATE SCHEMA {schema}")
    yield f"{server}?options=-csearch_path%3D{schema}"
    with engine.begin() as conn:
        conn.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    engine.dispose()


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
