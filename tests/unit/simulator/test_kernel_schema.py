"""The schema that the shipped data give."""

import json
from importlib import resources

import pytest

from lmflow.simulator.database.schema import Schema, make_default, split_map, split_set
from lmflow.simulator.database.values import EPOCH, NULL

SCHEMA = Schema.load()


def test_all_of_the_model_is_there() -> None:
    messages = [m for c in SCHEMA.classes.values() for m in c.messages.values()]
    assert len(SCHEMA.classes) == 73
    assert sum(len(c.fields) for c in SCHEMA.classes.values()) == 922
    assert len(messages) == 2258
    assert len([m for m in messages if m.is_hidden]) == 127
    assert len([m for m in messages if m.is_removed]) == 93


def test_no_accessor_is_written_down_where_it_follows_from_the_fields() -> None:
    data = json.loads((resources.files("lmflow.simulator") / "data" / "model.json").read_text("utf-8"))
    for name, cls in data["classes"].items():
        messages = cls.get("messages", {})
        declared = set(messages) - {m for m in messages if messages[m].get("async")}
        assert not {f"get_{field}" for field in cls["fields"]} & declared, name


@pytest.mark.parametrize(
    ("type_text", "default", "expected"),
    [
        ("string", None, ""),
        ("string", '"0:0"', "0:0"),
        ("bool", "true", True),
        ("bool", None, False),
        ("int", "-1", -1),
        ("float", "1.", 1.0),
        ("datetime", None, EPOCH),
        ("VM ref", None, NULL),
        ("VM ref set", None, []),
        ("int set", "{0}", [0]),
        ("(string -> string) map", '{"active" -> "false"}', {"active": "false"}),
        ("(string -> string) map", "{}", {}),
        ("enum vm_power_state", "Halted", "Halted"),
    ],
)
def test_defaults_have_the_type_of_their_field(type_text: str, default: str | None, expected: object) -> None:
    found = make_default(type_text, default)
    assert found == expected
    assert type(found) is type(expected)


def test_every_default_of_the_model_can_be_made() -> None:
    kinds = {"string": str, "bool": bool, "int": int, "float": float}
    for name in SCHEMA.classes:
        record = SCHEMA.make_record(name)
        for field in SCHEMA.classes[name].fields.values():
            if field.type in kinds:
                assert type(record[field.name]) is kinds[field.type], (name, field)


def test_records_of_defaults_share_nothing() -> None:
    SCHEMA.make_record("VM")["other_config"]["k"] = "v"
    assert SCHEMA.make_record("VM")["other_config"] == {}


@pytest.mark.parametrize(
    ("wire_name", "found"),
    [
        ("VM.get_record", "VM.get_record"),
        ("VM_get_record", "VM.get_record"),
        ("VM_metrics_get_record", "VM_metrics.get_record"),
        ("VM_guest_metrics.get_os_version", "VM_guest_metrics.get_os_version"),
        ("event_from", "event.from"),
    ],
)
def test_messages_are_found_in_both_spellings(wire_name: str, found: str) -> None:
    message = SCHEMA.find_message(wire_name)
    assert message is not None
    assert message.wire_name == found


@pytest.mark.parametrize("name", ["vm.get_record", "VM.nothing", "VM", "", "session.get_all", "VM.set_power_state"])
def test_what_the_model_has_not_is_not_found(name: str) -> None:
    assert SCHEMA.find_message(name) is None


def test_optional_parameters_keep_their_defaults() -> None:
    login = SCHEMA.classes["session"].messages["login_with_password"]
    assert [(p.name, p.required, p.default) for p in login.params[2:]] == [
        ("version", False, "1.1"),
        ("originator", False, ""),
    ]
    assert not login.needs_session
    assert SCHEMA.classes["VM"].messages["pool_migrate"].is_async


def test_relations_join_fields_that_fit() -> None:
    for (cls, field), (other, listing) in SCHEMA.listed_by.items():
        assert SCHEMA.classes[cls].fields[field].type == f"{other} ref"
        assert SCHEMA.classes[other].fields[listing].type == f"{cls} ref set"


def test_types_are_taken_apart() -> None:
    assert split_map("(string -> enum x) map") == ("string", "enum x")
    assert split_map("string set") is None
    assert split_set("VM ref set") == "VM ref"
    assert split_set("string") is None
