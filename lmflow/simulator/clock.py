"""Time inside the pool, which runs faster than ours by a scale."""

from __future__ import annotations

import threading
import time

from lmflow.simulator.database.values import DateTime


class Clock:
    """Pool seconds: ``scale`` of them pass in one real second, counted from ``start`` (seconds since 1970)."""

    def __init__(self, scale: float = 1.0, start: float | None = None) -> None:
        if scale <= 0:
            raise ValueError(f"time scale must be positive, not {scale}")
        self.scale = scale
        self._start = time.time() if start is None else start
        self._origin = time.monotonic()

    def now(self) -> float:
        """Read the pool's time in seconds since 1970."""
        return self._start + (time.monotonic() - self._origin) * self.scale

    def change_scale(self, scale: float) -> None:
        """Let time pass faster or slower from now on; a wait that is under way keeps its real length."""
        self._start, self._origin = self.now(), time.monotonic()
        self.scale = scale

    def stamp(self, seconds: float | None = None) -> DateTime:
        """Write a pool time (now by default) the way XAPI does."""
        return DateTime.of(self.now() if seconds is None else seconds)

    def real(self, pool_seconds: float) -> float:
        """Convert pool seconds to real ones."""
        return max(0.0, pool_seconds) / self.scale

    def wait(self, pool_seconds: float, event: threading.Event | None = None) -> bool:
        """Wait that many pool seconds, or until the event is set; True when the event is set."""
        if event is None:
            time.sleep(self.real(pool_seconds))
            return False
        return event.wait(self.real(pool_seconds))
