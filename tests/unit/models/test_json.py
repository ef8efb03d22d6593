"""Every model goes to JSON and comes back equal; what is loaded by family is found by name."""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmflow import models
from lmflow.models import VM, Finding, Model, MoveRequest, Run, RunState, Snapshot

MODELS: dict[str, type[Model]] = {
    name: found
    for name in models.__all__
    if isinstance(found := getattr(models, name), type) and dataclasses.is_dataclass(found)
}
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=8),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    Any: st.none() | st.integers() | st.lists(st.text(max_size=3), max_size=2),
}


def make_values(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a field with this type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if origin in (types.UnionType, typing.Union):
        return st.one_of([st.none() if each is type(None) else make_values(each) for each in inner])
    if origin is tuple:
        return st.lists(make_values(inner[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(PLAIN[str], make_values(inner[1]), max_size=2)
    if issubclass(hint, enum.Enum):
        return st.sampled_from(list(hint))
    return make_models(hint)


def make_models(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for the objects of a model."""
    hints = typing.get_type_hints(cls)
    return st.fixed_dictionaries({f.name: make_values(hints[f.name]) for f in dataclasses.fields(cls)}).map(
        lambda told: cls(**told)
    )


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(data=st.data())
def test_every_model_goes_to_json_and_comes_back(name: str, data: st.DataObject) -> None:
    made = data.draw(make_models(MODELS[name]))
    told = json.loads(json.dumps(made.to_json()))
    assert MODELS[name].from_json(told) == made
    assert MODELS[name].from_json({**told, "of_a_later_release": 1}) == made


def test_what_an_older_release_stored_has_no_new_fields() -> None:
    told = VM(uuid="v", name_label="web", power_state="Running", resident_on_uuid="h",
              scheduled_to_be_resident_on_uuid=None).to_json()  # fmt: skip
    old = {k: v for k, v in told.items() if k not in {"is_immobile", "has_pci", "group_uuids", "ha_restart_priority"}}
    assert VM.from_json(old) == VM.from_json(told)
    with pytest.raises(TypeError):
        VM.from_json({"uuid": "v"})
    request = {"request_id": "r", "pool_profile": "p", "pool_uuid": "p", "vm_uuid": "v", "vm_name": "web"}
    places = {"source_uuid": "a", "source_name": "A", "destination_uuid": "b", "destination_name": "B"}
    assert MoveRequest.from_json({**request, **places}).options == models.MoveOptions()


def test_models_are_values() -> None:
    one = Finding(rule="r", code="C", message="m", remedy="do")
    assert one == Finding(rule="r", code="C", message="m", remedy="do")
    assert hash(one) == hash(dataclasses.replace(one))
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.code = "D"  # type: ignore[misc]


def test_nested_models_are_typed_again() -> None:
    hints = {f.name for f in dataclasses.fields(Snapshot)}
    assert {"pifs", "terms", "may_migrate", "reserved_by"} <= hints
    run = Run.from_json(
        {"uuid": "u", "kind": "move", "state": "unknown", "phase": "", "logbook_uuid": "", "move_uuid": "",
         "settle_uuid": "", "created_at": 1.0, "updated_at": 2.0,
         "request": {f.name: "" for f in dataclasses.fields(MoveRequest) if f.default is dataclasses.MISSING}}
    )  # fmt: skip
    assert run.state is RunState.UNKNOWN
    assert isinstance(run.request, MoveRequest)


def test_a_name_that_no_family_has() -> None:
    with pytest.raises(AttributeError, match="Volume"):
        models.__getattr__("Volume")


@pytest.mark.parametrize("state", RunState)
def test_which_states_are_ends(state: RunState) -> None:
    assert state.is_terminal is (state.value in {"success", "refused", "failed", "dirty"})


def test_a_hook_is_called_by_its_name_or_its_command() -> None:
    assert models.Hook(moment="before", name="ticket").label == "ticket"
    assert models.Hook(moment="after", command=("/bin/tell", "--all")).label == "/bin/tell"
