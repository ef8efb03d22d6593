"""What stands on the wire, to the byte, as a real pool was seen to write it."""

import socket
import xmlrpc.client

import pytest

from tests.support.wire import HEAD, TAIL, WireClient


def test_a_reply_is_a_struct_with_status_and_value(wire: WireClient) -> None:
    reply = wire.raw("VM.get_power_state", wire.session, wire.ref("VM", "vm"))
    expected = HEAD + "<value>Success</value></member><member><name>Value</name><value>Running</value>" + TAIL
    assert reply.body.decode() == expected
    assert reply.status == 200


def test_headers_stand_in_xapis_order_and_case(wire: WireClient) -> None:
    reply = wire.raw("VM.get_all", wire.session)
    assert reply.headers == [
        ("content-length", str(len(reply.body))),
        ("connection", "keep-alive"),
        ("cache-control", "no-cache, no-store"),
        ("content-type", "text/xml"),
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Headers", "X-Requested-With"),
    ]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("memory_static_max", "<value>4294967296</value>"),
        ("is_a_template", "<value><boolean>0</boolean></value>"),
        ("HVM_shadow_multiplier", "<value><double>1</double></value>"),
        ("snapshot_time", "<value><dateTime.iso8601>19700101T00:00:00Z</dateTime.iso8601></value>"),
        ("VBDs", "<value><array><data></data></array></value>"),
        ("other_config", "<value><struct></struct></value>"),
        ("affinity", "<value>OpaqueRef:NULL</value>"),
        ("name_description", "<value></value>"),
    ],
)
def test_each_kind_of_value_is_written_as_xapi_writes_it(wire: WireClient, field: str, expected: str) -> None:
    assert wire.raw(f"VM.get_{field}", wire.session, wire.ref("VM", "vm")).inner == expected


def test_void_is_an_empty_value(wire: WireClient) -> None:
    assert wire.raw("VM.set_name_description", wire.session, wire.ref("VM", "vm"), "x").inner == "<value></value>"


def test_text_is_escaped_and_comes_back_as_it_was(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    text = "désc <&> \"q\"\nline2\ttab 'a'"
    wire.call("VM.set_name_description", vm, text)
    reply = wire.raw("VM.get_name_description", wire.session, vm)
    assert reply.inner == "<value>désc &lt;&amp;&gt; &quot;q&quot;\nline2\ttab 'a'</value>"
    assert reply.value == text


def test_list_methods_has_no_status(wire: WireClient) -> None:
    reply = wire.raw("system.listMethods")
    (names,), _ = xmlrpc.client.loads(reply.body)
    assert isinstance(names, list)
    assert {"session.login_with_password", "VM.pool_migrate", "event.from", "task.get_status"} <= set(names)


@pytest.mark.parametrize("path", ["/", "/RPC2", "/json", "/nosuch", "/xmlrpc"])
def test_any_path_answers_xml_rpc(wire: WireClient, path: str) -> None:
    assert wire.raw("VM.get_all", wire.session, path=path).value == [wire.ref("VM", "vm")]


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"<methodCall><methodName>VM.get_all", b"<a><b></a>", b"\xff\xfe<methodCall/>"]
)
def test_what_is_no_call_gets_a_page_and_is_in_the_audit_log(wire: WireClient, body: bytes) -> None:
    reply = wire.post(body)
    assert reply.status == 500
    assert [name for name, _ in reply.headers] == ["content-length", "content-type", "connection", "cache-control"]
    assert dict(reply.headers)["connection"] == "close"
    assert reply.body.startswith(b"<html><body><h1>HTTP 500 internal server error</h1>")
    assert wire.pool.audit.entries()[-1].outcome == "http_500"


@pytest.mark.parametrize(
    ("method", "status"),
    [(b"GET", b"403 Forbidden"), (b"PUT", b"403 Forbidden"), (b"HEAD", b"501 Method not implemented")],
)
def test_other_methods_are_refused(wire: WireClient, method: bytes, status: bytes) -> None:
    assert wire.exchange(method + b" / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 " + status + b"\r\n")


def test_the_page_says_what_xapis_parser_says(wire: WireClient) -> None:
    reply = wire.post(b"")
    assert reply.body == (
        b"<html><body><h1>HTTP 500 internal server error</h1>An unexpected error occurred; please wait a while and try "
        b"again. If the problem persists, please contact your support representative.<h1> Additional information </h1>"
        b"Xmlm.Error(1:1, &quot;unexpected end of input&quot;)</body></html>"
    )


def test_a_post_without_length_is_refused(wire: WireClient) -> None:
    assert wire.exchange(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n<x/>").startswith(b"HTTP/1.1 500 Internal Error\r\n")


def test_a_line_that_is_no_http_gets_nothing(wire: WireClient) -> None:
    assert wire.exchange(b"HELLO\r\n\r\n") == b""


def _request(version: str, body: bytes) -> bytes:
    return f"POST / HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_connection_of_http_1_1_stays_open(wire: WireClient) -> None:
    body = xmlrpc.client.dumps((wire.session,), "VM.get_all").encode()
    with socket.create_connection(("127.0.0.1", wire.port), timeout=30) as connection:
        for _ in range(3):
            connection.sendall(_request("1.1", body))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_connection_of_http_1_0_is_closed(wire: WireClient) -> None:
    body = xmlrpc.client.dumps((wire.session,), "VM.get_all").encode()
    reply = wire.exchange(_request("1.0", body))
    assert reply.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"connection: close\r\n" in reply


def test_head_and_body_come_in_one_piece(wire: WireClient) -> None:
    body = xmlrpc.client.dumps((wire.session, wire.ref("VM", "vm")), "VM.get_power_state").encode()
    with socket.create_connection(("127.0.0.1", wire.port), timeout=30) as connection:
        connection.sendall(_request("1.1", body))
        assert connection.recv(65536).endswith(b"</methodResponse>")
