"""HTTP as XAPI speaks it: methods, versions, headers and what ends a connection."""

import socket
import xmlrpc.client
from collections.abc import Callable

import pytest

from tests.support.wire import WireClient

PAGE = b"<html><body><h1>HTTP "


def _call(wire: WireClient, version: str = "1.1", headers: str = "", path: str = "/") -> bytes:
    body = xmlrpc.client.dumps((wire.session,), "VM.get_all").encode()
    return f"POST {path} HTTP/{version}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _status(reply: bytes) -> str:
    return reply.partition(b"\r\n")[0].decode()


@pytest.mark.parametrize(
    ("version", "headers", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.1", "connection: CLOSE\r\n", False),
        ("1.1", "Connection: upgrade\r\n", True),
        ("1.1", "Connection: close\r\nConnection: keep-alive\r\n", True),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
        ("0.9", "", True),
        ("2.0", "", True),
    ],
)
def test_what_keeps_a_connection(wire: WireClient, version: str, headers: str, kept: bool) -> None:
    with socket.create_connection(("127.0.0.1", wire.port), timeout=20) as connection:
        connection.sendall(_call(wire, version, headers))
        reply = connection.recv(65536)
        assert _status(reply) == f"HTTP/{'1.0' if version == '1.0' else '1.1'} 200 OK"
        assert (b"connection: keep-alive\r\n" in reply) == kept
        if kept:
            connection.sendall(_call(wire))
        assert bool(connection.recv(65536)) == kept


@pytest.mark.parametrize("path", ["/", "/any/path?with=query", "//", "/%20"])
def test_any_path_will_do(wire: WireClient, path: str) -> None:
    assert _status(wire.exchange(_call(wire, path=path))) == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("path", ["/jsonrpc", "/jsonrpc/", "/jsonrpc?x=1"])
def test_json_has_a_path_of_its_own(wire: WireClient, path: str) -> None:
    assert b"Yojson" in wire.exchange(_call(wire, path=path))


@pytest.mark.parametrize("method", ["HEAD", "DELETE", "PATCH", "get", "TRACE", "<b>"])
def test_unknown_methods_are_named_in_their_page(wire: WireClient, method: str) -> None:
    reply = wire.exchange(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert _status(reply) == "HTTP/1.1 501 Method not implemented"
    shown = method.replace("<", "&lt;").replace(">", "&gt;")
    assert reply.endswith(
        f"501 Method Not Implemented</h1><p>Unknown {shown} not supported.<br /></p></body></html>".encode()
    )


@pytest.mark.parametrize("method", ["GET", "PUT", "CONNECT"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_nobody_may_have_what_is_not_there(wire: WireClient, method: str, version: str) -> None:
    reply = wire.exchange(f"{method} /x HTTP/{version}\r\nHost: x\r\n\r\n".encode())
    assert _status(reply) == "HTTP/1.1 403 Forbidden"
    assert b"connection: close\r\n" in reply


def test_a_browser_may_send_the_headers_it_asks_for(wire: WireClient) -> None:
    request = b"OPTIONS / HTTP/1.1\r\nHost: x\r\nAccess-Control-Request-Headers: content-type\r\n\r\n"
    assert b"Access-Control-Allow-Headers: content-type, X-Requested-With\r\n" in wire.exchange(request)


def test_options_keeps_the_connection(wire: WireClient) -> None:
    request = b"OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert wire.exchange(request + request).count(b"HTTP/1.1 200 OK\r\n") == 2


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"POST /  \r\nHost: long enough", b"The HTTP headers could not be parsed."),
        (b"POST / HTTP/1.1 more\r\nHost: x", b"The HTTP headers could not be parsed."),
        (b"\r\nPOST / HTTP/1.1\r\nHost: x", b"The HTTP headers could not be parsed."),
        (b"POST / HTP\r\nHost: long enough", b"Invalid_argument(&quot;String.sub / Bytes.sub&quot;)"),
        (b"POST / HTTP/1.1\r\nContent-Length: ten", b"Failure(&quot;Int64.of_string&quot;)"),
        (b"GET / HTTP/1.1\r\nContent-Length: ", b"Failure(&quot;Int64.of_string&quot;)"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999", b"Failure(&quot;Int64.of_string&quot;)"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1", b"Invalid_argument(&quot;Bytes.create&quot;)"),
        (b"POST / HTTP/1.1\r\nHost: x", b"Failure(&quot;We require a content-length: HTTP header&quot;)"),
    ],
)
def test_headers_that_say_nothing_useful(wire: WireClient, line: bytes, text: bytes) -> None:
    reply = wire.exchange(line + b"\r\n\r\n")
    assert _status(reply) == "HTTP/1.1 500 Internal Error"
    assert reply.endswith(b"<h1> Additional information </h1>" + text + b"</body></html>")


def test_a_length_may_be_written_as_ocaml_writes_it(wire: WireClient) -> None:
    body = xmlrpc.client.dumps((wire.session,), "VM.get_all").encode()
    head = f"POST / HTTP/1.1\r\nContent-Length: {hex(len(body))}\r\n\r\n".encode()
    assert _status(wire.exchange(head + body)) == "HTTP/1.1 200 OK"


def test_a_line_without_a_colon_is_no_header(wire: WireClient) -> None:
    request = _call(wire, headers="nothing here\r\nX-Other: 1\r\n")
    assert _status(wire.exchange(request)) == "HTTP/1.1 200 OK"


def test_a_page_of_http_1_0_says_so(wire: WireClient) -> None:
    reply = wire.exchange(b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")
    assert _status(reply) == "HTTP/1.0 500 Internal Error"


def test_a_header_of_other_letters_reaches_the_task(wire: WireClient, operation: Callable[..., None]) -> None:
    operation("VM.pool_migrate", lambda _ctx, *_: None)
    body = xmlrpc.client.dumps((wire.session, "v", "h", {}), "Async.VM.pool_migrate").encode()
    head = f"POST / HTTP/1.1\r\nX-Http-Other-Config-Who: d\u00e9sc\r\nContent-Length: {len(body)}\r\n\r\n"
    reply = wire.exchange(head.encode() + body).partition(b"\r\n\r\n")[2]
    (found,), _ = xmlrpc.client.loads(reply)
    assert isinstance(found, dict)
    assert wire.wait_for_task(found["Value"])["other_config"] == {"http:who": "d\u00e9sc"}
