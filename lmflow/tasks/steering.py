"""What is wanted of a run by those who may want something: its owner's signals and callers, and anybody by request."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class CancelWish:
    """A request to cancel. ``number`` is that of the stored request, 0 for one made in the owner's own process.

    ``limit`` names the limit of the run that has passed, where nobody but its request asks.
    """

    by: str
    reason: str = ""
    number: int = 0
    limit: str = ""

    def describe(self) -> str:
        """Return who, and why if they said so."""
        return f"cancelled by {self.by}" + (f" ({self.reason})" if self.reason else "")


@dataclasses.dataclass(slots=True)
class Standing:
    """What an owner knows of its run's limits, by its own clock.

    ``created_at``: when the run was created. ``moved_at``: when its migration's ``progress`` last changed, None while
    it is not watched. ``passed``: the limits for which a cancel was wished, by this owner or one before it.
    """

    created_at: float
    passed: set[str]
    progress: float = -1.0
    moved_at: float | None = None


class Steering:
    """A hand on whatever is driven with it in this process. Its methods may be called from any thread or handler.

    ``stop`` lets go of the run, which stays resumable; ``wish`` asks for it to be cancelled. With one hand on several
    runs both are for all of them.
    """

    __slots__ = ("_listeners", "stop", "wish")

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.wish: CancelWish | None = None
        self._listeners: dict[Callable[[], None], None] = {}

    def detach(self) -> None:
        """Let go of the run as soon as its step allows; what the pool has begun goes on."""
        self.stop.set()
        self._tell()

    def cancel(self, by: str, reason: str = "") -> None:
        """Ask for a cancel; where it comes too late the run goes on to its true end."""
        self.wish = CancelWish(by, reason)
        self._tell()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call that one whenever something is wanted; it looks itself at what was wanted before."""
        self._listeners[listener] = None

    def forget(self, listener: Callable[[], None]) -> None:
        """Call that one no more."""
        self._listeners.pop(listener, None)

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()
