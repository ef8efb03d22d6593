"""Conformance D: reading and writing objects. Each case as it was seen at a real xapi, in both worlds."""

import pytest

from tests.support.wire import WireClient

SCALE = 30.0


@pytest.fixture
def vm(wire: WireClient) -> str:
    return wire.pool.store.find("VM", is_control_domain=False)[0]


def test_d02_an_unknown_uuid_is_named_with_its_class(wire: WireClient) -> None:
    assert wire.refuse("VM.get_by_uuid", "u") == ["UUID_INVALID", "VM", "u"]


def test_d03_a_label_that_nobody_has_gives_an_empty_set(wire: WireClient) -> None:
    assert wire.call("VM.get_by_name_label", "none") == []


def test_d04_a_key_that_is_there_cannot_be_added(wire: WireClient, vm: str) -> None:
    wire.call("VM.add_to_other_config", vm, "k", "v")
    assert wire.refuse("VM.add_to_other_config", vm, "k", "v2") == ["MAP_DUPLICATE_KEY", "VM", "other_config", vm, "k"]
    assert wire.call("VM.get_other_config", vm)["k"] == "v"
    wire.call("VM.remove_from_other_config", vm, "k")


def test_d05_a_key_that_is_not_there_is_removed_without_a_word(wire: WireClient, vm: str) -> None:
    assert wire.call("VM.remove_from_other_config", vm, "nokey") == ""


@pytest.mark.parametrize("cls", ["session", "event", "user", "auth"])
def test_d07_some_classes_cannot_be_listed(wire: WireClient, cls: str) -> None:
    assert wire.refuse(f"{cls}.get_all") == ["MESSAGE_METHOD_UNKNOWN", f"{cls}.get_all"]


@pytest.mark.parametrize(
    "cls", ["host_cpu", "task", "VM", "network", "Bond", "crashdump", "message", "console"]
)  # fmt: skip
def test_d07_others_can(wire: WireClient, cls: str) -> None:
    assert set(wire.call(f"{cls}.get_all")) == set(wire.pool.store.refs(cls))
