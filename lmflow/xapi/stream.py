"""One stream of a pool's events: it wakes those who wait for something, and keeps a view of what they look at.

``event.from`` over whole classes blocks in a thread and on a connection of its own. It starts at the present, with a
token that ``event.inject`` gives: an empty one would send every object of the pool. Source: xapi_event.ml.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import XenAPI

from lmflow.exceptions import UnreachableError, XapiFailureError
from lmflow.models import PoolProfile
from lmflow.xapi.bulk import BulkReader
from lmflow.xapi.failures import CURED_BY_LOGIN
from lmflow.xapi.sdk import LostReplyError, OneShotSession
from lmflow.xapi.view import FIELDS, WHOLE, Change, View
from lmflow.xapi.wire import NotSentError

CLASSES = sorted(FIELDS)

_log = logging.getLogger(__name__)
_AGENT_START = "agent_start_time"


class Source(Protocol):
    """What the stream needs of a link to the pool: see ``lmflow.xapi.link.Link``."""

    profile: PoolProfile
    generation: int
    lock: threading.RLock

    def read(self, method: str, *args: Any) -> Any:
        """Make a reading call."""

    def read_token(self) -> str:
        """Return a token of the present."""

    def make_session(self) -> OneShotSession:
        """Return a session object with a connection of its own."""

    def renew(self, generation: int, why: str) -> None:
        """Log in anew unless somebody has since that login."""


class Watcher:
    """Somebody who waits for changes of a task or a VM. ``progress`` is the task's, None before it was told."""

    __slots__ = ("_stream", "noticed", "progress", "uuids", "wake")

    def __init__(
        self, stream: Stream, uuids: frozenset[str], wake: Callable[[], None], noticed: Callable[[], None] | None
    ) -> None:
        self._stream = stream
        self.uuids = uuids
        self.wake = wake
        self.noticed = noticed
        self.progress: float | None = None

    def close(self) -> None:
        """Hear nothing any more; a call that is under way may still come."""
        self._stream.forget(self)


class _BrokenError(Exception):
    """The stream has to start anew."""


class _Present:
    """What one start of the stream has told: the view, how far it goes, and the time that it surely covers.

    ``fresh_at``: everything that had happened then (monotonic) is in the view. ``batches`` counts what was taken over.
    """

    __slots__ = ("batches", "fresh_at", "generation", "session", "token", "view")

    def __init__(self, session: OneShotSession, generation: int, token: str, fresh_at: float) -> None:
        self.session = session
        self.generation = generation
        self.token = token
        self.fresh_at = fresh_at
        self.view = View()
        self.batches = 0


class Stream:
    """The events of a link's pool. Its thread goes on as long as anybody watches, and one call's time longer.

    ``_changed`` guards everything in here, and is never held during a call.
    """

    def __init__(self, link: Source) -> None:
        self._link = link
        self._bulk = BulkReader()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._over = False
        self._left_at = 0.0
        self._all: set[Watcher] = set()
        self._watching: dict[str, set[Watcher]] = {}
        self._prints: dict[str, Any] = {}
        self._present: _Present | None = None
        self._asking = False

    # --- watching ------------------------------------------------------------------------------------------------

    def watch(
        self, *, task_uuid: str, vm_uuid: str, wake: Callable[[], None], progress: Callable[[], None] | None = None
    ) -> Watcher:
        """Begin to tell of changes; see ``Connection.watch``. ``progress`` is called for mere progress."""
        watcher = Watcher(self, frozenset(each for each in (task_uuid, vm_uuid) if each), wake, progress)
        with self._changed:
            self._all.add(watcher)
            for uuid in watcher.uuids:
                self._watching.setdefault(uuid, set()).add(watcher)
            if self._thread is None and not self._over:
                self._thread = threading.Thread(target=self._go_on, name="lmflow-events", daemon=True)
                self._thread.start()
        return watcher

    def forget(self, watcher: Watcher) -> None:
        """Tell this one nothing any more."""
        with self._changed:
            self._all.discard(watcher)
            self._left_at = time.monotonic()
            for uuid in watcher.uuids:
                waiting = self._watching.get(uuid, set())
                waiting.discard(watcher)
                if not waiting:
                    self._watching.pop(uuid, None)
                    self._prints.pop(uuid, None)

    def kick(self) -> None:
        """Start anew at once: the link has another session. From any thread."""
        with self._changed:
            present = self._present
        if present is not None and present.generation != self._link.generation:
            present.session.carrier.interrupt()

    def interrupt(self) -> None:
        """Let the call for events that is under way lose its connection, as a network may."""
        with self._changed:
            present = self._present
        if present is not None:
            present.session.carrier.interrupt()

    def close(self) -> None:
        """Let the thread end at once."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self.interrupt()

    # --- looking -------------------------------------------------------------------------------------------------

    def find(self, method: str, args: tuple[Any, ...], since: float) -> Any:
        """Return what that reading call would return, as of a moment after ``since`` (monotonic).

        None: it is not known here and must be asked. Blocks until the stream has reached the present, at most for
        ``catch_up_timeout_seconds``. Many who look at one moment share one question for that.
        """
        with self._changed:
            present = self._present
            if present is None or present.view.find(method, args) is None:
                return None
        if not self._ensure_fresh(present, since):
            return None
        with self._changed:
            return present.view.find(method, args) if self._present is present else None

    def mark(self) -> object:
        """Return a mark of what was told so far, to be given to ``put`` after a call that begins now."""
        with self._changed:
            return (self._present, self._present.batches) if self._present is not None else None

    def put(self, mark: object, method: str, args: tuple[Any, ...], value: Any) -> None:
        """Keep what a call returned; not if something was told meanwhile, which may be newer than that."""
        with self._changed:
            if self._present is not None and mark == (self._present, self._present.batches):
                self._present.view.put(method, args, value)

    def _ensure_fresh(self, present: _Present, since: float) -> bool:
        """Wait until everything that happened before ``since`` has been told; False when that does not come about.

        ``event.inject`` makes an event of an object that did not change and returns a token: what had happened
        before is told once the stream has passed that. Source: xapi_event.ml and its documentation.
        """
        deadline = time.monotonic() + self._link.profile.catch_up_timeout_seconds
        with self._changed:
            self._wait_until(deadline, lambda: self._present is not present or not self._asking)
            if self._present is not present or self._asking:
                return False
            if present.fresh_at >= since:
                return True
            self._asking = True
        asked_at, told = time.monotonic(), False
        try:
            number = self._inject()
            with self._changed:
                self._wait_until(deadline, lambda: self._present is not present or _number(present.token) >= number)
                told = self._present is present and _number(present.token) >= number
                if told:
                    present.fresh_at = asked_at
        except (UnreachableError, XapiFailureError, _BrokenError):
            return False
        finally:
            with self._changed:
                self._asking = False
                self._changed.notify_all()
        if not told:
            present.session.carrier.interrupt()  # it is stuck, or over
        return told

    def _wait_until(self, deadline: float, is_so: Callable[[], bool]) -> None:
        self._changed.wait_for(is_so, max(0.0, deadline - time.monotonic()))

    def _inject(self) -> int:
        """Return the number of the pool's latest change; XapiFailureError or _BrokenError where it is not told."""
        number = _number(self._link.read_token())
        if number < 0:
            raise _BrokenError("event.inject gave no token")
        return number

    # --- the thread ----------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        failures, said = 0, ""
        while not self._ends():
            try:
                present = self._begin()
                while not self._ends():
                    self._take(present)
                    failures, said = 0, ""
            except (UnreachableError, XapiFailureError, _BrokenError) as error:
                if str(error) != said:
                    _log.info("pool %s: the stream of events starts anew: %s", self._link.profile.name, error)
                failures, said = failures + 1, str(error)
                with self._changed:
                    woken = list(self._all) if self._present is not None else []  # else they were told before
                    self._reset()
                _wake(woken)
                self._pause(failures)

    def _ends(self) -> bool:
        """Say whether the thread ends here: the link is closed, or nobody has watched for a while."""
        with self._changed:
            left = time.monotonic() - self._left_at >= self._link.profile.stream_timeout_seconds
            if not (self._over or (not self._all and left)):
                return False
            self._reset()
            self._thread = None
            return True

    def _reset(self) -> None:
        """Forget everything that was told, and close the connection."""
        present, self._present = self._present, None
        self._prints.clear()
        self._changed.notify_all()
        if present is not None:
            present.session.close()

    def _begin(self) -> _Present:
        """Start at the present, read anew what is to be known as a whole, and wake everybody."""
        link, asked_at = self._link, time.monotonic()
        generation = link.generation
        try:
            token = f"{self._inject():020d},{0:020d}"
        except (XapiFailureError, _BrokenError):
            token = ""  # everything that there is will be told first
        with link.lock:
            present = _Present(link.make_session(), link.generation, token, asked_at)
        for name in WHOLE:
            method = f"{name}.get_all_records"
            present.view.put(method, (), link.read(method))
        if generation != link.generation:
            raise _BrokenError("the session was replaced")
        with self._changed:
            self._present = present
            woken = list(self._all)
        _wake(woken)
        return present

    def _take(self, present: _Present) -> None:
        """Wait for one batch of events, take it over, and wake whom it concerns."""
        profile, session = self._link.profile, present.session
        session.carrier.read_seconds = profile.stream_timeout_seconds + profile.read_timeout_seconds
        asked = (CLASSES, present.token, profile.stream_timeout_seconds)
        try:
            batch = self._bulk.read(session, "event.from", asked)
            woken, noticed = self._apply(present, batch)
        except (NotSentError, LostReplyError) as error:
            raise _BrokenError(str(error)) from None
        except XenAPI.Failure as failure:
            code = str(failure.details[0])
            if code in CURED_BY_LOGIN:
                self._link.renew(present.generation, f"event.from: {code}")
            raise _BrokenError(code) from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise _BrokenError(f"unreadable events ({type(error).__name__})") from None
        _wake(woken)
        for watcher in noticed - woken:
            if watcher.noticed is not None:
                watcher.noticed()

    def _apply(self, present: _Present, batch: Mapping[str, Any]) -> tuple[set[Watcher], set[Watcher]]:
        woken: set[Watcher] = set()
        noticed: set[Watcher] = set()
        with self._changed:
            if present.generation != self._link.generation:
                raise _BrokenError("the session was replaced")
            for change in present.view.apply(batch["events"]):
                woke, moved = self._weigh(present.view, change)
                woken.update(woke)
                noticed.update(moved)
            if not present.view.is_complete(batch["valid_ref_counts"]):
                raise _BrokenError("the pool has other hosts than it told of")
            present.token = str(batch["token"])
            present.batches += 1
            self._changed.notify_all()
        return woken, noticed

    def _weigh(self, view: View, change: Change) -> tuple[Iterable[Watcher], Iterable[Watcher]]:
        """Return whom a change wakes, and who hears of mere progress."""
        name, uuid, record = change.class_name, change.uuid, change.record
        if name in ("host", "host_metrics"):
            known = record is not None and change.before is not None
            same = known and _print(name, record) == _print(name, change.before)
            return (() if same else self._all), ()
        if name not in ("task", "vm"):
            return (), ()
        if not uuid:  # it is gone, and was never heard of: it may be anybody's whose object has no name here yet
            return [each for each in self._all if _is_unnamed(view, each)], ()
        watching = list(self._watching.get(uuid, ()))
        if not watching:
            return (), ()
        if record is None:
            self._prints.pop(uuid, None)
            return watching, ()
        if name == "task":
            for watcher in watching:
                watcher.progress = float(record.get("progress") or 0.0)
        shown, before = _print(name, record), self._prints.get(uuid)
        self._prints[uuid] = shown
        if before is None and change.before is not None:
            before = _print(name, change.before)
        return ((), watching) if shown == before else (watching, ())

    def _pause(self, failures: int) -> None:
        """Wait before the next start, the longer the more often it failed; not at all after the first time."""
        if failures > 1:
            longest = self._link.profile.backoff_seconds * min(1.0, 2.0 ** (failures - 7))
            with self._changed:
                self._changed.wait_for(lambda: self._over, longest * random.uniform(0.5, 1.0))  # noqa: S311 - jitter


def _is_unnamed(view: View, watcher: Watcher) -> bool:
    return any(not any(view.find_reference(name, uuid) for name in ("task", "vm")) for uuid in watcher.uuids)


def _number(token: str) -> int:
    """Return how far in the pool's history a token is; -1 for one that does not say."""
    number = token.partition(",")[0]
    return int(number) if number.isdecimal() else -1


def _print(class_name: str, record: Any) -> Any:
    """Return what of a record matters to those who wait, to be compared."""
    if class_name == "task":
        return record.get("status"), "cancel" in (record.get("allowed_operations") or ())
    if class_name == "vm":
        operations = tuple(sorted((record.get("current_operations") or {}).items()))
        return record.get("power_state"), record.get("resident_on"), operations
    if class_name == "host":
        return record.get("enabled"), (record.get("other_config") or {}).get(_AGENT_START)
    return record.get("live")


def _wake(watchers: Iterable[Watcher]) -> None:
    for watcher in watchers:
        watcher.wake()
