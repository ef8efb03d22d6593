"""The official SDK, made to send each request exactly once.

Two things of it are replaced, because each sends again by itself: ``xmlrpc.client.Transport.request`` repeats a
request when the connection drops, and ``XenAPI.Session.xenapi_request`` logs in anew on SESSION_INVALID and
repeats the call up to three times. A repeated VM.pool_migrate is a second migration.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import time
import xmlrpc.client
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from xml.parsers.expat import ExpatError

import XenAPI

from lmflow.models import PoolProfile
from lmflow.xapi.wire import HostConnection, NotSentError, open_connection

_log = logging.getLogger(__name__)
_Reply = TypeVar("_Reply")

_SESSION_IN_URL = re.compile(r"session_id=[^&\s\"'<>]*")
_UNREADABLE = (
    ExpatError,
    xmlrpc.client.Error,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    zlib.error,
)


class LostReplyError(Exception):
    """The request was, or may have been, sent, and no complete reply was read. ``cause`` holds no secret."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class OneShotTransport(xmlrpc.client.Transport):
    """Carries a request to one host once; keeps the connection while it is good, closes it after any error."""

    user_agent = "lmflow"

    def __init__(self, profile: PoolProfile, address: str, *, read_seconds: float) -> None:
        super().__init__()
        self.read_seconds = read_seconds
        self._profile = profile
        self.address = address
        self._kept: HostConnection | None = None
        self._interrupted = False

    def make_connection(self, host: Any) -> HostConnection:
        """Return the kept connection if it is still good, else a new one; raises NotSentError."""
        if self._kept is not None and self._kept.is_idle():
            self._kept.set_read_timeout(self.read_seconds)
            return self._kept
        self.close()
        self._kept = open_connection(
            self._profile,
            self.address,
            connect_seconds=self._profile.connect_timeout_seconds,
            read_seconds=self.read_seconds,
        )
        if self._interrupted:
            self.close()
            raise NotSentError(self.address, "interrupted")
        return self._kept

    def request(self, host: Any, handler: str, request_body: Any, verbose: bool = False) -> Any:
        """Send once and read the reply; raises NotSentError or LostReplyError, and never sends again."""
        return self._exchange(lambda: self.single_request(host, handler, request_body, verbose))

    def post(self, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        """Send a body once and return the reply's HTTP status and its bytes; raises NotSentError or LostReplyError."""
        return self._exchange(lambda: self._post(path, body, content_type))

    def _post(self, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        connection = self.make_connection(self.address)
        connection.request("POST", path, body, {"Content-Type": content_type, "User-Agent": self.user_agent})
        response = connection.getresponse()
        return response.status, response.read()

    def _exchange(self, send: Callable[[], _Reply]) -> _Reply:
        cause = ""
        answered = False
        try:
            reply = send()
            answered = True
        except TimeoutError:
            cause = f"no reply within {self.read_seconds:g} s"
        except xmlrpc.client.ProtocolError as error:
            cause = f"HTTP {error.errcode}"
        except http.client.RemoteDisconnected:
            cause = "connection closed without a reply"
        except (OSError, http.client.HTTPException) as error:
            cause = f"connection lost ({type(error).__name__})"
        except _UNREADABLE as error:
            cause = f"unreadable reply ({type(error).__name__})"
        finally:
            if not answered:
                self.close()
        if not answered:
            raise LostReplyError(cause)
        return reply

    @contextlib.contextmanager
    def marked(self, *headers: tuple[str, str]) -> Iterator[None]:
        """Send these headers too with what is requested meanwhile."""
        self._headers = list(headers)
        try:
            yield
        finally:
            self._headers = []

    def interrupt(self) -> None:
        """Let a request that waits for its reply lose it at once, and send none any more; from any thread."""
        self._interrupted = True  # before the look for a connection: one that is being made looks at this afterwards
        kept = self._kept
        if kept is not None:
            kept.interrupt()

    def close(self) -> None:
        """Close the connection, if any."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()


class OneShotSession(XenAPI.Session):
    """The SDK's session with one request a call: no new login, no repetition, no password kept.

    Raises NotSentError, LostReplyError, or XenAPI.Failure whose details hold no session reference.
    """

    def __init__(
        self,
        profile: PoolProfile,
        address: str,
        *,
        reference: str = "",
        read_seconds: float | None = None,
    ) -> None:
        self.carrier = OneShotTransport(profile, address, read_seconds=read_seconds or profile.read_timeout_seconds)
        host = f"[{address}]" if ":" in address and not address.startswith("[") else address
        super().__init__(f"{profile.scheme}://{host}:{profile.port}", transport=self.carrier)
        self._session = reference

    def xenapi_request(self, methodname: str, params: tuple[Any, ...]) -> Any:
        """Make one call in this session: one request, whatever the answer."""
        return self.call(methodname, self._session, *params)

    def call(self, method: str, *params: Any) -> Any:
        """Make one call with exactly these parameters and return its value."""
        started = time.monotonic()
        try:
            reply = getattr(self, method)(*params)
        finally:
            _log.debug("%s took %.3f s", method, time.monotonic() - started)
        return self.unwrap(reply, method, params)

    def close(self) -> None:
        """Close the connection; the session itself goes on."""
        self.carrier.close()

    def _login(self, method: str, params: tuple[Any, ...]) -> None:
        self._session = self.call(f"session.{method}", *params)

    def _logout(self) -> Any:
        return self.call("session.logout", self._session)

    def unwrap(self, reply: Any, method: str, params: Sequence[Any]) -> Any:
        """Return the value of XAPI's envelope; raises XenAPI.Failure (secrets masked) or LostReplyError."""
        if isinstance(reply, dict) and reply.get("Status") == "Success" and "Value" in reply:
            return reply["Value"]
        details = reply.get("ErrorDescription") if isinstance(reply, dict) else None
        if not isinstance(details, list) or not details:
            self.close()
            raise LostReplyError("the reply is not XAPI's")
        secrets = {self._session, *_secrets_of(method, params)}
        raise XenAPI.Failure([_mask(str(detail), secrets) for detail in details])


def _secrets_of(method: str, params: Sequence[Any]) -> list[str]:
    """Return those parameters that must not come back in an error: passwords of a login, sessions of a logout."""
    if method == "session.login_with_password":
        return [str(params[1])]
    if method == "session.logout":
        return [str(params[0])]
    return []


def _mask(text: str, secrets: set[Any]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "SECRET")
    return _SESSION_IN_URL.sub("session_id=SECRET", text)
