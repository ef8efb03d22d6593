"""Requests and replies of HTTP/1.x, as far as XAPI speaks it; header names, their order and the pages are XAPI's."""

from __future__ import annotations

import html
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

_REASONS = {
    200: "OK",
    302: "Found",
    401: "Unauthorised",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Error",
    501: "Method not implemented",
    503: "Service Unavailable",
}
_SORRY = (
    "An unexpected error occurred; please wait a while and try again. If the problem persists, please contact your "
    "support representative."
)


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
    keep_alive: bool = True

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target if "?" not in self.target and "#" not in self.target else urlsplit(self.target).path

    def query(self, name: str) -> str | None:
        """Give a parameter of the query, None when it is not there."""
        return next(iter(parse_qs(urlsplit(self.target).query).get(name, [])), None)


@dataclass(slots=True)
class HttpReply:
    """A reply; ``sent`` is called once it was written.

    ``deliver`` puts the whole reply on the connection in the server's place; the connection is closed after it.
    """

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False
    sent: Callable[[], None] | None = None
    deliver: Callable[[socket.socket, bytes, threading.Event], None] | None = None


class RefusedRequest(Exception):  # noqa: N818 - what the client sent, not what went wrong here
    """A request that cannot be read; ``reply`` is the page for it."""

    def __init__(self, reply: HttpReply, version: str = "HTTP/1.1") -> None:
        super().__init__(reply.status)
        self.reply = reply
        self.version = version


def _page(status: int, title: str, text: str, headers: Mapping[str, str] | None = None) -> HttpReply:
    body = f"<html><body><h1>HTTP {status} {title}</h1>{text}</body></html>"
    return HttpReply(status, body.encode(), "text/html", headers or {}, close=True)


def escape_page(text: str) -> str:
    """Escape text for a page."""
    return html.escape(text).replace("&#x27;", "&apos;")


def error_page(markup: str) -> HttpReply:
    """Make the page of an internal error around text that is markup already; the connection is closed."""
    extra = f"<h1> Additional information </h1>{markup}"
    return _page(500, "internal server error", _SORRY + extra)


def server_error(info: str) -> HttpReply:
    """Make the page that XAPI answers when it cannot read a request; the connection is closed."""
    return error_page(escape_page(info))


def unauthorised(realm: str = "post_services_xenops") -> HttpReply:
    """Make the page for a request without a valid session, for the witness or a download; it closes the connection."""
    headers = {"WWW-Authenticate": f'Basic realm="{realm}"'}
    return _page(401, "unauthorised", "Please check your credentials and retry.", headers)


def forbidden() -> HttpReply:
    """Make the page for a resource that nobody may have; the connection is closed."""
    return _page(403, "forbidden", "Access to the requested resource is forbidden.")


def timed_out() -> HttpReply:
    """Make the page for a client that does not finish its headers; the connection is closed."""
    return _page(408, "request timeout", "Timed out waiting for the request.")


def headers_too_large() -> HttpReply:
    """Make the page for headers over the limit; the connection is closed."""
    return _page(431, "request header fields too large", "Exceeded the maximum header size.")


def not_implemented(method: str) -> HttpReply:
    """Make the page for a method that XAPI does not know; the connection is closed."""
    return _page(501, "Method Not Implemented", f"<p>Unknown {escape_page(method)} not supported.<br /></p>")


def unavailable() -> HttpReply:
    """Make the page that stands before a pool when nobody answers behind it; the connection is closed."""
    return _page(503, "service unavailable", "The service is temporarily unavailable. Please try again later.")


CROSS_ORIGIN = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "X-Requested-With"}


def write_reply(reply: HttpReply, version: str, *, keep_alive: bool = False) -> bytes:
    """Write head and body in one piece, so that no packet waits for another; HEAD gets its page like any other."""
    connection = "keep-alive" if keep_alive else "close"
    if reply.status == 403:
        version = "HTTP/1.1"  # XAPI's page of this refusal does not look at the request
    lines = [f"{version} {reply.status} {_REASONS.get(reply.status, 'Unknown')}", f"content-length: {len(reply.body)}"]
    cache = "cache-control: no-cache, no-store"
    if reply.status == 200:
        lines += [f"connection: {connection}", cache]
        if reply.content_type:
            lines.append(f"content-type: {reply.content_type}")
    else:
        lines += [f"content-type: {reply.content_type or 'text/html'}", f"connection: {connection}", cache]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return b"".join((("\r\n".join(lines) + "\r\n\r\n").encode(), reply.body))
