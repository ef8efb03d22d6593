"""A pool of two hosts, and a client that sees every byte: for tests of the simulator's wire."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import socket
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lmflow.simulator.kernel import Kernel
from lmflow.simulator.pool import SimulatedPool

HEAD = '<?xml version="1.0"?><methodResponse><params><param><value><struct><member><name>Status</name>'
TAIL = "</member></struct></value></param></params></methodResponse>"


class TinyWorld:
    """Hosts h1 (coordinator) and h2, and a VM on h1: all that the kernel needs to be driven."""

    def apply(self, pool: Kernel) -> None:
        store = pool.store
        hosts = [
            store.create("host", {"name_label": name, "address": address, "hostname": name, "enabled": True})
            for name, address in (("h1", "127.0.0.1"), ("h2", "127.0.0.2"))
        ]
        store.create("pool", {"name_label": "tiny", "master": hosts[0]})
        fields = {"name_label": "vm", "power_state": "Running", "resident_on": hosts[0], "memory_static_max": 2**32}
        store.create("VM", fields)


@dataclasses.dataclass
class Reply:
    """What came back: HTTP status, headers as they came, the body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def value(self) -> Any:
        """The Value of a success; fails the test for a failure."""
        parsed = self.parsed
        assert parsed["Status"] == "Success", parsed
        return parsed["Value"]

    @property
    def failure(self) -> list[str]:
        """The ErrorDescription of a failure; fails the test for a success."""
        parsed = self.parsed
        assert parsed["Status"] == "Failure", parsed
        return list(parsed["ErrorDescription"])

    @property
    def parsed(self) -> dict[str, Any]:
        (found,), _ = xmlrpc.client.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def inner(self) -> str:
        """What stands in the envelope of a success."""
        text = self.body.decode()
        start = HEAD + "<value>Success</value></member><member><name>Value</name>"
        assert text.startswith(start), text
        assert text.endswith(TAIL), text
        return text[len(start) : -len(TAIL)]


class WireClient:
    """Calls of one embedded pool, each on a connection of its own; ``session`` is put first by ``call``."""

    def __init__(self, pool: SimulatedPool) -> None:
        self.pool = pool
        self.session = ""

    @property
    def port(self) -> int:
        return self.pool.server.port

    def post(
        self,
        body: bytes,
        *,
        address: str = "127.0.0.1",
        path: str = "/",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        connection = http.client.HTTPConnection(address, self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", path, body, dict(headers or {}))
            reply = connection.getresponse()
            return Reply(reply.status, reply.getheaders(), reply.read())

    def raw(self, method: str, *params: Any, address: str = "127.0.0.1", **options: Any) -> Reply:
        """Call with exactly these parameters."""
        return self.post(xmlrpc.client.dumps(params, method).encode(), address=address, **options)

    def call(self, method: str, *params: Any, **options: Any) -> Any:
        """Call with the session and give the value."""
        return self.raw(method, self.session, *params, **options).value

    def refuse(self, method: str, *params: Any, **options: Any) -> list[str]:
        """Call with the session and give the failure."""
        return self.raw(method, self.session, *params, **options).failure

    def login(self, *, originator: str = "test", keep: bool = True) -> str:
        options = self.pool.options
        ref = str(self.raw("session.login_with_password", options.username, options.password, "1.0", originator).value)
        if keep:
            self.session = ref
        return ref

    def ref(self, cls: str, name: str) -> str:
        (found,) = self.pool.store.find(cls, name_label=name)
        return found

    def events(self, classes: list[str], token: str = "", timeout_seconds: float = 300.0) -> dict[str, Any]:
        found = self.call("event.from", classes, token, timeout_seconds)
        assert isinstance(found, dict)
        return found

    def wait_for_task(self, ref: str) -> dict[str, Any]:
        """Wait in event.from until a task has ended, and give its record."""
        token = ""
        while True:
            batch = self.events([f"task/{ref}"], token)
            token = batch["token"]
            for event in batch["events"]:
                if event["snapshot"]["status"] != "pending":
                    return dict(event["snapshot"])

    def exchange(self, data: bytes, address: str = "127.0.0.1") -> bytes:
        """Send bytes and read until the other side closes."""
        with socket.create_connection((address, self.port), timeout=30) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while part := connection.recv(65536):
                found += part
            return found


def wait_until_asked(pool: SimulatedPool, method: str, count: int, seconds: float = 10.0) -> None:
    """Wait, in real seconds, until a call has been read so often from the start."""
    limit = time.monotonic() + seconds
    while sum(entry.method == method for entry in pool.audit.entries()) < count:
        assert time.monotonic() < limit, f"{method} was not called {count} times"
        time.sleep(0.002)


@contextlib.contextmanager
def in_background(work: Callable[[], Any]) -> Iterator[Background]:
    """Run something in a thread; its result or error is read after the block."""
    made = Background(work)
    yield made
    made.join()


class Background:
    """A call under way in a thread."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.error = error

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive(), "the call did not end"
