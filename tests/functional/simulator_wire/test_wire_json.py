"""JSON-RPC at /jsonrpc, as a real pool was seen to speak it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.context import Context
from tests.support.wire import Reply, WireClient


def _post(wire: WireClient, call: Any, **options: Any) -> Reply:
    return wire.post(json.dumps(call).encode(), path="/jsonrpc", **options)


def _text(wire: WireClient, method: str, *params: Any, version: str = "2.0", **options: Any) -> str:
    call = {"id": 7, "method": method, "params": [wire.session, *params]}
    return _post(wire, {**call, "jsonrpc": "2.0"} if version == "2.0" else call, **options).body.decode()


def test_version_2_to_the_byte(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    assert _text(wire, "VM.get_power_state", vm) == '{"jsonrpc":"2.0","result":"Running","id":7}'
    assert _text(wire, "VM.get_record", "x") == (
        '{"jsonrpc":"2.0","error":{"code":1,"message":"HANDLE_INVALID","data":["VM","x"]},"id":7}'
    )


def test_version_1_to_the_byte(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    assert _text(wire, "VM.get_power_state", vm, version="1.0") == '{"result":"Running","error":null,"id":7}'
    assert _text(wire, "VM.get_record", "x", version="1.0") == (
        '{"result":null,"error":["HANDLE_INVALID","VM","x"],"id":7}'
    )


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("memory_static_max", "4294967296"),
        ("is_a_template", "false"),
        ("HVM_shadow_multiplier", "1.0"),
        ("snapshot_time", '"19700101T00:00:00Z"'),
        ("VBDs", "[]"),
        ("other_config", "{}"),
    ],
)
def test_each_kind_of_value(wire: WireClient, field: str, text: str) -> None:
    reply = _text(wire, f"VM.get_{field}", wire.ref("VM", "vm"))
    assert reply == f'{{"jsonrpc":"2.0","result":{text},"id":7}}'


def test_void_is_empty_text_and_numbers_are_taken(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    assert _text(wire, "VM.set_user_version", vm, 9) == '{"jsonrpc":"2.0","result":"","id":7}'
    assert wire.call("VM.get_user_version", vm) == "9"


def test_its_headers_name_json(wire: WireClient) -> None:
    reply = _post(wire, {"id": "a", "method": "VM.get_all", "params": [wire.session]})
    assert dict(reply.headers)["content-type"] == "application/json"


def test_named_parameters_are_no_session(wire: WireClient) -> None:
    reply = _post(wire, {"jsonrpc": "2.0", "id": 1, "method": "VM.get_all", "params": {"session_id": "s"}})
    error = json.loads(reply.body)["error"]
    assert error["message"] == "INTERNAL_ERROR"
    assert error["data"] == ["Failure(\"Expected string, got '{session_id:S(s)}'\")"]


@pytest.mark.parametrize(
    "call",
    [
        {"jsonrpc": "2.0", "id": None, "method": "VM.get_all", "params": []},
        {"jsonrpc": "2.0", "method": "VM.get_all", "params": []},
        {"id": 1, "params": []},
        [{"id": 1, "method": "VM.get_all", "params": []}],
        "text",
    ],
)
def test_what_is_no_call_gets_a_page(wire: WireClient, call: Any) -> None:
    assert _post(wire, call).status == 500
    assert wire.post(b'{"nope', path="/jsonrpc").status == 500
    assert wire.raw("VM.get_all", wire.session, path="/jsonrpc").status == 500


def test_a_session_of_one_codec_serves_the_other_and_the_header_is_kept(
    wire: WireClient, operation: Callable[..., None]
) -> None:
    def migrate(_ctx: Context, *_: Any) -> None:
        return None

    operation("VM.pool_migrate", migrate)
    header = {"X-Http-Other-Config-lmflow-attempt": "a1"}
    task = json.loads(_text(wire, "Async.VM.pool_migrate", "v", "h", {}, headers=header))["result"]
    record = wire.wait_for_task(task)
    assert (record["other_config"], record["result"]) == ({"http:lmflow-attempt": "a1"}, "<value></value>")


def test_events_come_over_json_too(wire: WireClient) -> None:
    found = json.loads(_text(wire, "event.from", ["host"], "", 1.0))["result"]
    assert [event["class"] for event in found["events"]] == ["host", "host"]
    assert found["valid_ref_counts"]["host"] == 2
