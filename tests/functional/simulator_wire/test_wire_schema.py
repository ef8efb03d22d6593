"""Classes come from data: one that nobody wrote code for is driven over the wire."""

from collections.abc import Callable

import pytest
import XenAPI

from lmflow.simulator.database.schema import Schema
from lmflow.simulator.pool import SimulatedPool
from tests.support.wire import WireClient

LOCK = {
    "fields": {
        "uuid": ["string", "RO/runtime", None],
        "name_label": ["string", "RW", '""'],
        "colour": ["enum lock_colour", "RW", "red"],
        "weight": ["int", "RW", "7"],
        "open": ["bool", "RO/runtime", "true"],
        "keys": ["string set", "RW", "{}"],
        "other_config": ["(string -> string) map", "RW", "{}"],
        "guards": ["VM ref", "RW", "OpaqueRef:NULL"],
    },
    "enums": {"lock_colour": ["red", "green"]},
}


@pytest.fixture
def wire(make_pool: Callable[..., SimulatedPool]) -> WireClient:
    client = WireClient(make_pool(schema=Schema.load({"Lock": LOCK})))
    client.login()
    return client


def test_a_class_added_as_data_answers_all_accessors(wire: WireClient) -> None:
    lock = wire.pool.store.create("Lock", {"name_label": "front door"})
    uuid = wire.call("Lock.get_uuid", lock)
    assert wire.call("Lock.get_all") == [lock]
    assert wire.call("Lock.get_by_uuid", uuid) == lock
    assert wire.call("Lock.get_by_name_label", "front door") == [lock]
    expected = {
        "uuid": uuid,
        "name_label": "front door",
        "colour": "red",
        "weight": "7",
        "open": True,
        "keys": [],
        "other_config": {},
        "guards": "OpaqueRef:NULL",
    }
    assert wire.call("Lock.get_record", lock) == expected
    assert wire.call("Lock.get_all_records") == {lock: expected}
    assert wire.call("Lock.get_all_records_where", 'field "weight" = "8"') == {}


def test_its_writable_fields_can_be_written(wire: WireClient) -> None:
    lock = wire.pool.store.create("Lock", {})
    wire.call("Lock.set_weight", lock, "9")
    wire.call("Lock.set_colour", lock, "green")
    wire.call("Lock.add_keys", lock, "k1")
    wire.call("Lock.add_keys", lock, "k2")
    wire.call("Lock.remove_keys", lock, "k1")
    wire.call("Lock.add_to_other_config", lock, "a", "1")
    record = wire.call("Lock.get_record", lock)
    assert [record[name] for name in ("weight", "colour", "keys", "other_config")] == ["9", "green", ["k2"], {"a": "1"}]
    wire.call("Lock.remove_from_other_config", lock, "a")
    assert wire.call("Lock.get_other_config", lock) == {}
    assert wire.refuse("Lock.set_colour", lock, "blue")[0] == "INTERNAL_ERROR"
    assert wire.refuse("Lock.set_open", lock, False) == ["MESSAGE_METHOD_UNKNOWN", "Lock.set_open"]
    assert wire.refuse("Lock.get_weight", "OpaqueRef:x") == ["HANDLE_INVALID", "Lock", "OpaqueRef:x"]


def test_it_has_events(wire: WireClient) -> None:
    token = wire.events(["lock"], timeout_seconds=1.0)["token"]
    lock = wire.pool.store.create("Lock", {})
    (event,) = wire.events(["LOCK"], token)["events"]
    assert (event["class"], event["ref"]) == ("lock", lock)


def test_the_official_sdk_logs_in_and_reads(wire: WireClient) -> None:
    options = wire.pool.options
    session = XenAPI.Session(f"http://127.0.0.1:{wire.port}")
    session.xenapi.login_with_password(options.username, options.password, "1.0", "sdk")
    try:
        (vm,) = session.xenapi.VM.get_all()
        assert session.xenapi.VM.get_record(vm)["name_label"] == "vm"
        assert session.xenapi.VM.get_memory_static_max(vm) == str(2**32)
        batch = session.xenapi.event_from(["vm"], "", 1.0)
        assert [event["ref"] for event in batch["events"]] == [vm]
        with pytest.raises(XenAPI.Failure) as refused:
            session.xenapi.VM.get_record("OpaqueRef:x")
        assert refused.value.details == ["HANDLE_INVALID", "VM", "OpaqueRef:x"]
    finally:
        session.xenapi.session.logout()
        session("close")()
    assert "sdk" not in {r["originator"] for r in wire.pool.store.view()["session"].values()}
