"""What the tests ask of the database."""

import uuid

from lmflow.db.database import FlowSpec
from lmflow.models import MoveRequest

FACTORY = "tests.functional.db.sample_flow:make_flow"
FLOWS = (
    FlowSpec("move", FACTORY, {"version": 1}),
    FlowSpec("settle", FACTORY, {"version": 1}),
)


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
