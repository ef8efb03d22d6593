"""Requests and replies of HTTP/1.x, as far as XAPI speaks it; header names and their order are XAPI's."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

_LINE_LIMIT = 65_536
_HEADER_LIMIT = 200
BODY_LIMIT = 8 * 1024 * 1024
_REASONS = {200: "OK", 401: "Unauthorised", 403: "Forbidden", 500: "Internal Error", 501: "Not Implemented"}
_SORRY = (
    "An unexpected error occurred; please wait a while and try again. If the problem persists, please contact your "
    "support representative."
)


class MalformedRequest(ValueError):  # noqa: N818 - what the client sent
    """The request cannot be answered but with an error page."""


@dataclass(slots=True)
class HttpRequest:
    """A request; header names are lower case. ``dropped`` is set when the server closes the connection."""

    host_ref: str
    method: str
    target: str
    version: str
    headers: Mapping[str, str]
    body: bytes
    dropped: threading.Event

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    def query(self, name: str) -> str | None:
        """Give a parameter of the query, None when it is not there."""
        return next(iter(parse_qs(urlsplit(self.target).query).get(name, [])), None)

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after the reply."""
        return self.version == "HTTP/1.1" and self.headers.get("connection", "").lower() != "close"


@dataclass(slots=True)
class HttpReply:
    """A reply; ``sent`` is called once it was written."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False
    sent: Callable[[], None] | None = None


def read_request(stream: BinaryIO, host_ref: str, dropped: threading.Event) -> HttpRequest | None:
    """Read one request; None at the end of the stream or for a line that is no HTTP. MalformedRequest, OSError."""
    words = stream.readline(_LINE_LIMIT).decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        return None
    headers: dict[str, str] = {}
    while (line := stream.readline(_LINE_LIMIT)) not in {b"\r\n", b"\n"}:
        if not line or len(headers) > _HEADER_LIMIT:
            return None
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = _read_body(stream, words[0], headers)
    return None if body is None else HttpRequest(host_ref, words[0], words[1], words[2], headers, body, dropped)


def _read_body(stream: BinaryIO, method: str, headers: Mapping[str, str]) -> bytes | None:
    """Read the body; None when the client went away before it was complete."""
    text = headers.get("content-length")
    if text is None:
        if method == "POST":
            raise MalformedRequest("Failure(content-length is missing)")
        return b""
    if not text.isdigit() or int(text) > BODY_LIMIT:
        raise MalformedRequest("Failure(content-length)")
    body = stream.read(int(text))
    return body if len(body) == int(text) else None


def _page(title: str, text: str) -> bytes:
    return f"<html><body><h1>{title}</h1>{text}</body></html>".encode()


def server_error(info: str) -> HttpReply:
    """Make the page that XAPI answers when it cannot read a request; the connection is closed."""
    extra = f"<h1> Additional information </h1>{html.escape(info)}".replace("&#x27;", "&apos;")
    return HttpReply(500, _page("HTTP 500 internal server error", _SORRY + extra), "text/html", close=True)


def unauthorised() -> HttpReply:
    """Make the page of the witness for a request without a valid session; the connection is closed."""
    text = "Please check your credentials and retry."
    headers = {"WWW-Authenticate": 'Basic realm="post_services_xenops"'}
    return HttpReply(401, _page("HTTP 401 unauthorised", text), "text/html", headers, close=True)


def forbidden() -> HttpReply:
    """Make the page for a resource that nobody may have; the connection is closed."""
    text = "Access to the requested resource is forbidden."
    return HttpReply(403, _page("HTTP 403 forbidden", text), "text/html", close=True)


def not_implemented() -> HttpReply:
    """Make the page for a method that XAPI does not know; the connection is closed."""
    return HttpReply(501, _page("HTTP 501 not implemented", "This method is not supported."), "text/html", close=True)


CROSS_ORIGIN = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "X-Requested-With"}


def write_reply(reply: HttpReply, version: str, *, keep_alive: bool = False, method: str = "POST") -> bytes:
    """Write head and body in one piece, so that no packet waits for another."""
    connection = "keep-alive" if keep_alive else "close"
    lines = [f"{version} {reply.status} {_REASONS.get(reply.status, 'Unknown')}", f"content-length: {len(reply.body)}"]
    cache = "cache-control: no-cache, no-store"
    if reply.status == 200:
        lines += [f"connection: {connection}", cache]
        if reply.content_type:
            lines.append(f"content-type: {reply.content_type}")
    else:
        lines += [f"content-type: {reply.content_type or 'text/html'}", f"connection: {connection}", cache]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    body = b"" if method == "HEAD" else reply.body
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
