"""What is wanted of a run by those who may want something: its owner's signals and callers, and anybody by request."""

from __future__ import annotations

import dataclasses
import threading


@dataclasses.dataclass(frozen=True, slots=True)
class CancelWish:
    """A request to cancel. ``number`` is that of the stored request, 0 for one made in the owner's own process."""

    by: str
    reason: str = ""
    number: int = 0

    def describe(self) -> str:
        """Return who, and why if they said so."""
        return f"cancelled by {self.by}" + (f" ({self.reason})" if self.reason else "")


class Steering:
    """A hand on whatever is driven with it in this process. Its methods may be called from any thread or handler.

    ``stop`` lets go of the run, which stays resumable; ``wish`` asks for it to be cancelled. With one hand on several
    runs both are for all of them.
    """

    __slots__ = ("stop", "wish")

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.wish: CancelWish | None = None

    def detach(self) -> None:
        """Let go of the run as soon as its step allows; what the pool has begun goes on."""
        self.stop.set()

    def cancel(self, by: str, reason: str = "") -> None:
        """Ask for a cancel; where it comes too late the run goes on to its true end."""
        self.wish = CancelWish(by, reason)
