"""The proxy of the tests does what it says: otherwise what is tested through it shows nothing."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.support.proxy import Link, Proxy


class _Upper(socketserver.StreamRequestHandler):
    """Answers each line with the same in capitals, until the other side ends."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            for line in self.rfile:
                self.server.heard.append(line.strip().decode())  # type: ignore[attr-defined]
                self.wfile.write(line.upper())


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Upper)
        self.heard: list[str] = []


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: _Server) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", server.server_address[1])) as made:
        yield made


class Client:
    """One connection to the proxy; every wait of it fails after a while."""

    def __init__(self, proxy: Proxy) -> None:
        self.socket = socket.create_connection(("127.0.0.1", proxy.port), 10)
        self.stream = self.socket.makefile("rb")

    def send(self, text: str) -> None:
        self.socket.sendall(text.encode() + b"\n")

    def hear(self) -> str:
        return self.stream.readline().strip().decode()

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    made = Client(proxy)
    yield made
    made.close()


def test_everything_goes_on_and_is_counted(proxy: Proxy, client: Client) -> None:
    client.send("one")
    assert client.hear() == "ONE"
    client.socket.shutdown(socket.SHUT_WR)
    assert client.hear() == ""
    proxy.wait_until(lambda: not proxy.links[0].is_open)
    assert proxy.links[0].passed == {"up": 4, "down": 4}


def test_what_is_held_goes_on_in_order(proxy: Proxy, server: _Server, client: Client) -> None:
    proxy.hold("up")
    client.send("one")
    proxy.wait_until(lambda: proxy.held("up") > 0)
    client.send("two")
    assert server.heard == []
    proxy.flow()
    assert [client.hear(), client.hear()] == ["ONE", "TWO"]


def test_a_silence_ends_by_itself(proxy: Proxy, client: Client) -> None:
    proxy.silence(0.2)
    client.send("one")
    assert client.hear() == "ONE"
    assert proxy.modes == {"up": "flow", "down": "flow"}


def test_one_request_is_held_and_the_others_pass(proxy: Proxy, server: _Server, client: Client) -> None:
    proxy.when("up", b"slow", lambda link: link.hold("up"))
    client.send("slow")
    proxy.wait_until(lambda: proxy.held("up") > 0)
    other = Client(proxy)
    other.send("slow too")  # asked for once
    assert other.hear() == "SLOW TOO"
    other.close()
    assert server.heard == ["slow too"]
    proxy.links[0].flow()
    assert client.hear() == "SLOW"


def test_a_reply_is_lost(proxy: Proxy, server: _Server, client: Client) -> None:
    proxy.when("up", b"two", lambda link: link.when("down", b"TWO", Link.cut))
    client.send("one")
    assert client.hear() == "ONE"
    client.send("two")
    with pytest.raises(ConnectionResetError):
        client.hear()
    assert server.heard == ["one", "two"]


def test_a_half_open_connection_tells_nobody(proxy: Proxy, server: _Server, client: Client) -> None:
    client.send("one")
    assert client.hear() == "ONE"
    proxy.swallow()
    client.send("two")
    proxy.wait_until(lambda: proxy.swallowed("up") > 0)
    client.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.hear()
    assert server.heard == ["one"]


def test_nobody_may_connect_for_a_while(proxy: Proxy, client: Client) -> None:
    client.send("one")
    assert client.hear() == "ONE"
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        Client(proxy)
    client.send("two")
    assert client.hear() == "TWO"
    proxy.accept()
    again = Client(proxy)
    again.send("three")
    assert again.hear() == "THREE"
    again.close()
