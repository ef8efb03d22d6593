"""A database for each test: SQLite always; PostgreSQL too if LMFLOW_TEST_POSTGRESQL names a server (a URL)."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from lmflow.db.database import Database, Fence, FlowSpec
from lmflow.db.owner import current_owner
from lmflow.models import MoveRequest, Run
from tests.functional.db import sample_flow

KINDS = ["sqlite", "postgresql"] if os.environ.get("LMFLOW_TEST_POSTGRESQL") else ["sqlite"]
FLOWS = (
    FlowSpec("move", sample_flow.FACTORY, {"version": 1}),
    FlowSpec("settle", sample_flow.FACTORY, {"version": 1}),
)


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


def make_request(name: str = "web-01", request_id: str = "") -> MoveRequest:
    """A request for the VM of that name."""
    return MoveRequest(
        request_id=request_id or str(uuid.uuid4()),
        pool_profile="lab",
        pool_uuid="9b3f6dd3-9ae8-4c2c-bd94-d1fdd8ab8ce2",
        vm_uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        vm_name=name,
        source_uuid="11111111-0000-0000-0000-000000000001",
        source_name="xcp-a",
        destination_uuid="11111111-0000-0000-0000-000000000002",
        destination_name="xcp-b",
        reason="maintenance of ‘xcp-a’",
    )


@pytest.fixture
def create(database: Database) -> Callable[..., tuple[Run, Fence]]:
    """Create a run: ``create("db-01", lease_seconds=0)``."""

    def call(name: str = "web-01", *, request_id: str = "", lease_seconds: float = 30) -> tuple[Run, Fence]:
        request = make_request(name, request_id)
        return database.runs.create(
            request, kind="move", owner=current_owner(), lease_seconds=lease_seconds, flows=FLOWS
        )

    return call
