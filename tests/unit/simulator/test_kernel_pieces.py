"""Small pieces of the kernel: types, clock, faults, masks, registry."""

import threading
import time

import pytest

from lmflow.simulator.audit import mask
from lmflow.simulator.clock import Clock
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.typecheck import accept, show
from lmflow.simulator.database.values import DateTime
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.faults import Faults, matches
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import OPERATIONS, PARTS, ROUTES, control_route, operation, part

SCHEMA = Schema.load()


@pytest.mark.parametrize(
    ("type_text", "given", "expected"),
    [
        ("string", "x", "x"),
        ("int", "7", 7),
        ("int", 7, 7),
        ("float", 1, 1.0),
        ("float", "1.5", 1.5),
        ("bool", True, True),
        ("datetime", "20260101T00:00:00Z", DateTime("20260101T00:00:00Z")),
        ("VM ref", "OpaqueRef:x", "OpaqueRef:x"),
        ("string set", ["a"], ["a"]),
        ("(string -> int) map", {"a": "1"}, {"a": 1}),
        ("enum vm_power_state", "Running", "Running"),
        ("(enum vm_operations -> string) map", {"pool_migrate": "no"}, {"pool_migrate": "no"}),
    ],
)
def test_what_fits_is_accepted_as_the_type_wants_it(type_text: str, given: object, expected: object) -> None:
    found = accept(SCHEMA, type_text, given)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("type_text", "given", "text"),
    [
        ("string", 5, "Expected string, got 'I(5)'"),
        ("string", True, "Expected string, got 'B(true)'"),
        ("VM ref", [], "Expected string, got '[]'"),
        ("int", "x", "Int64.of_string"),
        ("int", True, "Expected int64, got 'B(true)'"),
        ("float", "x", "float_of_string"),
        ("float", [], "Expected float, got '[]'"),
        ("bool", "yes", "Expected bool, got 'S(yes)'"),
        ("datetime", 1, "Expected datetime, got 'I(1)'"),
        ("string set", "a", "Expecting Rpc.Enum, but found 'S(a)'"),
        ("(string -> string) map", [], "Expecting Rpc.Dict, but found '[]'"),
        ("(string -> string) map", {"a": 1}, "Expected string, got 'I(1)'"),
        ("enum vm_power_state", "Flying", "Unknown tag/contents"),
    ],
)
def test_what_does_not_fit_is_refused_in_xapis_words(type_text: str, given: object, text: str) -> None:
    with pytest.raises(ApiFailure) as refused:
        accept(SCHEMA, type_text, given)
    assert refused.value.description == ["INTERNAL_ERROR", f'Failure("{text}")']


def test_values_are_shown_as_the_marshaller_shows_them() -> None:
    assert show({"a": "x", "b": [1, 1.5, None]}) == "{a:S(x);b:[I(1);F(1.5);N]}"
    assert show(DateTime("20260101T00:00:00Z")) == "D(20260101T00:00:00Z)"


def test_the_clock_runs_by_its_scale() -> None:
    clock = Clock(scale=1000.0, start=1_000_000.0)
    assert 1_000_000.0 <= clock.now() < 1_600_000.0
    assert clock.real(30.0) == 0.03
    assert clock.real(-1.0) == 0.0
    assert clock.stamp(0.0) == "19700101T00:00:00Z"


def test_waiting_ends_early_when_the_event_is_set() -> None:
    clock = Clock()
    event = threading.Event()
    event.set()
    assert clock.wait(3600.0, event) is True
    assert Clock(1e6).wait(1.0, threading.Event()) is False
    assert Clock(1e6).wait(1.0) is False


def test_a_clock_cannot_stand_still() -> None:
    with pytest.raises(ValueError, match="positive"):
        Clock(0.0)


def test_call_names_match() -> None:
    assert matches("VM.x", "VM.x")
    assert matches("VM.x", "Async.VM.x")
    assert matches("*", "VM.x")
    assert not matches("Async.VM.x", "VM.x")
    assert not matches("VM.x", "VM.xy")


def test_each_fault_counts_for_itself_and_befalls_once() -> None:
    faults = Faults(Clock())
    faults.add("VM.x", "delay", nth=2)
    faults.add("VM.x", "hang", nth=1)
    assert [[fault.kind for fault in faults.take("VM.x")] for _ in range(3)] == [["hang"], ["delay"], []]
    faults.add("VM.x", "delay")
    faults.clear()
    assert faults.take("VM.x") == []


def test_a_hold_lets_other_deliveries_pass() -> None:
    faults = Faults(Clock())
    hold = faults.hold("VM.x", "request_read", nth=2)
    faults.pass_point("VM.x", "reply_written")
    faults.pass_point("VM.y", "request_read")
    faults.pass_point("VM.x", "request_read")
    assert not hold.there.is_set()
    thread = threading.Thread(target=faults.pass_point, args=("VM.x", "request_read"))
    thread.start()
    assert hold.there.wait(10)
    assert faults.release() == 1
    thread.join(10)
    assert not thread.is_alive()
    assert faults.holds() == []


ISSUED = "OpaqueRef:11111111-2222-4333-8444-555555555555"
OTHER = "OpaqueRef:11111111-2222-4333-8444-666666666666"


@pytest.mark.parametrize(
    ("name", "params", "masked"),
    [
        ("VM.get_record", ["x", "vm"], ["SESSION", "vm"]),
        ("VM.get_record", ["x", OTHER], ["SESSION", OTHER]),
        ("session.logout", ["x"], ["SESSION"]),
        ("session.get_record", ["x", "one that is over"], ["SESSION", "SESSION"]),
        ("session.login_with_password", ["root", "pw", "1", "me"], ["root", "PASSWORD", "1", "me"]),
        ("session.slave_local_login_with_password", ["root", "pw"], ["root", "PASSWORD"]),
        ("session.login_with_password", ["root", "pw", "1", "me", "more"], ["root", "PASSWORD", "1", "me", "PASSWORD"]),
        ("session.login_with_passwort", ["root", "pw"], ["SESSION", "PASSWORD"]),
        ("pool.join", ["x", "1.2.3.4", "root", "pw"], ["SESSION", "1.2.3.4", "root", "PASSWORD"]),
        ("pool.join", ["x", "root", "pw"], ["SESSION", "PASSWORD", "PASSWORD"]),
        ("secret.create", ["x", {"value": "pw"}], ["SESSION", "PASSWORD"]),
        ("secret.get_value", ["x", "OpaqueRef:s"], ["SESSION", "OpaqueRef:s"]),
        ("VM.add_to_other_config", ["x", "vm", "my_token", "pw"], ["SESSION", "vm", "my_token", "PASSWORD"]),
        ("VM.add_to_other_config", ["x", "vm", "key", "text"], ["SESSION", "vm", "key", "text"]),
        ("VM.set_other_config", ["x", "vm", {"cifspassword": "pw"}], ["SESSION", "vm", {"cifspassword": "PASSWORD"}]),
        ("VM.set_tags", ["x", "vm", [f"a {ISSUED[10:]} b"]], ["SESSION", "vm", ["a SESSION b"]]),
        ("VM.set_other_config", ["x", "vm", {ISSUED: 1}], ["SESSION", "vm", {"SESSION": "PASSWORD"}]),
        (
            "VM.assert_can_migrate",
            ["x", "vm", {"SM": f"http://h/?session_id={ISSUED}&b", "xenops": "http://h/?session_id=another-pools"}],
            ["SESSION", "vm", {"SM": "http://h/?session_id=SESSION&b", "xenops": "http://h/?session_id=SESSION"}],
        ),
        ("event.from", ["x", ["vm"], "1,2", 1.0], ["SESSION", ["vm"], "1,2", 1.0]),
        ("VM.get_all", [], []),
    ],
)
def test_secrets_are_masked(name: str, params: list[object], masked: list[object]) -> None:
    assert mask(SCHEMA.find_message(name), params, {ISSUED}.__contains__) == masked


def test_the_audit_log_cuts_long_texts() -> None:
    (_, _, kept) = mask(SCHEMA.find_message("VM.set_name_description"), ["x", "vm", "y" * 5000], lambda _: False)
    assert kept == "y" * 1000 + "... (5000 characters)"


def test_the_registry_keeps_what_announces_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for held in (OPERATIONS, PARTS, ROUTES):
        for name in list(held):
            monkeypatch.delitem(held, name)  # type: ignore[attr-defined]
    assert operation("VM.x", effect=True)(repr) is repr
    assert part("p")(repr) is repr
    assert control_route("GET", "/x")(repr) is repr
    assert (OPERATIONS["VM.x"].effect, OPERATIONS["VM.x"].function) == (True, repr)
    assert ({"p": repr}, {("GET", "/x"): repr}) == (PARTS, ROUTES)
    for held in (OPERATIONS, PARTS, ROUTES):
        held.clear()  # type: ignore[attr-defined]


def test_parts_are_found_by_their_type() -> None:
    kernel = Kernel()
    kernel.parts["words"] = {"a": 1}
    assert kernel.part(dict) == {"a": 1}
    with pytest.raises(KeyError, match="list"):
        kernel.part(list)


def test_hosts_are_found_by_name_uuid_and_reference() -> None:
    kernel = Kernel()
    host = kernel.store.create("host", {"name_label": "h1"})
    for name in ("h1", host, kernel.store.value("host", host, "uuid")):
        assert kernel.find_host(name) == host
    with pytest.raises(KeyError, match="h9"):
        kernel.find_host("h9")


def test_a_record_is_read_in_well_under_five_milliseconds() -> None:
    kernel = Kernel()
    vm = kernel.store.create("VM", {})
    start = time.process_time()
    for _ in range(200):
        kernel.store.record("VM", vm)
    assert (time.process_time() - start) / 200 < 0.005
