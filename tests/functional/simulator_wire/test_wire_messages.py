"""Calls about messages over the wire."""

import xmlrpc.client

from tests.support.wire import WireClient

EPOCH = xmlrpc.client.DateTime("19700101T00:00:00Z")
FUTURE = xmlrpc.client.DateTime("29990101T00:00:00Z")


def _create(wire: WireClient, name: str, priority: int = 5) -> str:
    uuid = wire.call("VM.get_uuid", wire.ref("VM", "vm"))
    return str(wire.call("message.create", name, priority, "VM", uuid, "text"))


def test_a_message_is_about_an_object_of_the_pool(wire: WireClient) -> None:
    ref = _create(wire, "NOTE")
    record = wire.call("message.get_record", ref)
    assert (record["name"], record["priority"], record["cls"], record["body"]) == ("NOTE", "5", "VM", "text")
    assert wire.call("message.get_by_uuid", record["uuid"]) == ref
    for cls in ("VM", "Host"):
        assert wire.refuse("message.create", "X", 5, cls, "u", "") == ["UUID_INVALID", cls, "u"]


def test_messages_are_found_by_object_and_time(wire: WireClient) -> None:
    first, second = _create(wire, "FIRST"), _create(wire, "SECOND")
    uuid = wire.call("VM.get_uuid", wire.ref("VM", "vm"))
    assert list(wire.call("message.get", "VM", uuid, EPOCH)) == [second, first]
    assert wire.call("message.get", "Host", uuid, EPOCH) == {}
    assert set(wire.call("message.get_since", EPOCH)) == {first, second}
    assert wire.call("message.get_since", FUTURE) == {}
    assert set(wire.call("message.get_all")) == {first, second}


def test_messages_are_destroyed_one_or_many(wire: WireClient) -> None:
    one, two, three, four = (_create(wire, name, priority) for name, priority in zip("abcd", (1, 2, 2, 3), strict=True))
    wire.call("message.destroy", one)
    assert wire.refuse("message.destroy", one) == ["HANDLE_INVALID", "message", one]
    wire.call("message.destroy_many", [four])
    wire.call("message.destroy_all", {"priority": "1"})
    assert set(wire.call("message.get_all")) == {two, three}
    wire.call("message.destroy_all", {"before": "29990101T00:00:00Z", "priority": "2"})
    assert wire.call("message.get_all") == []
    assert wire.refuse("message.destroy_all", {"colour": "red"}) == ["INVALID_VALUE", "filter", "colour"]


def test_a_message_that_goes_is_told_before_all_others(wire: WireClient) -> None:
    ref = _create(wire, "NOTE")
    token = wire.events(["message", "vm"])["token"]
    wire.call("message.destroy", ref)
    wire.call("VM.set_name_description", wire.ref("VM", "vm"), "x")
    events = wire.events(["message", "vm"], token)["events"]
    assert [(event["class"], event["operation"]) for event in events] == [("message", "del"), ("vm", "mod")]
    assert (events[0]["id"], events[0]["ref"]) == ("0", ref)
