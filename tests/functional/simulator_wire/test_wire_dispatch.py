"""The checks before an operation, in their order, with the refusals that a real pool gave."""

from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.context import Context
from tests.support.wire import WireClient

NOBODY = "OpaqueRef:00000000-0000-0000-0000-000000000000"


def test_an_unknown_call_is_named_without_async(wire: WireClient) -> None:
    for name in ("Foo.bar", "VM.no_such", "Async.VM.no_such", "VM.gét", "VM.set_power_state", "session.get_all"):
        assert wire.refuse(name) == ["MESSAGE_METHOD_UNKNOWN", name.removeprefix("Async.")]
    assert wire.raw("Foo.bar").failure == ["MESSAGE_METHOD_UNKNOWN", "Foo.bar"]


def test_an_unknown_call_could_be_an_extension_and_its_session_is_checked_first(wire: WireClient) -> None:
    assert wire.raw("Foo.bar", NOBODY).failure == ["SESSION_INVALID", NOBODY]
    assert wire.raw("Foo.bar", 5).failure == ["INTERNAL_ERROR", "Failure(\"Expected string, got 'I(5)'\")"]


def test_a_call_of_the_model_that_is_not_simulated_says_so(wire: WireClient) -> None:
    assert wire.refuse("Cluster.pool_resync", NOBODY) == ["NOT_IMPLEMENTED", "Cluster.pool_resync"]


def test_a_removed_call_is_counted_and_needs_a_session_before_it_says_that_it_is_gone(wire: WireClient) -> None:
    assert wire.refuse("VBD_metrics.get_all_records") == ["MESSAGE_REMOVED"]
    assert wire.refuse("VMPP.set_backup_type", "any", 7) == ["MESSAGE_REMOVED"]
    assert wire.refuse("Async.VM.snapshot_with_quiesce", NOBODY, "name") == ["MESSAGE_REMOVED"]
    assert wire.raw("VBD_metrics.get_all_records", NOBODY).failure == ["SESSION_INVALID", NOBODY]
    assert wire.refuse("VBD_metrics.get_all_records", "more")[0] == "MESSAGE_PARAMETER_COUNT_MISMATCH"


def test_what_hosts_call_among_themselves_needs_a_session_of_a_host(wire: WireClient) -> None:
    text = 'Internal API "host.ha_disarm_fencing" call attempted with non-pool (external) session'
    assert wire.refuse("host.ha_disarm_fencing", NOBODY) == ["INTERNAL_ERROR", text]


def test_the_session_is_checked_before_the_want_of_an_async_form(wire: WireClient) -> None:
    assert wire.raw("Async.VM.get_record", NOBODY, NOBODY).failure == ["SESSION_INVALID", NOBODY]


def test_what_is_created_needs_the_fields_without_default(wire: WireClient) -> None:
    missing = wire.refuse("secret.create", {})
    assert missing == ["INTERNAL_ERROR", 'Server_helpers.Dispatcher_FieldNotFound("value")']
    assert wire.refuse("secret.create", "x") == ["INTERNAL_ERROR", 'Failure("bad __structure")']
    assert wire.refuse("secret.create", {"value": 7})[0] == "INTERNAL_ERROR"
    secret = wire.call("secret.create", {"value": "v", "uuid": "mine"})
    assert wire.call("secret.get_value", secret) == "v"
    assert wire.call("secret.get_uuid", secret) != "mine"
    wire.call("secret.destroy", secret)
    assert wire.refuse("secret.get_value", secret) == ["HANDLE_INVALID", "secret", secret]


def test_arguments_are_counted_without_the_session_and_before_it_is_checked(wire: WireClient) -> None:
    wrong = "MESSAGE_PARAMETER_COUNT_MISMATCH"
    assert wire.raw("VM.get_record", "no session").failure == [wrong, "VM.get_record", "1", "0"]
    assert wire.raw("VM.get_record", "no session", "a", "b").failure == [wrong, "VM.get_record", "1", "2"]
    assert wire.raw("VM.get_all").failure == [wrong, "VM.get_all", "0", "-1"]


def test_a_getter_has_no_async_form(wire: WireClient) -> None:
    text = "No async mode for this operation (rpc: VM.get_record)"
    assert wire.refuse("Async.VM.get_record", "OpaqueRef:dead") == ["Fault", text]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ((5, "h", {}), "Expected string, got 'I(5)'"),
        (("v", "h", "live=true"), "Expecting Rpc.Dict, but found 'S(live=true)'"),
        (("v", "h", []), "Expecting Rpc.Dict, but found '[]'"),
        (("v", "h", {"live": True}), "Expected string, got 'B(true)'"),
    ],
)
def test_types_are_refused_in_xapis_words(
    wire: WireClient, operation: Callable[..., None], params: Any, text: str
) -> None:
    operation("VM.pool_migrate", lambda *_: None)
    for name in ("VM.pool_migrate", "Async.VM.pool_migrate"):
        assert wire.refuse(name, *params) == ["INTERNAL_ERROR", f'Failure("{text}")']
    assert wire.raw("VM.pool_migrate", 5, *params[1:], {}).failure[0] == "INTERNAL_ERROR"


@pytest.mark.parametrize("given", [7, "7"])
def test_an_integer_may_come_as_text(wire: WireClient, given: object) -> None:
    vm = wire.ref("VM", "vm")
    wire.call("VM.set_user_version", vm, given)
    assert wire.call("VM.get_user_version", vm) == "7"


def test_an_enumeration_is_checked(wire: WireClient) -> None:
    task = wire.call("task.create", "label", "text")
    assert wire.refuse("task.set_status", task, "zzz") == ["INTERNAL_ERROR", 'Failure("Unknown tag/contents")']
    wire.call("task.set_status", task, "success")
    assert wire.call("task.get_finished", task).value == "19700101T00:00:00Z"


def test_the_session_is_checked_before_the_task_is_made(wire: WireClient, operation: Callable[..., None]) -> None:
    operation("VM.pool_migrate", lambda *_: None)
    for ref in (NOBODY, "garbage", ""):
        assert wire.raw("Async.VM.pool_migrate", ref, "v", "h", {}).failure == ["SESSION_INVALID", ref]
    assert wire.call("task.get_all") == []


@pytest.mark.parametrize("cls", ["VM", "host", "task", "SR"])
@pytest.mark.parametrize("ref", [NOBODY, "nonsense", "OpaqueRef:NULL"])
def test_a_bad_reference_is_named_with_its_class(wire: WireClient, cls: str, ref: str) -> None:
    assert wire.refuse(f"{cls}.get_record", ref) == ["HANDLE_INVALID", cls, ref]
    assert wire.refuse(f"{cls}.get_uuid", ref) == ["HANDLE_INVALID", cls, ref]


def test_a_bad_uuid_is_named_with_its_class(wire: WireClient) -> None:
    assert wire.refuse("VM.get_by_uuid", "xyz") == ["UUID_INVALID", "VM", "xyz"]


def test_underscore_serves_for_the_dot(wire: WireClient) -> None:
    assert wire.call("VM_get_all") == [wire.ref("VM", "vm")]
    assert set(wire.call("event_from", ["vm"], "", 0.0)) == {"events", "valid_ref_counts", "token"}
    assert wire.pool.audit.entries()[-1].method == "event.from"


def test_an_error_of_the_simulator_is_an_internal_error(
    wire: WireClient, operation: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(_ctx: Context, _vm: str, _host: str, _options: dict[str, str]) -> None:
        raise ZeroDivisionError("by design")

    operation("VM.pool_migrate", broken)
    assert wire.refuse("VM.pool_migrate", "v", "h", {}) == ["INTERNAL_ERROR", "ZeroDivisionError: by design"]
    assert "by design" in capfd.readouterr().err


def test_accessors_write_maps_and_say_what_is_there_already(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    wire.call("VM.add_to_other_config", vm, "k", "v")
    assert wire.refuse("VM.add_to_other_config", vm, "k", "w") == ["MAP_DUPLICATE_KEY", "VM", "other_config", vm, "k"]
    wire.call("VM.remove_from_other_config", vm, "k")
    wire.call("VM.remove_from_other_config", vm, "k")
    assert wire.call("VM.get_other_config", vm) == {}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("true", True),
        ('field "name__label" = "vm"', True),
        ('field "name__label" = "vm" and not field "power_state" = "Halted"', True),
        ('(field "is_a_template" = "true" or false)', False),
        ('field "memory__static_max" = "4294967296"', True),
    ],
)
def test_records_are_found_by_query(wire: WireClient, query: str, found: bool) -> None:
    expected = [wire.ref("VM", "vm")] if found else []
    assert list(wire.call("VM.get_all_records_where", query)) == expected
    assert wire.call("VM.get_all_where", query) == expected


def test_a_query_that_cannot_be_read_is_refused(wire: WireClient) -> None:
    assert wire.refuse("VM.get_all_records_where", 'field "nope" = "x"') == [
        "INTERNAL_ERROR",
        "missing field",
        "nope",
        "",
    ]
    refusal = wire.refuse("VM.get_all_records_where", "this is ! not")
    assert refusal == ["INVALID_VALUE", "this is ! not", 'Failure("lexing: empty token")']
    assert wire.refuse("VM.get_all_records_where", "true and")[0] == "INVALID_VALUE"


def test_name_labels_that_nobody_has_are_an_empty_list(wire: WireClient) -> None:
    assert wire.call("VM.get_by_name_label", "none") == []
