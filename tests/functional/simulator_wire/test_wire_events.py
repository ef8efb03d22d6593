"""event.from over the wire."""

from collections.abc import Callable

import pytest

from lmflow.simulator.pool import SimulatedPool
from tests.support.wire import WireClient, in_background, wait_until_asked


def test_an_empty_token_gives_every_object_as_add(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    batch = wire.events(["vm", "host"])
    assert {(e["class"], e["operation"]) for e in batch["events"]} == {("vm", "add"), ("host", "add")}
    (event,) = [e for e in batch["events"] if e["class"] == "vm"]
    assert (event["ref"], event["timestamp"]) == (vm, "0.0")
    assert event["snapshot"] == wire.call("VM.get_record", vm)
    assert event["id"].isdigit()


def test_a_token_is_two_numbers_of_twenty_digits(wire: WireClient) -> None:
    first, second = wire.events(["vm"])["token"].split(",")
    assert (len(first), len(second), int(second)) == (20, 20, 0)


def test_reference_counts_are_i4_for_every_class(wire: WireClient) -> None:
    reply = wire.raw("event.from", wire.session, ["vm"], "", 0.0)
    assert "<member><name>host</name><value><i4>2</i4></value></member>" in reply.inner
    assert set(reply.value["valid_ref_counts"]) == {name.lower() for name in wire.pool.schema.classes}
    assert list(reply.value) == ["events", "valid_ref_counts", "token"]


@pytest.mark.parametrize(
    ("classes", "count"),
    [(["VM"], 1), (["vm"], 1), (["VM/{vm}"], 1), (["vm/{vm}"], 1), (["vm/OpaqueRef:x"], 0), (["nosuch"], 0), ([], 0)],
)
def test_classes_are_named_in_any_case_and_objects_exactly(wire: WireClient, classes: list[str], count: int) -> None:
    vm = wire.ref("VM", "vm")
    batch = wire.events([text.format(vm=vm) for text in classes], timeout_seconds=1.0)
    assert len(batch["events"]) == count


def test_a_star_means_every_class(wire: WireClient) -> None:
    assert {e["class"] for e in wire.events(["*"])["events"]} == {"vm", "host", "pool"}


def test_many_changes_are_one_event_with_the_newest_state(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    token = wire.events(["vm"])["token"]
    for text in ("a", "b", "c"):
        wire.call("VM.set_name_description", vm, text)
    batch = wire.events(["vm"], token)
    assert [(e["operation"], e["snapshot"]["name_description"]) for e in batch["events"]] == [("mod", "c")]
    assert batch["token"] > token


def test_adds_come_before_mods_and_those_before_deletions(wire: WireClient) -> None:
    store, host = wire.pool.store, wire.ref("host", "h1")
    gone = store.create("VM", {"name_label": "gone"})
    token = wire.events(["vm"])["token"]
    store.destroy("VM", gone)
    store.update("VM", wire.ref("VM", "vm"), name_description="x")
    new = store.create("VM", {"name_label": "new", "affinity": host})
    events = wire.events(["vm"], token)["events"]
    assert [e["operation"] for e in events] == ["add", "mod", "del"]
    assert (events[0]["ref"], events[2]["ref"]) == (new, gone)
    assert "snapshot" not in events[2]


def test_what_came_and_went_between_two_calls_is_not_told(wire: WireClient) -> None:
    token = wire.events(["vm"])["token"]
    wire.pool.store.destroy("VM", wire.pool.store.create("VM", {}))
    assert wire.events(["vm"], token, 1.0)["events"] == []


def test_a_task_that_came_and_ended_is_one_add(wire: WireClient) -> None:
    token = wire.events(["task"], timeout_seconds=0.0)["token"]
    task = wire.call("task.create", "x", "")
    wire.call("task.set_status", task, "success")
    (event,) = wire.events(["task"], token)["events"]
    assert (event["operation"], event["snapshot"]["status"]) == ("add", "success")


def test_a_new_child_is_an_event_of_its_parent_too(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    token = wire.events(["vm", "vbd"])["token"]
    vbd = wire.pool.store.create("VBD", {"VM": vm})
    batch = wire.events(["vm", "vbd"], token)
    assert [(e["class"], e["operation"]) for e in batch["events"]] == [("vbd", "add"), ("vm", "mod")]
    assert batch["events"][1]["snapshot"]["VBDs"] == [vbd]
    wire.pool.store.update("VBD", vbd, device="xvda")
    assert [e["class"] for e in wire.events(["vm", "vbd"], batch["token"])["events"]] == ["vbd"]


def test_what_is_changed_under_one_lock_is_told_as_one_step(wire: WireClient) -> None:
    store, vm = wire.pool.store, wire.ref("VM", "vm")
    token = wire.events(["vm"])["token"]
    with in_background(lambda: wire.events([f"vm/{vm}"], token)) as call:
        wait_until_asked(wire.pool, "event.from", 2)
        with store.lock:
            store.update("VM", vm, name_description="first")
            assert wire.exchange(b"OPTIONS / HTTP/1.0\r\n\r\n"), "the server goes on meanwhile"
            store.update("VM", vm, resident_on=wire.ref("host", "h2"))
    (event,) = call.result["events"]
    assert event["snapshot"]["name_description"] == "first"
    assert event["snapshot"]["resident_on"] == wire.ref("host", "h2")


def test_nothing_new_gives_the_same_token_after_the_timeout(make_pool: Callable[..., SimulatedPool]) -> None:
    wire = WireClient(make_pool(time_scale=10.0))
    wire.login()
    token = wire.events(["vm"])["token"]
    for timeout in (1.0, 1, "1.0"):
        start = wire.pool.clock.now()
        batch = wire.call("event.from", ["vm"], token, timeout)
        assert wire.pool.clock.now() - start >= 1.0
        assert (batch["events"], batch["token"]) == ([], token)


def test_a_negative_timeout_waits_until_something_happens(wire: WireClient) -> None:
    token = wire.events(["vm"])["token"]
    with in_background(lambda: wire.events(["vm"], token, -1.0)) as call:
        wait_until_asked(wire.pool, "event.from", 2)
        assert wire.events(["vm"], token, 1.0)["events"] == [], "one who asked later is answered"
        assert call.is_running
        wire.call("VM.set_name_description", wire.ref("VM", "vm"), "x")
    assert len(call.result["events"]) == 1


@pytest.mark.parametrize("token", ["garbage", "12", "1,2,3", "a,b"])
def test_a_token_that_is_none_is_refused(wire: WireClient, token: str) -> None:
    assert wire.refuse("event.from", ["vm"], token, 1.0) == ["EVENT_FROM_TOKEN_PARSE_FAILURE", token]


def test_a_token_of_the_future_is_accepted_in_silence(wire: WireClient) -> None:
    assert wire.events(["vm"], "999999,999999", 1.0)["events"] == []


def test_an_old_token_holds_after_all_sessions_were_lost(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    token = wire.events(["vm"])["token"]
    wire.pool.sessions.lose_all()
    wire.pool.tasks.lose_all()
    wire.pool.store.update("VM", vm, power_state="Halted")
    wire.login()
    (event,) = wire.events(["vm"], token)["events"]
    assert (event["operation"], event["snapshot"]["power_state"]) == ("mod", "Halted")


def test_an_event_can_be_injected(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    token = wire.call("event.inject", "VM", vm)
    (event,) = wire.events(["vm"], token)["events"]
    assert (event["operation"], event["ref"]) == ("mod", vm)
    assert wire.refuse("event.inject", "nosuch", "x") == ["HANDLE_INVALID", "nosuch", "x"]
    assert wire.refuse("event.inject", "VM", "x") == ["HANDLE_INVALID", "VM", "x"]


def test_messages_have_a_number_of_their_own_in_the_token(wire: WireClient) -> None:
    token = wire.events(["message", "vm"])["token"]
    wire.pool.store.create("message", {"name": "VM_MIGRATED", "priority": 5, "cls": "VM"})
    wire.call("VM.set_name_description", wire.ref("VM", "vm"), "x")
    batch = wire.events(["message", "vm"], token)
    assert [e["class"] for e in batch["events"]] == ["message", "vm"]
    assert int(batch["token"].split(",")[1]) > 0
    assert wire.events(["message", "vm"], batch["token"], 1.0)["events"] == []


def test_a_change_wakes_who_waits_for_a_task(wire: WireClient) -> None:
    task = wire.call("task.create", "x", "")
    token = wire.events([f"task/{task}"])["token"]
    with in_background(lambda: wire.events([f"task/{task}"], token)) as call:
        wire.call("VM.set_name_description", wire.ref("VM", "vm"), "unrelated")
        wire.call("task.set_progress", task, 0.5)
    assert call.result["events"][0]["snapshot"]["progress"] == 0.5


@pytest.mark.parametrize("token", ["9" * 5000 + ",0", f"{2**63},0", f"0,{2**63}"])
def test_a_token_has_numbers_of_64_bits(wire: WireClient, token: str) -> None:
    assert wire.refuse("event.from", ["vm"], token, 0.0) == ["EVENT_FROM_TOKEN_PARSE_FAILURE", token]


@pytest.mark.parametrize("seconds", [1e15, float("inf")])
def test_a_timeout_may_be_as_long_as_one_likes(wire: WireClient, seconds: float) -> None:
    token, vm = wire.events(["vm"])["token"], wire.ref("VM", "vm")
    with in_background(lambda: wire.events(["vm"], token, seconds)) as waiting:
        wire.call("VM.set_name_description", vm, "x")
    assert [event["ref"] for event in waiting.result["events"]] == [vm]


def test_a_timeout_that_is_no_number_is_over_at_once(wire: WireClient) -> None:
    token = wire.events(["vm"])["token"]
    assert wire.events(["vm"], token, float("nan"))["events"] == []
