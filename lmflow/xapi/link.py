"""One login to one pool and one connection for its calls, shared by all runs of this process that need the pool."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import XenAPI

from lmflow.exceptions import LoginError, NoReplyError, UnreachableError, XapiFailureError
from lmflow.models import PoolProfile, XapiError
from lmflow.xapi.bulk import BulkReader, is_bulk
from lmflow.xapi.failures import CURED_BY_LOGIN, GONE, SESSION_INVALID, name_failure
from lmflow.xapi.login import Login, log_in, log_out
from lmflow.xapi.sdk import LostReplyError, OneShotSession
from lmflow.xapi.stream import Stream
from lmflow.xapi.wire import NotSentError, make_unreachable

_log = logging.getLogger(__name__)
_REMEMBERED = 100


class Link:
    """A session of ours in a pool. Not thread-safe by itself: ``lock`` is held around each request and each login.

    ``generation`` counts the logins: what was allowed for one session is not allowed for the next. ``may_migrate`` and
    ``denied`` are what ``lmflow.xapi.role`` read of our role in the present session, None before.
    """

    def __init__(self, profile: PoolProfile, password: Callable[[], str], login: Login, originator: str) -> None:
        self.profile = profile
        self.lock = threading.RLock()
        self.generation = 0
        self.closed = False
        self.may_migrate: bool | None = None
        self.denied: tuple[str, ...] | None = None
        self._password = password
        self._originator = originator
        self._bulk = BulkReader()
        self._over: dict[str, None] = {}
        self._trouble = Trouble(profile.backoff_seconds)
        self.pool_uuid = login.pool_uuid
        self._take(login)
        self.stream = Stream(self)

    @classmethod
    def open(cls, profile: PoolProfile, password: Callable[[], str], originator: str) -> Link:
        """Log in to the pool's coordinator, by any address of the profile; raises UnreachableError or LoginError."""
        return cls(profile, password, log_in(profile, password(), originator), originator)

    def read(self, method: str, *args: Any) -> Any:
        """Make a reading call; one new login, and the same read once more, where that may help.

        While nobody answers, whoever waited for the same failed login shares its error, and a pool that goes on
        refusing is asked again only after a pause. Raises UnreachableError, LoginError or XapiFailureError.
        """
        asked_at = time.monotonic()
        with self.lock:
            self.require_open()
            self._trouble.check(asked_at)
            try:
                return self._ask(method, args)
            except (NotSentError, LostReplyError) as error:
                lost = str(error)
            except XenAPI.Failure as failure:
                if failure.details[0] not in CURED_BY_LOGIN:
                    raise self._refusal(failure, method) from None
                lost = failure.details[0]
            try:
                self.log_in_again(f"{method}: {lost}")
                return self._read_last_time(method, args)
            except UnreachableError as error:
                self._trouble.note(error)
                raise

    def read_token(self) -> str:
        """Return a token of the present, from which ``event.from`` tells what happens later.

        ``event.inject`` makes an event of an object that did not change: nothing of the pool is another afterwards.
        """
        return str(self.read("event.inject", "pool", self._pool_reference))

    def _ask(self, method: str, args: tuple[Any, ...]) -> Any:
        """Make one reading call, once, by the way that is made for it."""
        if is_bulk(method):
            value = self._bulk.read(self.session, method, args)
        else:
            value = self.session.xenapi_request(method, args)
        self._trouble.forget()
        return value

    def _read_last_time(self, method: str, args: tuple[Any, ...]) -> Any:
        try:
            return self._ask(method, args)
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

    def name_failure(self, details: Any) -> XapiError:
        """Return a failure in which each reference is replaced by a UUID, as far as the pool still knows it."""
        with self.lock:
            return name_failure(details, self.find_uuid)

    def find_uuid(self, class_name: str, reference: str) -> str | None:
        """Ask once for an object's UUID, without a new login; None when that does not work."""
        with self.lock:
            try:
                return str(self.session.xenapi_request(f"{class_name}.get_uuid", (reference,)))
            except (NotSentError, LostReplyError, XenAPI.Failure):
                return None

    def _refusal(self, failure: XenAPI.Failure, method: str) -> XapiFailureError:
        error = self.name_failure(failure.details)
        return XapiFailureError(error.code, error.params, call=method)

    def send(self, session: OneShotSession, method: str, args: tuple[Any, ...]) -> Any:
        """Make one call once in this session and return its value.

        Raises UnreachableError (not sent), NoReplyError (sent or maybe sent), or the SDK's Failure.
        """
        try:
            return session.xenapi_request(method, args)
        except NotSentError as error:
            raise make_unreachable(self.profile, error) from None
        except LostReplyError as error:
            raise NoReplyError(method, error.cause) from None

    # --- sessions ------------------------------------------------------------------------------------------------

    def make_session(self) -> OneShotSession:
        """Return a session object with a connection of its own in the present session."""
        return OneShotSession(self.profile, self.address, reference=self.session.handle or "")

    def require_open(self) -> None:
        """Raise UnreachableError once the link is closed."""
        if self.closed:
            raise UnreachableError(f"the connection to pool {self.profile.name} is closed")

    def log_in_again(self, why: str) -> None:
        """Replace the session; the caller holds the lock. The old one is ended, if the pool still has it."""
        self.require_open()
        _log.info("pool %s: new login (%s)", self.profile.name, why)
        self.generation += 1
        old = self.session
        old.close()
        login = log_in(self.profile, self._password(), self._originator, first=self.address)
        if login.pool_uuid != self.pool_uuid:
            log_out(login.session, login.session.handle or "")
            login.session.close()
            raise LoginError(f"{login.address} now belongs to another pool ({login.pool_uuid})")
        self._take(login)
        self._trouble.forget()
        log_out(self.session, old.handle or "")
        self.stream.kick()

    def renew(self, generation: int, why: str) -> None:
        """Log in anew unless somebody has since that login; what comes of it the next call tells."""
        with self.lock:
            if self.generation == generation and not self.closed:
                self._trouble.check(time.monotonic())
                try:
                    self.log_in_again(why)
                except UnreachableError as error:
                    self._trouble.note(error)
                    raise

    def end_session(self, session_uuid: str) -> None:
        """Make sure that a former session of the pool is over; raises UnreachableError when that cannot be told.

        A session that is over stays so: it is asked for once only, however many runs it was shared by.
        """
        with self.lock:
            if session_uuid in self._over:
                return
            for _ in range(2):
                reference = self._find_session(session_uuid)
                if reference is None or log_out(self.session, reference):
                    break
            else:
                if self._find_session(session_uuid) is not None:
                    raise UnreachableError(
                        f"pool {self.profile.name} did not say that session {session_uuid} is over",
                        tried=[f"{self.address}: session.logout"],
                    )
            self._over[session_uuid] = None
            while len(self._over) > _REMEMBERED:
                del self._over[next(iter(self._over))]

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

    def close(self) -> None:
        """Log out, best effort, and close the connection; never raises because the pool is away."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            self.stream.close()
            log_out(self.session, self.session.handle or "")
            self.session.close()

    def _take(self, login: Login) -> None:
        self.session = login.session
        self.session_uuid = login.session_uuid
        self.address = login.address
        self._pool_reference = login.pool_reference
        self.may_migrate = self.denied = None


class Trouble:
    """A pool that does not answer, or refuses to: its error is shared, and the next try waits longer each time."""

    def __init__(self, longest_seconds: float) -> None:
        self._longest_seconds = longest_seconds
        self._error: UnreachableError | None = None
        self._failures = 0
        self._at = self._until = 0.0

    def check(self, asked_at: float) -> None:
        """Raise the error that a try from after ``asked_at`` ended with, or the last one while the pause lasts."""
        error = self._error
        if error is not None and (asked_at <= self._at or time.monotonic() < self._until):
            raise type(error)(error.message, tried=error.tried, advice=error.advice)

    def note(self, error: UnreachableError) -> None:
        """Remember a failed try. After the first one the pool may be asked again at once."""
        self._error = error
        self._at = time.monotonic()
        pause = self._longest_seconds * min(1.0, 2.0 ** (self._failures - 6)) if self._failures else 0.0
        self._until = self._at + pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        self._failures += 1

    def forget(self) -> None:
        """Note that the pool answers."""
        self._error = None
        self._failures = 0
