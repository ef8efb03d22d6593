"""Limits of the listeners: times, sizes, numbers. The defaults are XAPI's; tests use shorter ones."""

import dataclasses
import socket
import ssl
import threading
import xmlrpc.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.wire.http_reader import Limits
from tests.support.wire import WireClient

SHORT = 0.15
NEVER = 600.0


@pytest.fixture
def limited(make_pool: Callable[..., SimulatedPool]) -> Callable[..., WireClient]:
    """Start a pool with limits of the test's own; a client that is logged in."""

    def make(*, https: bool = False, **limits: float) -> WireClient:
        pool = make_pool(start=False, https=https)
        pool.server.limits = dataclasses.replace(Limits(), **limits)
        pool.start()
        client = WireClient(pool)
        if not https:
            client.login()
        return client

    return make


def _connect(wire: WireClient) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wire.port), timeout=20)


def _request(wire: WireClient) -> bytes:
    body = xmlrpc.client.dumps((wire.session,), "VM.get_all").encode()
    return f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _read_all(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def test_the_defaults_are_those_of_xapi() -> None:
    limits = Limits()
    assert (limits.header_read_seconds, limits.header_total_seconds) == (10.0, 60.0)
    assert (limits.body_bytes, limits.connections) == (300 * 1024, 800)
    assert limits.header_bytes == 1024 - len("GET / HTTP/1.0\r\n\r\n")


def test_a_client_that_says_nothing_is_sent_away(limited: Callable[..., WireClient]) -> None:
    with _connect(limited(header_read_seconds=SHORT)) as connection:
        reply = _read_all(connection)
    assert reply.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert reply.endswith(b"408 request timeout</h1>Timed out waiting for the request.</body></html>")


def test_headers_that_trickle_in_have_a_time_altogether(limited: Callable[..., WireClient]) -> None:
    wire = limited(header_read_seconds=NEVER, header_total_seconds=SHORT)
    with _connect(wire) as connection:
        stop = threading.Event()

        def trickle() -> None:
            for byte in b"POST / HTTP/1.1\r\n" + b"X-Slow: loris\r\n" * 1000:
                if stop.wait(SHORT / 10):
                    return
                connection.sendall(bytes([byte]))

        slow = threading.Thread(target=trickle)
        slow.start()
        reply = _read_all(connection)
        stop.set()
        slow.join()
    assert reply.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_a_kept_connection_may_be_silent_for_as_long_as_it_likes(limited: Callable[..., WireClient]) -> None:
    wire = limited(header_read_seconds=SHORT, header_total_seconds=SHORT)
    with _connect(wire) as kept, _connect(wire) as silent:
        kept.sendall(_request(wire))
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert _read_all(silent).startswith(b"HTTP/1.1 408")
        kept.sendall(_request(wire))
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_a_body_that_never_comes_is_not_waited_for(limited: Callable[..., WireClient]) -> None:
    with _connect(limited(body_seconds=SHORT)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        assert _read_all(connection) == b""


def test_a_client_that_never_shakes_hands_is_dropped(limited: Callable[..., WireClient]) -> None:
    wire = limited(https=True, header_total_seconds=SHORT)
    with _connect(wire) as connection:
        assert _read_all(connection) == b""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(_connect(wire)) as silent:
        assert _read_all(silent).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(("size", "status"), [(1006, b"200 OK"), (1007, b"431 Request Header Fields Too Large")])
def test_headers_have_a_size(wire: WireClient, size: int, status: bytes) -> None:
    head, separator, body = _request(wire).partition(b"\r\n\r\n")
    filling = b"\r\nX-Long: "
    head += filling + b"x" * (size - len(head) - len(filling) - len(separator))
    reply = wire.exchange(head + separator + body)
    assert reply.startswith(b"HTTP/1.1 " + status + b"\r\n")


def test_headers_without_an_end_are_refused_as_soon_as_they_are_too_long(wire: WireClient) -> None:
    with _connect(wire) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nX: " + b"x" * 100_000)
        reply = _read_all(connection)
    assert reply.startswith(b"HTTP/1.1 431 ")
    assert reply.endswith(b"431 request header fields too large</h1>Exceeded the maximum header size.</body></html>")


@pytest.mark.parametrize(("more", "status"), [(0, b"200 OK"), (1, b"500 Internal Error")])
def test_bodies_have_a_size(wire: WireClient, more: int, status: bytes) -> None:
    body = xmlrpc.client.dumps((wire.session,), "VM.get_all").encode()
    body += b" " * (300 * 1024 + more - len(body))
    reply = wire.exchange(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert reply.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert (b"Http_svr.Client_requested_size_over_limit" in reply) == bool(more)


def test_a_huge_length_is_refused_before_it_comes(wire: WireClient) -> None:
    with _connect(wire) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9000000000\r\n\r\n")
        assert b"Client_requested_size_over_limit" in _read_all(connection)


def test_connections_over_the_limit_wait_for_a_place(limited: Callable[..., WireClient]) -> None:
    wire = limited(connections=3)
    taken = [_connect(wire) for _ in range(3)]
    for connection in taken:
        connection.sendall(_request(wire))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    with _connect(wire) as waiting:
        waiting.sendall(_request(wire))
        waiting.settimeout(SHORT)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        taken.pop().close()
        waiting.settimeout(20)
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 OK")
    for connection in taken:
        connection.close()


def test_a_full_listener_can_still_be_taken_down(limited: Callable[..., WireClient]) -> None:
    wire = limited(connections=1)
    host = wire.ref("host", "h1")
    with _connect(wire) as kept, _connect(wire) as waiting:
        kept.sendall(_request(wire))
        assert kept.recv(65536)
        waiting.sendall(_request(wire))
        wire.pool.server.take_down(host)
        assert kept.recv(1) == b""
    wire.pool.server.bring_up(host)
    assert wire.call("VM.get_all")


def test_two_hundred_kept_connections_are_served_in_parallel(wire: WireClient) -> None:
    connections = [_connect(wire) for _ in range(200)]
    start = threading.Barrier(20)

    def ask(mine: list[socket.socket]) -> set[bytes]:
        start.wait(20)
        found = set()
        for _ in range(3):
            for connection in mine:
                connection.sendall(_request(wire))
            found |= {connection.recv(65536)[:15] for connection in mine}
        return found

    with ThreadPoolExecutor(20) as executor:
        answers = list(executor.map(ask, [connections[number::20] for number in range(20)]))
    assert set().union(*answers) == {b"HTTP/1.1 200 OK"}
    for connection in connections:
        connection.close()
