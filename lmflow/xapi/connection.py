"""A login to one pool: reads are repeated at most once, changing calls never."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import XenAPI

from lmflow.exceptions import (
    LoginError,
    NoReplyError,
    SessionNotArmedError,
    UnreachableError,
    XapiFailureError,
)
from lmflow.models import PoolProfile, XapiError
from lmflow.xapi.failures import CURED_BY_LOGIN, GONE, SESSION_INVALID, mask_failure, name_failure
from lmflow.xapi.login import Login, log_in, log_out
from lmflow.xapi.sdk import LostReplyError, OneShotSession
from lmflow.xapi.wire import NotSentError, make_unreachable

ATTEMPT_HEADER = "X-Http-Other-Config-lmflow-attempt"

_log = logging.getLogger(__name__)
_READING = ("get_", "assert_", "compute_")
_ATTEMPT_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Connection:
    """A login to one pool through the official SDK with our own transport and session.

    The SDK is not thread-safe: a lock is held around each request. Waiting for events has a session object and a
    connection of its own, so that other threads go on reading meanwhile. Context manager: leaving it logs out.
    ``may_migrate`` and ``denied`` are what ``lmflow.xapi.role`` read of our role, None before.
    """

    def __init__(self, profile: PoolProfile, password: Callable[[], str], login: Login, originator: str) -> None:
        self.profile = profile
        self.armed = False
        self.may_migrate: bool | None = None
        self.denied: tuple[str, ...] | None = None
        self._password = password
        self._originator = originator
        self._lock = threading.RLock()
        self._event_lock = threading.Lock()
        self._closed = False
        self._generation = 0
        self._tokens: dict[tuple[str, str], str] = {}
        self.pool_uuid = login.pool_uuid
        self._take(login)

    @classmethod
    def open(cls, profile: PoolProfile, password: Callable[[], str], *, originator: str = "lmflow") -> Connection:
        """Log in to the pool's coordinator, by any address of the profile.

        ``password`` is called at each login, and what it returns is not kept.
        Raises UnreachableError (``tried`` says what each address answered) or LoginError.
        """
        return cls(profile, password, log_in(profile, password(), originator), originator)

    def __repr__(self) -> str:
        return f"Connection({self.profile.name!r}, {self.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # --- reading -------------------------------------------------------------------------------------------------

    def read(self, method: str, *args: Any) -> Any:
        """Make a reading call and return its value as the SDK parsed it.

        After SESSION_INVALID, HOST_IS_SLAVE, an emergency code or a lost connection: one new login, then the
        same read once more. A new login changes ``session_uuid`` and disarms.
        Raises UnreachableError when nobody answers, XapiFailureError (references replaced by UUIDs) on a failure.
        """
        if not method.rpartition(".")[2].startswith(_READING) and method != "event.from":
            raise ValueError(f"{method} is no reading call; it must not be repeated")
        with self._lock:
            self._require_open()
            try:
                return self._session.xenapi_request(method, args)
            except (NotSentError, LostReplyError) as error:
                lost = str(error)
            except XenAPI.Failure as failure:
                if failure.details[0] not in CURED_BY_LOGIN:
                    raise self._refusal(failure, method) from None
                lost = failure.details[0]
            self._log_in_again(f"{method}: {lost}")
            return self._read_last_time(method, args)

    def _read_last_time(self, method: str, args: tuple[Any, ...]) -> Any:
        try:
            return self._session.xenapi_request(method, args)
        except NotSentError as error:
            raise make_unreachable(self.profile, error) from None
        except LostReplyError as error:
            said = f"{self.address}: {error.cause}"
        except XenAPI.Failure as failure:
            code = failure.details[0]
            if code == SESSION_INVALID or code not in CURED_BY_LOGIN:
                raise self._refusal(failure, method) from None
            said = f"{self.address}: {code}"
        raise UnreachableError(f"pool {self.profile.name} does not answer {method}: {said}", tried=[said])

    def name_failure(self, details: Sequence[str]) -> XapiError:
        """Return a failure in which each reference is replaced by a UUID, as far as the pool still knows it."""
        with self._lock:
            return name_failure(details, self.find_uuid)

    def find_uuid(self, class_name: str, reference: str) -> str | None:
        """Ask once for an object's UUID, without a new login; None when that does not work."""
        with self._lock:
            try:
                return str(self._session.xenapi_request(f"{class_name}.get_uuid", (reference,)))
            except (NotSentError, LostReplyError, XenAPI.Failure):
                return None

    def _refusal(self, failure: XenAPI.Failure, method: str) -> XapiFailureError:
        error = self.name_failure(failure.details)
        return XapiFailureError(error.code, error.params, call=method)

    # --- changing ------------------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Allow changing calls in the present session; the runner has stored ``session_uuid`` with its lease."""
        with self._lock:
            self.armed = True

    def start(self, method: str, *args: Any, attempt_id: str) -> str:
        """Send ``Async.<method>`` exactly once, on a connection of its own, and return the task's REFERENCE.

        The attempt id goes in a header that XAPI copies into the task's other_config.
        Raises SessionNotArmedError or UnreachableError (nothing was sent), XapiFailureError (XAPI refused it,
        SESSION_INVALID included: no effect), NoReplyError (sent or maybe sent; the effect is unknown).
        """
        if not _ATTEMPT_ID.fullmatch(attempt_id):
            raise ValueError("an attempt id holds letters, digits, dots, dashes and underscores only")
        with self._lock:
            self._require_armed(method)
            sender = self._make_session(headers=[(ATTEMPT_HEADER, attempt_id)])
            try:
                return self._send_once(sender, f"Async.{method}", args)
            finally:
                sender.close()

    def _send_once(self, sender: OneShotSession, call: str, args: tuple[Any, ...]) -> str:
        try:
            reference = sender.xenapi_request(call, args)
        except NotSentError as error:
            raise make_unreachable(self.profile, error) from None
        except LostReplyError as error:
            raise NoReplyError(call, error.cause) from None
        except XenAPI.Failure as failure:
            self.armed = self.armed and failure.details[0] != SESSION_INVALID
            error_said = mask_failure(failure.details)
            raise XapiFailureError(error_said.code, error_said.params, call=call) from None
        if not isinstance(reference, str) or not reference.startswith("OpaqueRef:"):
            raise NoReplyError(call, "the reply names no task")
        return reference

    def call_once(self, method: str, *args: Any) -> None:
        """Make one short idempotent call (task.destroy, task.cancel) once, in the present session, armed or not.

        Raises UnreachableError (not sent), NoReplyError or XapiFailureError.
        """
        with self._lock:
            self._require_open()
            self._call(method, args)

    def call_idempotent(self, method: str, *args: Any) -> Any:
        """Make one changing call once, in the armed session, and return its value; the caller may make it again.

        For calls that take as long as their work and do no harm when they come twice. Raises SessionNotArmedError
        or UnreachableError (not sent), NoReplyError, XapiFailureError (SESSION_INVALID included: no effect).
        """
        with self._lock:
            self._require_armed(method)
            return self._call(method, args)

    def _require_armed(self, method: str) -> None:
        if self._closed or not self.armed:
            raise SessionNotArmedError(f"{method} was not sent: this session may not change the pool")

    def _call(self, method: str, args: tuple[Any, ...]) -> Any:
        try:
            return self._session.xenapi_request(method, args)
        except NotSentError as error:
            raise make_unreachable(self.profile, error) from None
        except LostReplyError as error:
            raise NoReplyError(method, error.cause) from None
        except XenAPI.Failure as failure:
            self.armed = self.armed and failure.details[0] != SESSION_INVALID
            said = mask_failure(failure.details)
            raise XapiFailureError(said.code, said.params, call=method) from None

    def end_session(self, session_uuid: str) -> bool:
        """End ANOTHER session of the pool: from its next call on, its owner gets SESSION_INVALID.

        True: it is over, ended now or unknown to the pool ('' names none: its owner never was armed). Calls it
        had dispatched go on. Raises UnreachableError when that cannot be told, ValueError for our own session.
        """
        if not session_uuid:
            return True
        with self._lock:
            for _ in range(2):
                if session_uuid == self.session_uuid:
                    raise ValueError("this would end our own session")
                reference = self._find_session(session_uuid)
                if reference is None or log_out(self._session, reference):
                    return True
            if self._find_session(session_uuid) is None:
                return True
        raise UnreachableError(
            f"pool {self.profile.name} did not say that session {session_uuid} is over",
            tried=[f"{self.address}: session.logout"],
        )

    def _find_session(self, session_uuid: str) -> str | None:
        try:
            return str(self.read("session.get_by_uuid", session_uuid))
        except XapiFailureError as failure:
            if failure.xapi_code in GONE:
                return None
            raise UnreachableError(
                f"pool {self.profile.name} does not show session {session_uuid}: {failure.xapi_code}",
                tried=[f"{self.address}: {failure.xapi_code}"],
            ) from None

    # --- waiting -------------------------------------------------------------------------------------------------

    def wait_for_event(self, classes: Sequence[str], key: tuple[str, str], timeout_seconds: float) -> None:
        """Block in event.from until something of ``classes`` changed or the time is over.

        The token of ``key`` says what was seen before; without one the call returns at once with what is there.
        A lost session or connection: one new login, no token any more, and back to the caller, who reads again.
        """
        seconds = max(0.0, timeout_seconds)  # XAPI blocks for ever on a negative one
        with self._event_lock:
            with self._lock:
                self._require_open()
                generation, token = self._generation, self._tokens.get(key, "")
                waiter = self._waiter
            waiter.carrier.read_seconds = seconds + self.profile.read_timeout_seconds
            try:
                lost, seen = self._ask_for_events(waiter, (list(classes), token, seconds), key)
                with self._lock:
                    if self._generation != generation:
                        return  # another thread has a new session already: what we saw belongs to the old one
                    if lost:
                        self._log_in_again(f"event.from: {lost}")
                    elif seen:
                        self._tokens[key] = seen
            finally:
                self._drop(waiter)

    def _ask_for_events(self, waiter: OneShotSession, args: tuple[Any, ...], key: tuple[str, str]) -> tuple[str, str]:
        """Return why a new login is needed ('' for no need) and the new token ('' for none)."""
        try:
            batch = waiter.xenapi_request("event.from", args)
        except (NotSentError, LostReplyError) as error:
            return str(error), ""
        except XenAPI.Failure as failure:
            return self._judge_event_failure(failure, key), ""
        return "", str(batch["token"])

    def _drop(self, waiter: OneShotSession) -> None:
        """Close a waiter's connection when its session is no longer ours, or on its way out."""
        with self._lock:
            if self._closed or waiter is not self._waiter:
                waiter.close()

    def _judge_event_failure(self, failure: XenAPI.Failure, key: tuple[str, str]) -> str:
        """Return why a new login is needed, '' when a new token will do."""
        code = failure.details[0]
        if code in CURED_BY_LOGIN:
            return str(code)
        with self._lock:
            self._tokens.pop(key, None)
        if code in ("EVENT_FROM_TOKEN_PARSE_FAILURE", "EVENTS_LOST"):
            return ""
        raise self._refusal(failure, "event.from") from None

    # --- the session ---------------------------------------------------------------------------------------------

    def session_reference(self) -> str:
        """Return the present session's reference: for the witness's URL only; a local variable, never shown."""
        with self._lock:
            return self._session.handle or ""

    def close(self) -> None:
        """Log out, best effort, and close the connections; never raises because the pool is away."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.armed = False
            log_out(self._session, self._session.handle or "")
            self._session.close()
            self._close_idle_waiter()

    def _close_idle_waiter(self) -> None:
        """Close the waiter unless a thread waits with it just now; that one closes it when it wakes."""
        if self._event_lock.acquire(blocking=False):
            try:
                self._waiter.close()
            finally:
                self._event_lock.release()

    def login_again(self) -> None:
        """Replace our own session by a new one, and end the old one: what was sent in it can no longer begin.

        Disarms. Raises UnreachableError or LoginError, and then the old session may still be alive.
        """
        with self._lock:
            self._log_in_again("asked for")

    def _require_open(self) -> None:
        if self._closed:
            raise UnreachableError(f"the connection to pool {self.profile.name} is closed")

    def _log_in_again(self, why: str) -> None:
        """Replace the session; the caller holds the lock. The old one is ended, if the pool still has it."""
        self._require_open()
        _log.info("pool %s: new login (%s)", self.profile.name, why)
        self.armed = False
        self._tokens.clear()
        self._generation += 1
        old = self._session
        old.close()
        login = log_in(self.profile, self._password(), self._originator, first=self.address)
        if login.pool_uuid != self.pool_uuid:
            log_out(login.session, login.session.handle or "")
            login.session.close()
            raise LoginError(f"{login.address} now belongs to another pool ({login.pool_uuid})")
        self._close_idle_waiter()
        self._take(login)
        log_out(self._session, old.handle or "")

    def _take(self, login: Login) -> None:
        self._session = login.session
        self.session_uuid = login.session_uuid
        self.address = login.address
        self._waiter = self._make_session()

    def _make_session(self, headers: Sequence[tuple[str, str]] = ()) -> OneShotSession:
        """Return a session object with a connection of its own in the present session."""
        reference = self._session.handle or ""
        return OneShotSession(self.profile, self.address, reference=reference, headers=headers)
