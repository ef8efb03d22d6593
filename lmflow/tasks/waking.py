"""What wakes a run that waits, whoever has something for it: the pool, its owner, another process, a lost lease."""

from __future__ import annotations

from collections.abc import Callable


class Alarm:
    """One run's bell. It may be rung from any thread or signal handler; what nobody has listened to yet is kept.

    Without a lock, which a signal handler could not take: who rings marks it before looking for the listener, who
    listens is entered before looking for the mark. So no ring is lost, and a listener may hear one twice.
    """

    __slots__ = ("_listener", "_rung")

    def __init__(self) -> None:
        self._rung = False
        self._listener: Callable[[], None] | None = None

    def ring(self) -> None:
        """Wake whoever listens; where nobody does, the next one who will."""
        self._rung = True
        listener = self._listener
        if listener is not None:
            listener()

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Call that one at each ring, and at once for a ring that nobody has cleared; None: nobody listens any more."""
        self._listener = listener
        if listener is not None and self._rung:
            listener()

    def clear(self) -> None:
        """Forget the rings so far. To be done before the pool is looked at, never after."""
        self._rung = False
