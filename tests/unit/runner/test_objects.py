"""What a run has touched in its pool, told from its book of changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lmflow.models import Attempt, Event, MoveRequest, Run, RunState
from lmflow.runner.objects import describe_change, recall_objects

REQUEST = MoveRequest(
    request_id="r", pool_profile="lab", pool_uuid="p", vm_uuid="v-uuid", vm_name="v", source_uuid="a", source_name="A",
    destination_uuid="b", destination_name="B",
)  # fmt: skip
RUN = Run("run", "migrate", RunState.FAILED, "move", REQUEST, "l", "m", "s", created_at=1.0, updated_at=2.0)
ATTEMPT = Attempt("attempt", "run", 1, "ended", 5.0, "session")


def change(sequence: int, step: str, kind: str = "plug_pbd", uuid: str = "pbd", **more: Any) -> Event:
    data = {"kind": kind, "object_uuid": uuid, "step": step, "attempt_id": "x", **more}
    return Event(sequence, "run", float(sequence), "change", 1, data)


@pytest.mark.parametrize(
    ("state", "kind", "step", "fate", "host"),
    [
        (RunState.RUNNING, "plug_pbd", "intended", "open", "B"),
        (RunState.SUCCESS, "plug_pbd", "done", "done", "B"),
        (RunState.FAILED, "plug_pbd", "undone", "undone", "B"),
        (RunState.DIRTY, "plug_pbd", "done", "left", "B"),
        (RunState.DIRTY, "plug_pbd", "undoing", "left", "B"),
        (RunState.DIRTY, "create_pbd", "unproved", "unproved", "B"),
        (RunState.FAILED, "create_pbd", "void", "void", "B"),
        (RunState.SUCCESS, "release_pbd", "done", "released", "A"),
        (RunState.SUCCESS, "strip_base_mirror", "done", "done", ""),
    ],
)
def test_each_word_is_a_fate(state: RunState, kind: str, step: str, fate: str, host: str) -> None:
    run = dataclasses.replace(RUN, state=state)
    (told,) = recall_objects(run, (change(1, "intended", kind), change(2, step, kind, object_name="T")), ())
    assert (told.fate, told.host, told.at, told.name, told.run_uuid) == (fate, host, 2.0, "T", "run")


def test_a_uuid_is_the_objects_own() -> None:
    events = (
        change(1, "done", "create_pbd", "sr", data={"pbd_uuid": "made"}),
        change(2, "done", "create_pbd", "other-sr"),
        change(3, "done", "copy_file", "b:/var/lib/xcp/guest/vmlinuz"),
        change(4, "done", "something_new", "x"),
    )
    told = recall_objects(RUN, events, ())
    assert [(each.kind, each.uuid) for each in told] == [
        ("PBD created", "made"),
        ("PBD created", ""),
        ("file copied", ""),
        ("something new", "x"),
    ]


@pytest.mark.parametrize(
    ("outcome", "fates"),
    [("moved", ["moved"]), ("decided stayed", ["stayed"]), ("", ["open"]), ("not sent", []), ("never began", [])],
)
def test_the_vm_itself_is_told_of_once_it_was_sent(outcome: str, fates: list[str]) -> None:
    told = recall_objects(RUN, (), (dataclasses.replace(ATTEMPT, outcome=outcome),))
    assert [each.fate for each in told] == fates
    assert all((each.name, each.uuid, each.at, each.run_uuid) == ("v", "v-uuid", 5.0, "run") for each in told)


def test_a_change_is_named_for_people() -> None:
    assert describe_change(change(1, "done", object_name="T").data) == "PBD plugged: T (pbd)"
    assert describe_change(change(1, "done").data) == "PBD plugged: pbd"
