"""A run's handle on the login to its pool: reads are repeated at most once, changing calls never."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import XenAPI

from lmflow.exceptions import NoReplyError, SessionNotArmedError, XapiFailureError
from lmflow.models import PoolProfile, XapiError
from lmflow.xapi.failures import SESSION_INVALID, mask_failure
from lmflow.xapi.link import Link
from lmflow.xapi.sdk import OneShotSession
from lmflow.xapi.stream import Watcher

ATTEMPT_HEADER = "X-Http-Other-Config-lmflow-attempt"

_READING = ("get_", "assert_", "compute_")
_ATTEMPT_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class _Look:
    """A look under way: no answer of it may be older than ``since`` (monotonic)."""

    __slots__ = ("since",)

    def __init__(self, since: float) -> None:
        self.since = since


class Connection:
    """One run's hold on a link to a pool, through the official SDK with our own transport and session.

    A handle may change the pool only while it is *armed*: while the session for which its run has stored the UUID with
    its lease is the link's present one. A new login, whoever needed it, disarms all handles. Context manager: leaving
    it lets go of the link, and the last one logs out. One
    thread at a time uses a handle.
    """

    def __init__(self, link: Link, let_go: Callable[[], None]) -> None:
        self.profile: PoolProfile = link.profile
        self._link = link
        self._let_go = let_go
        self._closed = False
        self._armed_in: int | None = None
        self._armed_for = ""
        self._look: _Look | None = None
        self._watched: tuple[tuple[str, str], Watcher, threading.Event] | None = None

    @classmethod
    def open(cls, profile: PoolProfile, password: Callable[[], str], *, originator: str = "lmflow") -> Connection:
        """Log in to the pool's coordinator, by any address of the profile, on a link of its own.

        ``password`` is called at each login, and what it returns is not kept.
        Raises UnreachableError (``tried`` says what each address answered) or LoginError.
        """
        link = Link.open(profile, password, originator)
        return cls(link, link.close)

    def __repr__(self) -> str:
        return f"Connection({self.profile.name!r}, {self.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The host that we are logged in to."""
        return self._link.address

    @property
    def pool_uuid(self) -> str:
        """The pool behind the link, the same at each login."""
        return self._link.pool_uuid

    @property
    def session_uuid(self) -> str:
        """The link's present session. It names a session and cannot be used as one."""
        return self._link.session_uuid

    @property
    def link(self) -> Link:
        """The link that other handles share."""
        return self._link

    # --- reading -------------------------------------------------------------------------------------------------

    def read(self, method: str, *args: Any) -> Any:
        """Make a reading call and return its value as it was parsed.

        After SESSION_INVALID, HOST_IS_SLAVE, an emergency code or a lost connection: one new login, then the
        same read once more. A new login changes ``session_uuid`` and disarms.
        Raises UnreachableError when nobody answers, XapiFailureError (references replaced by UUIDs) on a failure.
        """
        if not method.rpartition(".")[2].startswith(_READING):
            raise ValueError(f"{method} is no reading call; it must not be repeated")
        stream, look = self._link.stream, self._look
        if look is not None:
            found = stream.find(method, args, look.since)
            if found is not None:
                return found
        mark = stream.mark()
        value = self._link.read(method, *args)
        if mark is not None:
            stream.put(mark, method, args, value)
        if look is not None:
            look.since = time.monotonic()
        return value

    @contextlib.contextmanager
    def look(self) -> Iterator[None]:
        """Let reads be answered by what the stream of events has told, where somebody watches and it is known.

        An answer is as good as a call made then: never older than the beginning of the look, than an answer that the
        look had before, or than a change that was made in it.
        """
        if self._look is not None:  # it is part of a look already
            yield
            return
        self._look = _Look(time.monotonic())
        try:
            yield
        finally:
            self._look = None

    def name_failure(self, details: Sequence[str]) -> XapiError:
        """Return a failure in which each reference is replaced by a UUID, as far as the pool still knows it."""
        return self._link.name_failure(details)

    def find_uuid(self, class_name: str, reference: str) -> str | None:
        """Ask once for an object's UUID, without a new login; None when that does not work."""
        stream = self._link.stream
        mark = stream.mark()
        uuid = self._link.find_uuid(class_name, reference)
        if mark is not None and uuid is not None:
            stream.put(mark, f"{class_name}.get_uuid", (reference,), uuid)
        return uuid

    # --- changing ------------------------------------------------------------------------------------------------

    @property
    def armed(self) -> bool:
        """Say whether changing calls may be sent now."""
        return not self._closed and not self._link.closed and self._armed_in == self._link.generation

    def arm(self, session_uuid: str = "") -> None:
        """Allow changing calls in that session, '' for the present one: its UUID is stored with the run's lease.

        Nothing is allowed when another run's login has taken that session's place in the meantime.
        """
        with self._link.lock:
            if not self._closed and session_uuid in ("", self._link.session_uuid):
                self._armed_in = self._link.generation
                self._armed_for = self._link.session_uuid

    def start(self, method: str, *args: Any, attempt_id: str) -> str:
        """Send ``Async.<method>`` exactly once and return the task's REFERENCE.

        The attempt id goes in a header that XAPI copies into the task's other_config.
        Raises SessionNotArmedError or UnreachableError (nothing was sent), XapiFailureError (XAPI refused it,
        SESSION_INVALID included: no effect), NoReplyError (sent or maybe sent; the effect is unknown).
        """
        if not _ATTEMPT_ID.fullmatch(attempt_id):
            raise ValueError("an attempt id holds letters, digits, dots, dashes and underscores only")
        call = f"Async.{method}"
        with self._link.lock:
            self._require_armed(method)
            session = self._link.session
            with session.carrier.marked((ATTEMPT_HEADER, attempt_id)):
                reference = self._send(session, call, args)
        if not isinstance(reference, str) or not reference.startswith("OpaqueRef:"):
            raise NoReplyError(call, "the reply names no task")
        return reference

    def call_once(self, method: str, *args: Any, armed: bool = False) -> None:
        """Make one short idempotent call (task.destroy, task.cancel) once, in the present session.

        ``armed``: only if it may change the pool. Raises SessionNotArmedError or UnreachableError (not sent),
        NoReplyError or XapiFailureError.
        """
        with self._link.lock:
            self._link.require_open()
            if armed:
                self._require_armed(method)
            self._send(self._link.session, method, args)

    def call_idempotent(self, method: str, *args: Any, apart: bool = False) -> Any:
        """Make one changing call once, in the armed session, and return its value; the caller may make it again.

        For calls that do no harm when they come twice. ``apart``: it takes as long as its work, so it gets a connection
        of its own for that time, and nobody waits for it. Raises SessionNotArmedError or UnreachableError (not sent),
        NoReplyError, XapiFailureError (SESSION_INVALID included: no effect).
        """
        with self._link.lock:
            self._require_armed(method)
            if not apart:
                return self._send(self._link.session, method, args)
            session = self._link.make_session()
        try:  # in the session that it was armed for, whatever becomes of it meanwhile
            return self._send(session, method, args)
        finally:
            session.close()

    def _require_armed(self, method: str) -> None:
        if not self.armed:
            raise SessionNotArmedError(f"{method} was not sent: this session may not change the pool")

    def _send(self, session: OneShotSession, method: str, args: tuple[Any, ...]) -> Any:
        generation = self._link.generation
        try:
            return self._link.send(session, method, args)
        except XenAPI.Failure as failure:
            if failure.details[0] == SESSION_INVALID and self._armed_in == generation:
                self._armed_in = None
            said = mask_failure(failure.details)
        finally:
            if self._look is not None:
                self._look.since = time.monotonic()
        raise XapiFailureError(said.code, said.params, call=method)

    # --- sessions ------------------------------------------------------------------------------------------------

    def end_session(self, session_uuid: str) -> bool:
        """Make sure that a session of the pool is over: from its next call on, its owner gets SESSION_INVALID.

        True: it is over, ended now or unknown to the pool ('' names none: its owner never was armed). Calls it
        had dispatched go on. Where it is our own present one, a new login comes first, and disarms; the other runs on
        the link lose nothing by it but that they have to be armed again. Raises UnreachableError or LoginError when
        that cannot be told.
        """
        if not session_uuid:
            return True
        with self._link.lock:
            if session_uuid == self._link.session_uuid:
                self._link.log_in_again("our own session is to be ended")
            self._link.end_session(session_uuid)
        return True

    def fence_off(self) -> None:
        """End the session that this handle was last armed for, whether or not it still is the link's present one.

        What was sent in it and has not begun can then never begin. Disarms; raises what ``end_session`` raises.
        """
        with self._link.lock:
            self._armed_in = None
            self.end_session(self._armed_for or self._link.session_uuid)

    def login_again(self) -> None:
        """Replace our own session by a new one, and end the old one: what was sent in it can no longer begin.

        Disarms. Raises UnreachableError or LoginError, and then the old session may still be alive.
        """
        with self._link.lock:
            self._link.log_in_again("asked for")

    def session_reference(self) -> str:
        """Return the present session's reference: for the witness's URL only; a local variable, never shown."""
        with self._link.lock:
            return self._link.session.handle or ""

    # --- waiting -------------------------------------------------------------------------------------------------

    def watch(self, *, task_uuid: str, vm_uuid: str, wake: Callable[[], None]) -> Watcher:
        """Have ``wake`` called, from another thread, when something changed that may matter; '' names none.

        That is: the task's status or whether it can be cancelled, the VM's state, host or operations, a host's start
        of its toolstack, ``enabled`` or ``live``; that an object is gone, the session is new or the stream of events
        broken; never mere progress. It may come without cause. ``wake`` returns soon and raises nothing.
        """
        return self._link.stream.watch(task_uuid=task_uuid, vm_uuid=vm_uuid, wake=wake)

    def wait_for_change(self, *, task_uuid: str, vm_uuid: str, timeout_seconds: float) -> None:
        """Block until ``watch`` would wake or the task made progress, at most that long.

        The first wait for these two returns at once: the caller looks before it waits.
        """
        key = (task_uuid, vm_uuid)
        if self._watched is None or self._watched[0] != key:
            self._unwatch()
            changed = threading.Event()
            stream = self._link.stream
            watcher = stream.watch(task_uuid=task_uuid, vm_uuid=vm_uuid, wake=changed.set, progress=changed.set)
            self._watched = (key, watcher, changed)
            return
        changed = self._watched[2]
        changed.wait(max(0.0, timeout_seconds))
        changed.clear()

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            watched[1].close()

    def close(self) -> None:
        """Let go of the link, best effort; never raises because the pool is away."""
        with self._link.lock:
            if self._closed:
                return
            self._closed = True
            self._armed_in = None
        self._unwatch()
        self._let_go()
