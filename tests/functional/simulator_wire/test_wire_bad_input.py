"""Whatever is sent, the answer is XAPI's or a refusal: no traceback, nothing stuck, and the next call is answered."""

import json
import re
import socket
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from tests.support.wire import TinyWorld, WireClient

HEAD = b'<?xml version="1.0"?>'
CALL = b"<methodCall><methodName>VM.get_all</methodName><params><param><value>%s</value></param></params></methodCall>"
INFO = re.compile(r"Additional information </h1>(.*)</body></html>$", re.DOTALL)


def _info(body: bytes) -> str:
    """Give what a page says, with its quotes unescaped."""
    found = INFO.search(body.decode())
    assert found is not None, body
    return found.group(1).replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&apos;", "'")


def _laughs(levels: int) -> bytes:
    entities = b'<!ENTITY a0 "ha">'
    for level in range(1, levels):
        entities += b'<!ENTITY a%d "%s">' % (level, b"&a%d;" % (level - 1) * 10)
    return HEAD + b"<!DOCTYPE x [" + entities + b"]>" + CALL % (b"&a%d;" % (levels - 1))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", 'Xmlm.Error(1:1, "unexpected end of input")'),
        (b"hello", 'Xmlm.Error(1:1, "expected root element")'),
        (b"<methodCall>\n<methodName>\xc3\xa9", 'Xmlm.Error(2:14, "unexpected end of input")'),
        (CALL % b"&nbsp;", 'Xmlm.Error(1:76, "unknown entity reference (nbsp)")'),
        (b"<a><b></a>", 'Xmlm.Error(1:10, "expected character sequence \\"b\\", found \\"a\\"")'),
        (b"<a>\xff</a>", 'Xmlm.Error(1:4, "malformed character stream")'),
        (b"<a>\x00</a>", 'Xmlm.Error(1:4, "malformed character stream")'),
        (b"<a/>", 'Xmlrpc.Parse_error("open_tag(a)", "open_tag(methodCall)", _)'),
        (CALL % b"<int>x</int>", 'Failure("Int64.of_string")'),
        (CALL % b"<i8>9223372036854775808</i8>", 'Failure("Int64.of_string")'),
        (CALL % b"<double>one</double>", 'Failure("float_of_string")'),
        (CALL % b"<int></int>", 'Xmlrpc.Parse_error("empty_int", "int", _)'),
        (b"<methodCall><methodName>a</methodName></methodCall>", 'Xmlrpc.Parse_error("close_tag", "open_tag", _)'),
    ],
)
def test_what_is_no_call_is_refused_in_the_words_of_xapi(wire: WireClient, body: bytes, text: str) -> None:
    reply = wire.post(body)
    assert (reply.status, _info(reply.body)) == (500, text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", 'Yojson__Common.Json_error("Blank input data")'),
        (b'{"a', 'Yojson__Common.Json_error("Line 1, bytes 2-3:\\nUnexpected end of input")'),
        (b"{\n3}", "Yojson__Common.Json_error(\"Line 2, bytes 0-2:\\nExpected string or identifier but found '3}'\")"),
        (b"[1 2]", "Yojson__Common.Json_error(\"Line 1, bytes 3-5:\\nExpected ',' or ']' but found '2]'\")"),
        (b'{"a":1 2', "Yojson__Common.Json_error(\"Line 1, bytes 7-8:\\nExpected ',' or '}' but found '2'\")"),
        (b"1", 'Jsonrpc.Malformed_method_request("Invalid request body")'),
        (b"{}", 'Jsonrpc.Malformed_method_request("Required field method is missing")'),
        (b'{"method":1}', "Jsonrpc.Malformed_method_request(\"Invalid field 'method' in request body\")"),
        (b'{"method":"a","id":1}', 'Jsonrpc.Malformed_method_request("Required field params is missing")'),
        (
            b'{"method":"a","params":{},"id":1}',
            "Jsonrpc.Malformed_method_request(\"Invalid field 'params' in request body\")",
        ),
        (
            b'{"method":"a","jsonrpc":2}',
            "Jsonrpc.Malformed_method_request(\"Invalid field 'jsonrpc' in request body\")",
        ),
        (
            b'{"method":"a","params":[],"id":true}',
            "Jsonrpc.Malformed_method_request(\"Invalid field 'id' in request body\")",
        ),
        (b'{"method":"a","params":[99999999999999999999],"id":1}', 'Failure("Int64.of_string")'),
    ],
)
def test_json_that_is_no_call_is_refused_in_the_words_of_xapi(wire: WireClient, body: bytes, text: str) -> None:
    reply = wire.post(body, path="/jsonrpc")
    assert (reply.status, _info(reply.body)) == (500, text)


def test_an_xml_bomb_is_not_lit(wire: WireClient) -> None:
    assert wire.post(_laughs(20)).status == 500
    in_attribute = _laughs(2).replace(b"<methodCall>", b'<methodCall a="' + b"&a0;" * 50_000 + b'">')
    assert wire.post(in_attribute[: 300 * 1024]).status == 500


def test_one_entity_of_its_own_is_unknown_to_xapi(wire: WireClient) -> None:
    assert "unknown entity reference (a0)" in _info(wire.post(_laughs(1)).body)


@pytest.mark.parametrize("kind", ['SYSTEM "file:///etc/hostname"', 'PUBLIC "x" "http://127.0.0.1:1/"'])
def test_nothing_outside_is_read(wire: WireClient, kind: str) -> None:
    body = HEAD + f"<!DOCTYPE x [<!ENTITY out {kind}>]>".encode() + CALL % b"&out;"
    assert "unknown entity reference (out)" in _info(wire.post(body).body)


@pytest.mark.parametrize("kind", ['SYSTEM "file:///etc/hostname"', 'PUBLIC "x" "http://127.0.0.1:1/"', ""])
def test_a_document_type_alone_does_no_harm(wire: WireClient, kind: str) -> None:
    body = HEAD + f"<!DOCTYPE methodCall {kind}>".encode() + CALL % wire.session.encode()
    assert wire.post(body).value == [wire.ref("VM", "vm")]


@pytest.mark.parametrize("tag", [b"array><data", b"struct><member"])
def test_deep_nesting_is_refused(wire: WireClient, tag: bytes) -> None:
    deep = b"".join(b"<value><%s>" % tag for _ in range(10_000))
    assert _info(wire.post(CALL % deep).body) == "Stack_overflow"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_json_is_refused(wire: WireClient, opening: str) -> None:
    assert _info(wire.post((opening * 50_000).encode(), path="/jsonrpc").body) == "Stack_overflow"


def test_as_deep_as_anybody_needs_is_answered(wire: WireClient) -> None:
    value: object = "x"
    for _ in range(20):
        value = [value]
    refusal = wire.refuse("VM.get_record", value)
    assert refusal == ["INTERNAL_ERROR", f"Failure(\"Expected string, got '{'[' * 20}S(x){']' * 20}'\")"]


def test_what_follows_the_call_is_not_read(wire: WireClient) -> None:
    assert wire.post(CALL % wire.session.encode() + b"<more>&\xff").value == [wire.ref("VM", "vm")]


def test_other_encodings_of_xml_are_read(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    text = xmlrpc.client.dumps((wire.session, vm, "désc"), "VM.set_name_description", encoding="iso-8859-1")
    assert wire.post(text.encode("iso-8859-1")).value == ""
    assert wire.call("VM.get_name_description", vm) == "désc"


@pytest.mark.parametrize(
    "name", ["", "x" * 100_000, "VM.get_all\n", "Async.", "Async.Async.VM.start", "VM..", ".", "é\U0001f600"]
)
def test_odd_names_are_unknown(wire: WireClient, name: str) -> None:
    reply = wire.raw(name, wire.session)
    assert reply.status == 500 if not name else reply.failure[0] == "MESSAGE_METHOD_UNKNOWN"


@pytest.mark.parametrize("params", [[], [None], [[]], [{}], [True], [1], [1.5], ["x", None, {}]])
def test_odd_sessions_are_refused(wire: WireClient, params: list[object]) -> None:
    body = json.dumps({"method": "VM.get_record", "params": params, "id": 1}).encode()
    reply = wire.post(body, path="/jsonrpc")
    assert json.loads(reply.body)["error"][0] in {
        "MESSAGE_PARAMETER_COUNT_MISMATCH",
        "INTERNAL_ERROR",
        "SESSION_INVALID",
    }


# -- a storm of requests that were changed at random


@pytest.fixture(scope="module")
def stormy() -> Iterator[WireClient]:
    with SimulatedPool(Options(time_scale=100.0), world=TinyWorld()) as pool:
        client = WireClient(pool)
        client.login()
        yield client


def _requests(wire: WireClient) -> list[bytes]:
    vm = wire.ref("VM", "vm")
    bodies = [
        ("/", xmlrpc.client.dumps((wire.session, vm), "VM.get_record")),
        ("/", xmlrpc.client.dumps((wire.session, {"a": [1, 2.5, True]}, ["x"]), "VM.pool_migrate")),
        ("/", xmlrpc.client.dumps((wire.session, ["*"], "", 0.0), "event.from")),
        ("/jsonrpc", json.dumps({"jsonrpc": "2.0", "id": 1, "method": "VM.get_all_records", "params": [wire.session]})),
        (f"/services/xenops?session_id={wire.session}", xmlrpc.client.dumps(({"id": "x"},), "VM.exists")),
    ]
    return [
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        for path, body in bodies
    ]


def _exchange(wire: WireClient, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", wire.port), timeout=20) as connection:
        found = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                found += part
        except ConnectionError:
            pass
        return found


Change = tuple[float, int, bytes]
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 30),
        st.sampled_from(
            [b"", b"\x00", b"\xff", b"<", b"&", b"]]>", b"\r\n", b"\r\n\r\n", b'"', b"-1", b"{", b"\xc3\xa9"]
        )
        | st.binary(max_size=8),
    ),
    min_size=1,
    max_size=4,
)
STATUS = re.compile(rb"HTTP/1\.[01] (200 OK|401 Un|403 Fo|408 Re|431 Re|500 In|501 Me)")


def _change(data: bytes, changes: list[Change]) -> bytes:
    for where, removed, added in changes:
        place = int(where * len(data))
        data = data[:place] + added + data[place + removed :]
    return data


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(index=st.integers(0, 4), changes=CHANGES)
def test_a_storm_of_changed_requests_is_survived(
    stormy: WireClient, capfd: pytest.CaptureFixture[str], index: int, changes: list[Change]
) -> None:
    reply = _exchange(stormy, _change(_requests(stormy)[index], changes))
    assert not reply or STATUS.match(reply), reply[:200]
    assert b"Traceback" not in reply
    printed = capfd.readouterr()
    assert printed.err == "", printed.err
    assert stormy.call("VM.get_all") == [stormy.ref("VM", "vm")]


def test_the_storm_leaves_nobody_behind(stormy: WireClient) -> None:
    for request in _requests(stormy):
        for cut in range(0, len(request), 37):
            _exchange(stormy, request[:cut])
    workers = [thread for thread in threading.enumerate() if thread.name == "connection"]
    for worker in workers:
        worker.join(20)
    assert not [worker for worker in workers if worker.is_alive()]
    assert stormy.pool.idle_seconds >= 0
    assert not [
        ref for ref in stormy.pool.store.refs("task") if stormy.pool.store.value("task", ref, "status") == "pending"
    ]
    assert stormy.call("VM.get_all") == [stormy.ref("VM", "vm")]


def test_a_body_of_the_largest_size_is_read(wire: WireClient, operation: Callable[..., None]) -> None:
    vm = wire.ref("VM", "vm")
    text = "<&>" * 20_000
    wire.call("VM.set_name_description", vm, text)
    assert wire.call("VM.get_name_description", vm) == text
