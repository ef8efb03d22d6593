"""Reads requests from a connection, with XAPI's limits and its refusals. Source: http_svr.ml, http.ml."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass

from lmflow.simulator.database.numerals import parse_int64
from lmflow.simulator.wire.http1 import (
    HttpRequest,
    RefusedRequest,
    error_page,
    headers_too_large,
    server_error,
    timed_out,
)

_CHUNK = 65_536
_SHORTEST = len("GET / HTTP/1.0\r\n\r\n")
"""XAPI looks for the end of the headers only once it has that many bytes."""
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a listener puts up with, in real seconds: networks do not get faster with the clock of the pool.

    The times count for the first request of a connection only, as at XAPI, whose default values these are
    (xapi_globs.ml). ``body_seconds`` and ``send_seconds`` are ours: XAPI waits for ever for a body and for a reader.
    """

    header_read_seconds: float = 10.0
    header_total_seconds: float = 60.0
    header_bytes: int = 1024 - _SHORTEST
    body_bytes: int = 300 * 1024
    body_seconds: float = 60.0
    send_seconds: float = 600.0
    connections: int = 800


class RequestReader:
    """The requests of one connection, one after the other; what comes too early waits for its turn."""

    def __init__(self, connection: socket.socket, limits: Limits, host_ref: str, dropped: threading.Event) -> None:
        self._connection = connection
        self._limits = limits
        self._host_ref = host_ref
        self._dropped = dropped
        self._buffer = b""
        self._is_first = True

    def read(self) -> HttpRequest | None:
        """Read a request; None at the end of the stream. RefusedRequest, OSError."""
        head = self._read_head()
        if head is None:
            return None
        request = _parse_head(head, self._host_ref, self._dropped)
        if request.method == "POST":
            try:
                body = self._read_body(request.headers.get("content-length"))
            except RefusedRequest as refused:
                refused.version = request.version
                raise
            if body is None:
                return None
            request.body = body
        self._connection.settimeout(self._limits.send_seconds)
        return request

    def _read_head(self) -> bytes | None:
        limits, is_first = self._limits, self._is_first
        self._is_first = False
        deadline = time.monotonic() + limits.header_total_seconds
        while True:
            end = self._buffer.find(_END) if len(self._buffer) >= _SHORTEST else -1
            if end >= 0 and end + len(_END) <= limits.header_bytes:
                head, self._buffer = self._buffer[:end], self._buffer[end + len(_END) :]
                return head
            if end >= 0 or len(self._buffer) >= limits.header_bytes:
                raise RefusedRequest(headers_too_large())
            left = min(limits.header_read_seconds, deadline - time.monotonic())
            if is_first and left <= 0:
                raise RefusedRequest(timed_out())
            self._connection.settimeout(left if is_first else None)
            try:
                part = self._connection.recv(_CHUNK)
            except TimeoutError:
                raise RefusedRequest(timed_out()) from None
            if not part:
                return None
            self._buffer += part

    def _read_body(self, text: str | None) -> bytes | None:
        """Read the body; None when the client went away, or took too long, before it was complete."""
        if text is None:
            raise RefusedRequest(server_error('Failure("We require a content-length: HTTP header")'))
        length = parse_int64(text)
        if length > self._limits.body_bytes:
            raise RefusedRequest(server_error("Http_svr.Client_requested_size_over_limit"))
        if length < 0:
            raise RefusedRequest(server_error('Invalid_argument("Bytes.create")'))
        deadline = time.monotonic() + self._limits.body_seconds
        parts, missing = [self._buffer], length - len(self._buffer)
        while missing > 0:
            self._connection.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                part = self._connection.recv(min(missing, _CHUNK))
            except TimeoutError:
                return None
            if not part:
                return None
            parts.append(part)
            missing -= len(part)
        data = b"".join(parts)
        self._buffer = data[length:]
        return data[:length]


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _parse_head(head: bytes, host_ref: str, dropped: threading.Event) -> HttpRequest:
    first, *lines = _decode(head).split("\n")
    words = first.split()
    if len(words) != 3:
        raise RefusedRequest(error_page("The HTTP headers could not be parsed."))
    method, target, version = words
    if len(version) < len("HTTP/"):
        raise RefusedRequest(server_error('Invalid_argument("String.sub / Bytes.sub")'))
    is_old = version[len("HTTP/") :] == "1.0"
    keep_alive = not is_old
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            continue
        name, value = name.lower(), value.strip()
        headers[name] = value
        if name == "connection":
            keep_alive = {"close": False, "keep-alive": True}.get(value.lower(), keep_alive)
        elif name == "content-length":
            _check_length(value)
    return HttpRequest(
        host_ref, method, target, "HTTP/1.0" if is_old else "HTTP/1.1", headers, b"", dropped, keep_alive
    )


def _check_length(value: str) -> None:
    try:
        parse_int64(value)
    except ValueError:
        raise RefusedRequest(server_error('Failure("Int64.of_string")')) from None
