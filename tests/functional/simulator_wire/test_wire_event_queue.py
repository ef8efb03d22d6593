"""event.register, event.next and event.unregister over the wire."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator import event_queue
from lmflow.simulator.pool import SimulatedPool
from tests.support.wire import Background, WireClient, in_background


def _next_in_background(wire: WireClient) -> Any:
    return in_background(lambda: wire.raw("event.next", wire.session))


def _is_listening(wire: WireClient, call: Background) -> bool:
    return call.is_running and any(entry.method == "event.next" for entry in wire.pool.audit.entries())


def test_who_never_registered_has_no_next_event(wire: WireClient) -> None:
    digest = hashlib.md5(wire.session.encode(), usedforsecurity=False).hexdigest()
    assert wire.refuse("event.next") == ["SESSION_NOT_REGISTERED", f"trackid={digest}"]


def test_every_change_is_told_with_a_number_and_a_time(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    wire.call("event.register", ["VM", "task"])
    assert wire.call("event.get_current_id") == "0"
    wire.call("VM.set_name_description", vm, "a")
    wire.call("VM.set_name_description", vm, "b")
    first, second = wire.call("event.next")
    assert [first["id"], second["id"]] == ["0", "1"]
    assert [e["snapshot"]["name_description"] for e in (first, second)] == ["a", "b"]
    assert (first["class"], first["operation"], first["ref"]) == ("vm", "mod", vm)
    assert first["timestamp"].endswith(".")
    assert wire.call("event.get_current_id") == "2"


def test_nothing_is_numbered_while_nobody_listens(wire: WireClient) -> None:
    wire.call("VM.set_name_description", wire.ref("VM", "vm"), "a")
    assert wire.call("event.get_current_id") == "0"
    wire.call("event.register", ["host"])
    wire.call("VM.set_name_description", wire.ref("VM", "vm"), "b")
    assert wire.call("event.get_current_id") == "0"


def test_a_deletion_is_told_with_the_last_state(wire: WireClient) -> None:
    wire.call("event.register", ["task"])
    task = wire.call("task.create", "short", "")
    wire.call("task.set_status", task, "success")
    wire.call("task.destroy", task)
    events = wire.call("event.next")
    assert [event["operation"] for event in events] == ["add", "mod", "del"]
    assert events[-1]["snapshot"]["name_label"] == "short"


def test_next_waits_and_unregistered_classes_do_not_wake_it(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    wire.call("event.register", ["VM", "task"])
    wire.call("event.unregister", ["VM"])
    with _next_in_background(wire) as call:
        while not _is_listening(wire, call):
            assert call.is_running
        wire.call("VM.set_name_description", vm, "a")
        wire.call("task.create", "seen", "")
    assert [event["class"] for event in call.result.value] == ["task"]


def test_a_session_that_ends_while_it_waits_is_told(wire: WireClient) -> None:
    wire.call("event.register", ["*"])
    session = wire.session
    # A heartbeat may come first; whoever listens to everything asks again.
    with in_background(lambda: _ask_until_refused(wire, session)) as call:
        while not _is_listening(wire, call):
            assert call.is_running
        wire.raw("session.logout", session)
    assert call.result == ["SESSION_INVALID", session]


def _ask_until_refused(wire: WireClient, session: str) -> list[str]:
    while True:
        reply = wire.raw("event.next", session)
        if reply.parsed["Status"] == "Failure":
            return reply.failure


def test_too_much_is_lost_and_said_so(wire: WireClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_queue, "LIMIT_BYTES", 20_000)
    vm = wire.ref("VM", "vm")
    wire.call("event.register", ["VM"])
    for index in range(8):
        wire.call("VM.set_name_description", vm, f"{index} " + "x" * 1000)
    assert wire.refuse("event.next") == ["EVENTS_LOST"]
    wire.call("VM.set_name_description", vm, "after")
    (event,) = wire.call("event.next")
    assert (event["id"], event["snapshot"]["name_description"]) == ("8", "after")


def test_the_collector_sends_a_heartbeat_of_the_pool(wire: WireClient) -> None:
    wire.call("event.register", ["pool"])
    token = wire.events(["pool"])["token"]
    (event, *_) = wire.call("event.next")
    assert (event["class"], event["operation"]) == ("pool", "mod")
    assert wire.events(["pool"], token, 1.0)["events"] == []


def test_an_injected_event_is_told_too(wire: WireClient) -> None:
    wire.call("event.register", ["VM"])
    wire.call("event.inject", "VM", wire.ref("VM", "vm"))
    (event,) = wire.call("event.next")
    assert event["operation"] == "mod"


def test_registrations_and_numbers_go_with_the_coordinators_toolstack(
    make_pool: Callable[..., SimulatedPool],
) -> None:
    wire = WireClient(make_pool())
    wire.login()
    wire.call("event.register", ["VM"])
    wire.call("VM.set_name_description", wire.ref("VM", "vm"), "a")
    wire.pool.toolstack.lose_memory()
    wire.login()
    assert wire.call("event.get_current_id") == "0"
    assert wire.refuse("event.next")[0] == "SESSION_NOT_REGISTERED"
