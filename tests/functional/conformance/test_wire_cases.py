"""Conformance W: what stands on the wire. Each case as it was seen at a real xapi."""

import http.client
import json
import re
import xmlrpc.client
from collections.abc import Iterator

import pytest

from lmflow.simulator.kernel import Kernel, Options
from lmflow.simulator.pool import SimulatedPool
from tests.support.wire import Reply, TinyWorld, WireClient

HEAD = '<?xml version="1.0"?><methodResponse><params><param>'
TAIL = "</param></params></methodResponse>"


class OtherWorld:
    """TinyWorld with more of everything, made in another order."""

    def apply(self, pool: Kernel) -> None:
        for number in range(4):
            pool.store.create("network", {"name_label": f"net-{number}"})
        pool.store.create("VM", {"name_label": "first", "memory_static_max": 1})
        TinyWorld().apply(pool)


@pytest.fixture(scope="module", params=[TinyWorld, OtherWorld])
def wire(request: pytest.FixtureRequest) -> Iterator[WireClient]:
    """A client of a pool, logged in; in two worlds."""
    with SimulatedPool(Options(), world=request.param()) as pool:
        client = WireClient(pool)
        client.login()
        yield client


@pytest.fixture
def vm(wire: WireClient) -> str:
    return wire.ref("VM", "vm")


@pytest.fixture
def halted(wire: WireClient) -> Iterator[str]:
    """The reference of a VM that is halted and has nothing."""
    ref = wire.pool.store.create("VM", {"name_label": "halted"})
    yield ref
    wire.pool.store.destroy("VM", ref)


def _json(wire: WireClient, call: dict[str, object]) -> str:
    reply = wire.post(json.dumps({"id": 7, **call}).encode(), path="/jsonrpc")
    assert dict(reply.headers)["content-type"] == "application/json"
    return reply.body.decode()


@pytest.mark.parametrize("path", ["/RPC2", "/"])
def test_w01_a_post_is_answered_with_a_method_response(wire: WireClient, vm: str, path: str) -> None:
    reply = wire.raw("VM.get_power_state", wire.session, vm, path=path)
    assert (reply.status, dict(reply.headers)["content-type"]) == (200, "text/xml")
    assert reply.body.decode().startswith(HEAD + "<value>")
    assert reply.body.decode().endswith("</value>" + TAIL)


def test_w02_a_success_is_a_struct_of_status_and_value(wire: WireClient, vm: str) -> None:
    assert wire.raw("VM.get_power_state", wire.session, vm).body.decode() == (
        f"{HEAD}<value><struct><member><name>Status</name><value>Success</value></member>"
        f"<member><name>Value</name><value>Running</value></member></struct></value>{TAIL}"
    )


def test_w04_integers_are_bare_text(wire: WireClient, vm: str) -> None:
    reply = wire.raw("VM.get_memory_static_max", wire.session, vm)
    assert (reply.inner, reply.value) == ("<value>4294967296</value>", "4294967296")


def test_w05_booleans_have_a_tag(wire: WireClient, vm: str) -> None:
    assert wire.raw("VM.get_is_a_template", wire.session, vm).inner == "<value><boolean>0</boolean></value>"


def test_w07_strings_are_escaped(wire: WireClient, vm: str) -> None:
    wire.pool.store.update("VM", vm, name_label="cf-h<&>\"x'\x01\t\n")
    try:
        reply = wire.raw("VM.get_name_label", wire.session, vm)
        assert reply.inner == "<value>cf-h&lt;&amp;&gt;&quot;x'\t\n</value>"
    finally:
        wire.pool.store.update("VM", vm, name_label="vm")


def test_w08_dates_have_no_dashes_and_a_z(wire: WireClient) -> None:
    task = wire.call("task.create", "label", "description")
    inner = wire.raw("task.get_created", wire.session, task).inner
    assert re.fullmatch(r"<value><dateTime.iso8601>\d{8}T\d\d:\d\d:\d\dZ</dateTime.iso8601></value>", inner)


def test_w09_empty_sets_and_maps(wire: WireClient, halted: str) -> None:
    assert wire.raw("VM.get_VBDs", wire.session, halted).inner == "<value><array><data></data></array></value>"
    assert wire.raw("VM.get_other_config", wire.session, halted).inner == "<value><struct></struct></value>"


def test_w10_no_reference_is_null(wire: WireClient, halted: str) -> None:
    assert wire.call("VM.get_resident_on", halted) == "OpaqueRef:NULL"


def test_w11_void_is_an_empty_value(wire: WireClient, vm: str) -> None:
    assert wire.raw("VM.set_name_description", wire.session, vm, "x").inner == "<value></value>"


def test_w12_records_come_by_reference_with_every_field(wire: WireClient) -> None:
    records = wire.call("VM.get_all_records")
    assert set(records) == set(wire.call("VM.get_all"))
    fields = list(wire.pool.schema.classes["VM"].fields)
    assert all(list(record) == fields for record in records.values())


@pytest.mark.parametrize("tag", ["string", "int", "i4", "i8", ""])
def test_w13_integers_are_taken_with_any_tag(wire: WireClient, vm: str, tag: str) -> None:
    number = f"<{tag}>7</{tag}>" if tag else "7"
    values = [f"<string>{wire.session}</string>", f"<string>{vm}</string>", number]
    params = "".join(f"<param><value>{value}</value></param>" for value in values)
    body = f"<methodCall><methodName>VM.set_user_version</methodName><params>{params}</params></methodCall>"
    assert wire.post(body.encode()).inner == "<value></value>"
    assert wire.call("VM.get_user_version", vm) == "7"


def test_w14_a_call_has_two_spellings(wire: WireClient) -> None:
    found = wire.call("event_from", ["host"], "", 0.0)
    assert set(found) == {"events", "token", "valid_ref_counts"}
    assert len(found["events"]) == 2


def test_w15_an_unknown_call_is_named(wire: WireClient) -> None:
    assert wire.raw("foo.bar").failure == ["MESSAGE_METHOD_UNKNOWN", "foo.bar"]


def test_w17_too_few_arguments_are_counted_without_the_session(wire: WireClient) -> None:
    expected = ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_record", "1", "0"]
    assert wire.raw("VM.get_record", wire.session).failure == expected
    assert wire.raw("VM.get_record", "no session").failure == expected


def _is_page(reply: Reply) -> bool:
    headers = dict(reply.headers)
    assert (headers["content-type"], headers["connection"]) == ("text/html", "close")
    return reply.status == 500 and reply.body.startswith(b"<html><body><h1>HTTP 500 internal server error</h1>")


def test_w20_a_malformed_body_gets_a_page(wire: WireClient) -> None:
    assert _is_page(wire.post(b"garbage", path="/RPC2"))
    assert _is_page(wire.post(b"garbage", path="/jsonrpc"))
    connection = http.client.HTTPConnection("127.0.0.1", wire.port, timeout=20)
    connection.request("POST", "/RPC2", b"garbage")
    assert connection.getresponse().reason == "Internal Error"
    connection.close()


def test_w22_bytes_that_are_no_utf_8_get_a_page(wire: WireClient, vm: str) -> None:
    body = xmlrpc.client.dumps((wire.session, vm, "HERE"), "VM.set_name_description").encode()
    before = body[: body.index(b"HERE")]
    line, column = before.count(b"\n") + 1, len(before) - before.rindex(b"\n")
    reply = wire.post(body.replace(b"HERE", b"\xff\xfe"))
    assert _is_page(reply)
    assert f"Xmlm.Error({line}:{column}, &quot;malformed character stream&quot;)".encode() in reply.body


def test_w24_json_of_version_1(wire: WireClient, vm: str) -> None:
    state = {"method": "VM.get_power_state", "params": [wire.session, vm]}
    assert _json(wire, state) == '{"result":"Running","error":null,"id":7}'
    record = {"method": "VM.get_record", "params": [wire.session, "OpaqueRef:x"]}
    assert _json(wire, record) == '{"result":null,"error":["HANDLE_INVALID","VM","OpaqueRef:x"],"id":7}'


def test_w25_json_of_version_2(wire: WireClient, vm: str) -> None:
    state = {"jsonrpc": "2.0", "method": "VM.get_power_state", "params": [wire.session, vm]}
    assert _json(wire, state) == '{"jsonrpc":"2.0","result":"Running","id":7}'
    record = {"jsonrpc": "2.0", "method": "VM.get_record", "params": [wire.session, "OpaqueRef:x"]}
    assert _json(wire, record) == (
        '{"jsonrpc":"2.0","error":{"code":1,"message":"HANDLE_INVALID","data":["VM","OpaqueRef:x"]},"id":7}'
    )


def test_w27_reference_counts_are_the_only_integers_with_a_tag(wire: WireClient) -> None:
    inner = wire.raw("event.from", wire.session, ["host"], "", 0.0).inner
    counts = inner.partition("<name>valid_ref_counts</name>")[2].partition("</struct>")[0]
    found = re.findall(r"<member><name>(\w+)</name><value><i4>(\d+)</i4></value></member>", counts)
    assert dict(found)["host"] == "2"
    assert len(found) == counts.count("<member>")
    assert inner.count("<i4>") == len(found)
