"""What was recorded on plain sockets: the same bytes are sent, and the same bytes come back."""

import contextlib
import re
import socket
from collections.abc import Iterator

import pytest

from lmflow.simulator.kernel import Kernel, Options
from lmflow.simulator.pool import SimulatedPool
from tests.support.recorded import trace
from tests.support.recorded.trace import Item
from tests.support.wire import TinyWorld, WireClient

SESSION = re.compile(r"OpaqueRef:5e3ca01b-a4fd-6177-457b-c2b30a5fa7a2")
REFS = re.compile(r"(?:<value>OpaqueRef:[0-9a-f-]+</value>)+")
LENGTH = re.compile(r"content-length: (\d+)")
CLOSED = "EOF"
NOTES = trace.notes("02")


class OtherWorld:
    """TinyWorld with five VMs more: other references, another count."""

    def apply(self, pool: Kernel) -> None:
        TinyWorld().apply(pool)
        for number in range(5):
            pool.store.create("VM", {"name_label": f"other-{number}"})


@pytest.fixture(scope="module", params=[TinyWorld, OtherWorld])
def wire(request: pytest.FixtureRequest) -> Iterator[WireClient]:
    with SimulatedPool(Options(), world=request.param()) as pool:
        client = WireClient(pool)
        client.login()
        yield client


def _translate(wire: WireClient, text: str) -> str:
    """Write a recorded reply as this pool has to write it: the reply to ``VM.get_all`` names this pool's VMs."""
    ours = "".join(f"<value>{ref}</value>" for ref in wire.pool.store.refs("VM"))
    found = REFS.search(text)
    more = len(ours) - len(found.group()) if found else 0
    text = REFS.sub(ours, text)
    return LENGTH.sub(lambda length: f"content-length: {int(length.group(1)) + more}", text)


def _read(connection: socket.socket, size: int) -> str:
    data = b""
    while len(data) < size and (part := connection.recv(size - len(data))):
        data += part
    return data.decode()


@contextlib.contextmanager
def _connect(wire: WireClient) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", wire.port), timeout=20) as connection:
        yield connection


@pytest.mark.parametrize("item", NOTES, ids=[item.label for item in NOTES])
def test_the_same_bytes_come_back(wire: WireClient, item: Item) -> None:
    requests = [SESSION.sub(wire.session, text) for text in item.note["requests"]]
    recorded = item.note["responses"]
    replies = [_translate(wire, text) for text in recorded if text != CLOSED]
    with _connect(wire) as connection:
        for request, reply in zip(requests, replies, strict=True):
            connection.sendall(request.encode())
            assert _read(connection, len(reply.encode())) == reply
        if CLOSED in recorded:
            assert connection.recv(1) == b""
        elif replies != [""]:
            connection.sendall(requests[-1].encode())
            assert _read(connection, len(replies[-1].encode())) == replies[-1], "the connection was not kept"


def test_every_note_has_been_understood() -> None:
    assert [len(item.note["requests"]) for item in NOTES] == [
        len([text for text in item.note["responses"] if text != CLOSED]) for item in NOTES
    ]
    assert len(NOTES) == 7


def test_too_short_a_request_is_waited_for(wire: WireClient) -> None:
    (garbage,) = [item for item in NOTES if item.label == "garbage request line"]
    with _connect(wire) as connection:
        connection.sendall(garbage.note["requests"][0].encode())
        connection.sendall(b"AND MORE\r\n\r\n")
        reply = connection.recv(65536)
    assert reply.startswith(b"HTTP/1.1 500 Internal Error\r\n")
    assert reply.endswith(b"<h1> Additional information </h1>The HTTP headers could not be parsed.</body></html>")
