"""Conformance E: what event.from tells. Each case as in xapi's source or seen at a real one."""

import re
import time

import pytest

from tests.support.wire import WireClient

SCALE = 5.0


@pytest.fixture
def vm(wire: WireClient) -> str:
    return wire.pool.store.find("VM", is_control_domain=False, power_state="Halted", is_a_template=False)[0]


def _kinds(events: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(event["class"], event["operation"]) for event in events]


def test_e01_an_empty_token_gives_all_that_is_there(wire: WireClient, vm: str) -> None:
    task = wire.call("task.create", "e", "")
    batch = wire.events(["vm", "task"], "", 30.0)
    assert set(_kinds(batch["events"])) == {("task", "add"), ("vm", "add")}
    vms = [event["ref"] for event in batch["events"] if event["class"] == "vm"]
    assert (sorted(vms), vm in vms) == (sorted(wire.call("VM.get_all")), True)
    assert task in [event["ref"] for event in batch["events"]]
    assert all("snapshot" in event for event in batch["events"])
    assert re.fullmatch(r"\d{20},0{20}", batch["token"])


def test_e03_what_is_new_is_added_once_and_then_modified_once(wire: WireClient) -> None:
    token = wire.events(["task"], "", 0.0)["token"]
    task = wire.call("task.create", "e", "")
    (added,) = (first := wire.events(["task"], token))["events"]
    assert (added["operation"], added["ref"], added["snapshot"]["name_label"]) == ("add", task, "e")
    for progress in (0.1, 0.2, 0.3):
        wire.call("task.set_progress", task, progress)
    (changed,) = wire.events(["task"], first["token"])["events"]
    assert (changed["operation"], changed["snapshot"]["progress"]) == ("mod", 0.3)


def _make_finished(wire: WireClient) -> str:
    task = str(wire.call("task.create", "e", ""))
    wire.call("task.set_status", task, "success")
    return task


def test_e04_what_came_and_went_is_not_told(wire: WireClient) -> None:
    known = _make_finished(wire)
    token = wire.events(["task"])["token"]
    wire.call("task.destroy", _make_finished(wire))
    batch = wire.events(["task"], token, 0.5)
    assert batch["events"] == []
    wire.call("task.destroy", known)
    (gone,) = wire.events(["task"], batch["token"])["events"]
    assert (gone["operation"], gone["ref"]) == ("del", known)


def test_e05_a_deletion_has_no_snapshot(wire: WireClient) -> None:
    task = _make_finished(wire)
    token = wire.events(["task"])["token"]
    wire.call("task.destroy", task)
    (event,) = wire.events(["task"], token)["events"]
    assert set(event) == {"id", "timestamp", "class", "operation", "ref"}
    assert (event["class"], event["operation"], event["ref"], event["timestamp"]) == ("task", "del", task, "0.0")


def test_e06_the_members_of_an_event(wire: WireClient) -> None:
    task = wire.call("task.create", "e", "")
    token = wire.events(["task"])["token"]
    wire.call("task.set_progress", task, 0.1)
    (event,) = wire.events(["task"], token)["events"]
    assert list(event) == ["id", "timestamp", "class", "operation", "ref", "snapshot"]
    assert (event["timestamp"], event["class"], event["operation"], event["ref"]) == ("0.0", "task", "mod", task)
    assert event["id"].isdigit()
    assert event["snapshot"] == wire.call("task.get_record", task)


def test_e07_added_comes_before_modified_and_that_before_deleted(wire: WireClient) -> None:
    kept, gone = _make_finished(wire), _make_finished(wire)
    token = wire.events(["task", "message"])["token"]
    wire.call("task.destroy", gone)
    wire.call("task.set_progress", kept, 0.4)
    made = wire.call("task.create", "e", "")
    pool = wire.pool.store.refs("pool")[0]
    message = wire.call("message.create", "TEST", 5, "Pool", wire.call("pool.get_uuid", pool), "b")
    events = wire.events(["task", "message"], token)["events"]
    assert [(event["operation"], event["ref"]) for event in events] == [
        ("add", message),
        ("add", made),
        ("mod", kept),
        ("del", gone),
    ]
    assert events[0]["id"] == "0"


def test_e08_classes_in_any_case_objects_exactly_unknown_ones_never(wire: WireClient, vm: str) -> None:
    counts = {
        text: len(wire.events([text], "", 0.1)["events"])
        for text in (f"vm/{vm}", f"VM/{vm}", "VM", "vm", "*", "nosuch", "vm/OpaqueRef:none")
    }
    vms = len(wire.call("VM.get_all"))
    assert list(counts.values()) == [1, 1, vms, vms, counts["*"], 0, 0]
    assert counts["*"] > vms
    assert {"session", "user", "secret"}.isdisjoint({e["class"] for e in wire.events(["*"])["events"]})


def test_e09_a_token_that_is_none_is_refused(wire: WireClient) -> None:
    assert wire.refuse("event.from", ["vm"], "garbage", 1.0) == ["EVENT_FROM_TOKEN_PARSE_FAILURE", "garbage"]


def test_e13_whoever_asks_for_tasks_only_does_not_wait_for_more(wire: WireClient, vm: str) -> None:
    task = wire.call("task.create", "e", "")

    def ask(classes: list[str]) -> float:
        began = time.monotonic()
        assert wire.events(classes)["events"]
        return time.monotonic() - began

    assert min(ask([f"task/{task}", f"vm/{vm}"]) for _ in range(3)) >= 0.05 / SCALE
    token = wire.events([f"task/{task}"])["token"]
    wire.call("task.set_progress", task, 0.1)
    wire.call("task.set_progress", task, 0.2)
    (event,) = wire.events([f"task/{task}"], token)["events"]
    assert event["snapshot"]["progress"] == 0.2


def test_e14_a_new_child_changes_its_parent(wire: WireClient, vm: str) -> None:
    token = wire.events(["vm", "vbd"])["token"]
    free = wire.call("VM.get_allowed_VBD_devices", vm)[0]
    fields = {"VM": vm, "VDI": "OpaqueRef:NULL", "userdevice": free, "bootable": False, "mode": "RO", "type": "CD"}
    fields |= {"empty": True, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}}
    vbd = wire.call("VBD.create", fields)
    batch = wire.events(["vm", "vbd"], token)
    assert _kinds(batch["events"]) == [("vbd", "add"), ("vm", "mod")]
    wire.call("VBD.add_to_other_config", vbd, "k", "v")
    batch = wire.events(["vm", "vbd"], batch["token"])
    assert _kinds(batch["events"]) == [("vbd", "mod")]
    wire.call("VBD.destroy", vbd)
    assert _kinds(wire.events(["vm", "vbd"], batch["token"])["events"]) == [("vm", "mod"), ("vbd", "del")]


def test_e15_an_injected_event_is_younger_than_its_token(wire: WireClient) -> None:
    pool = wire.pool.store.refs("pool")[0]
    token = wire.call("event.inject", "pool", pool)
    assert re.fullmatch(r"\d{20},0{20}", token)
    (event,) = wire.events(["pool"], token)["events"]
    assert (event["class"], event["operation"], event["ref"]) == ("pool", "mod", pool)
    assert wire.refuse("event.inject", "POOL", pool) == ["HANDLE_INVALID", "POOL", pool]
