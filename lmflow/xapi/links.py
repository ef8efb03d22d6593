"""The links of one process: one a pool, whatever the number of runs that need it."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

from lmflow.exceptions import UnreachableError
from lmflow.models import PoolProfile
from lmflow.xapi.connection import Connection
from lmflow.xapi.link import Link, Trouble


@dataclasses.dataclass(slots=True)
class _Place:
    """Where the link of one profile is; ``lock`` is held while somebody logs in or out there."""

    trouble: Trouble
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    link: Link | None = None
    handles: int = 0


class Links:
    """Gives handles on shared links, and closes a link with its last handle. May be used from several threads.

    Profiles that differ in anything have links of their own.
    """

    def __init__(self, originator: str = "lmflow") -> None:
        self._originator = originator
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}

    def open(self, profile: PoolProfile, password: Callable[[], str]) -> Connection:
        """Return a handle on the profile's link; the first one logs in. Raises UnreachableError or LoginError.

        A pool that does not answer holds up only those who want the same one.
        """
        with self._lock:
            place = self._places.setdefault(repr(profile), _Place(Trouble(profile.backoff_seconds)))
        asked_at = time.monotonic()
        with place.lock:
            if place.link is None:
                place.link = self._log_in(place, profile, password, asked_at)
            place.handles += 1
            return Connection(place.link, lambda: self._let_go(place))

    def _log_in(self, place: _Place, profile: PoolProfile, password: Callable[[], str], asked_at: float) -> Link:
        place.trouble.check(asked_at)
        try:
            link = Link.open(profile, password, self._originator)
        except UnreachableError as error:
            place.trouble.note(error)
            raise
        place.trouble.forget()
        return link

    @staticmethod
    def _let_go(place: _Place) -> None:
        with place.lock:
            place.handles -= 1
            link = place.link
            if place.handles or link is None:
                return
            place.link = None
            link.close()
