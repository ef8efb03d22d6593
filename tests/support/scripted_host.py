"""A host that answers as a script says, badly on purpose, and remembers every request it read from the wire."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import socket
import ssl
import struct
import threading
import xmlrpc.client
from collections.abc import Callable, Mapping
from typing import Any

from lmflow.models import PoolProfile, Tls

SESSION = "OpaqueRef:5e551015-ec2e-4000-8000-0123456789ab"
SESSION_UUID = "5e551000-0000-4000-8000-000000000001"
POOL_UUID = "b0010000-0000-4000-8000-000000000001"
TASK = "OpaqueRef:18444f57-7ece-4000-8000-0123456789ab"
PASSWORD = "hunter2-Uncommon!"
JSON_PATH = "/jsonrpc"


@dataclasses.dataclass(frozen=True)
class Request:
    """One request as it was read: method and parameters of its XML or JSON, path and headers (lower case)."""

    method: str
    params: tuple[Any, ...]
    path: str
    headers: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Act:
    """What happens to a request. ``kind``: value, failure, close, reset, hang, cut, garbage, fault, bare, http."""

    kind: str
    data: Any = None


def value(data: Any) -> Act:
    return Act("value", data)


def failure(*details: Any) -> Act:
    return Act("failure", list(details))


class ScriptedHost:
    """Serves one address. ``script`` gives a list of acts for a method; the last one is repeated.

    ``json_refusal`` is what a host without JSON-RPC does with a request for it; that takes nothing off the script.
    """

    def __init__(
        self,
        script: Mapping[str, list[Act]] | None = None,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        json_refusal: Act | None = None,
    ) -> None:
        self.script: dict[str, list[Act]] = {
            "session.login_with_password": [value(SESSION)],
            "session.get_uuid": [value(SESSION_UUID)],
            "pool.get_all": [value(["OpaqueRef:pool"])],
            "pool.get_uuid": [value(POOL_UUID)],
            "session.logout": [value("")],
            **(script or {}),
        }
        self.requests: list[Request] = []
        self.connections = 0
        self.address = address
        self._tls = tls
        self._json_refusal = json_refusal
        self._stop = threading.Event()
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._to_drop = self._dropped = 0
        self._listener = socket.create_server((address, port))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    def __enter__(self) -> ScriptedHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def profile(self, *addresses: str, read_seconds: float = 20.0, tls: Tls | None = None) -> PoolProfile:
        return PoolProfile(
            "scripted",
            addresses or (self.address,),
            scheme="https" if self._tls else "http",
            port=self.port,
            tls=tls or Tls(),
            connect_timeout_seconds=20.0,
            read_timeout_seconds=read_seconds,
            witness_timeout_seconds=read_seconds,
        )

    def methods(self) -> list[str]:
        with self._lock:
            return [request.method for request in self.requests]

    def count(self, method: str) -> int:
        return self.methods().count(method)

    def wait_until_closed(self) -> None:
        """Wait until the host has closed every connection it closes by its script ("drop")."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._dropped == self._to_drop, 10)

    def wait_for(self, method: str) -> None:
        """Wait until a request of that method has been read."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(method) > 0, 10)

    def release(self) -> None:
        """Let requests that hang be closed without a reply."""
        self._released.set()

    def stop(self) -> None:
        self._stop.set()
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with contextlib.closing(connection), connection.makefile("rb") as stream:
                while (request := _read_request(stream)) is not None:
                    if not self._act(connection, request):
                        break
        with self._changed:
            self._dropped = self._to_drop
            self._changed.notify_all()

    def _next_act(self, request: Request) -> Act:
        with self._lock:
            self.requests.append(request)
            if request.path == JSON_PATH and self._json_refusal is not None:
                return self._json_refusal
            acts = self.script.get(request.method) or [failure("MESSAGE_METHOD_UNKNOWN", request.method)]
            return acts.pop(0) if len(acts) > 1 else acts[0]

    def _act(self, connection: socket.socket, request: Request) -> bool:
        """Do what the script says; True keeps the connection."""
        act = self._next_act(request)
        with self._changed:
            self._changed.notify_all()
        reply = (_JSON_REPLIES if request.path == JSON_PATH else _REPLIES).get(act.kind)
        if reply is not None:
            connection.sendall(reply(act.data))
            return act.kind in ("value", "failure", "fault", "bare")
        if act.kind == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif act.kind == "hang":
            self._released.wait(30)
        elif act.kind == "drop":  # answer well, then close the idle connection as xapi does after a while
            self._to_drop += 1
            connection.sendall(_envelope({"Status": "Success", "Value": act.data}))
        return False


def _http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body) if length is None else length}\r\n"
    return (head + "content-type: text/xml\r\n\r\n").encode() + body


def _envelope(reply: Any) -> bytes:
    return _http(xmlrpc.client.dumps((reply,), methodresponse=True).encode())


def _json(**outcome: Any) -> bytes:
    return _http(json.dumps({"jsonrpc": "2.0", "id": 1, **outcome}, default=str).encode())


def _cut(_: Any) -> bytes:
    body = xmlrpc.client.dumps(({"Status": "Success", "Value": TASK},), methodresponse=True).encode()
    return _http(body[: len(body) // 2], length=len(body))


def _fault(_: Any) -> bytes:
    return _http(xmlrpc.client.dumps(xmlrpc.client.Fault(1, "no"), methodresponse=True).encode())


_REPLIES: dict[str, Callable[[Any], bytes]] = {
    "value": lambda data: _envelope({"Status": "Success", "Value": data}),
    "failure": lambda data: _envelope({"Status": "Failure", "ErrorDescription": data}),
    "http": lambda data: _http(b"<html><body>internal error</body></html>", data),
    "cut": _cut,
    "garbage": lambda _: _http(b"<html><body>hello</body></html>"),
    "empty": lambda _: _http(b""),
    "fault": _fault,
    "bare": _envelope,
}


_JSON_REPLIES = _REPLIES | {
    "value": lambda data: _json(result=data),
    "failure": lambda data: _json(error={"code": 1, "message": data[0], "data": data[1:]}),
    "bare": lambda data: _json(**data),
}


def _read_request(stream: Any) -> Request | None:
    first = stream.readline()
    if not first.startswith(b"POST "):
        return None
    headers: dict[str, str] = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, text = line.decode("latin-1").partition(":")
        headers[name.lower()] = text.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    path = re.split(r"\s+", first.decode("latin-1"))[1]
    if path == JSON_PATH:
        call = json.loads(body)
        return Request(call["method"], tuple(call["params"]), path, headers)
    params, method = xmlrpc.client.loads(body)
    return Request(method or "", params, path, headers)
