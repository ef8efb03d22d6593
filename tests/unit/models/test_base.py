"""What a model becomes as JSON: the value of a state, lists for tuples, models inside models."""

from __future__ import annotations

from lmflow.models import MoveOptions, MoveRequest, Run, RunState

REQUEST = MoveRequest("id", "lab", "p", "v", "web", "a", "xcp-a", "b", "xcp-b", options=MoveOptions(force=True))


def test_a_state_is_written_as_its_value_and_read_as_a_state() -> None:
    run = Run("u", "migrate", RunState.SUSPENDED, "move", REQUEST, "l", "m", "s", 1.0, 2.0)
    told = run.to_json()
    assert type(told["state"]) is str
    assert (told["state"], told["request"]["options"]["force"], told["request"]["ignored_uuids"]) == (
        "suspended", True, []
    )  # fmt: skip
    assert Run.from_json(told) == run
    assert Run.from_json(told).state is RunState.SUSPENDED
