"""Answers of the library, made by hand for tests of what people are shown."""

from typing import Any

from lmflow.models import MoveRequest, Outcome, Run, RunState

REQUEST = MoveRequest(
    request_id="ticket-4711",
    pool_profile="lab",
    pool_uuid="00000000-0000-0000-0000-00000000000a",
    vm_uuid="00000000-0000-0000-0000-00000000000b",
    vm_name="web-02",
    source_uuid="00000000-0000-0000-0000-00000000000c",
    source_name="xcp-a",
    destination_uuid="00000000-0000-0000-0000-00000000000d",
    destination_name="xcp-c",
)


def make_run(state: RunState = RunState.SUCCESS, summary: str = "") -> Run:
    """A run of ``web-02`` from xcp-a to xcp-c."""
    return Run(
        uuid="a1c9f00d-0000-0000-0000-000000000000",
        kind="migrate",
        state=state,
        phase="move",
        request=REQUEST,
        logbook_uuid="l",
        move_uuid="m",
        settle_uuid="s",
        created_at=0.0,
        updated_at=0.0,
        summary=summary,
    )


def make_outcome(state: RunState = RunState.SUCCESS, *, summary: str = "", **fields: Any) -> Outcome:
    """An outcome of that run."""
    return Outcome(run=make_run(state, summary), **fields)
