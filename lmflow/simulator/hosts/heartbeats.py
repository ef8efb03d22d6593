"""How the coordinator notices that a host is silent: late, and only in ``host_metrics.live``.

A host whose toolstack sends nothing for ``Options.host_assumed_dead_seconds`` is written down as not live at the next
look, and every connection to it ends; it stays enabled and its VMs stay Running on it. Source: a look each 30 s, 600 s
by default; on a real pool with 40 s it took 63. Assumed: a coordinator that starts counts anew, and a host is live
again as soon as its toolstack works.
"""

from __future__ import annotations

import math
import threading

from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import part

LOOK_SECONDS = 30.0


@part("heartbeats")
class Heartbeats:
    """Watches the toolstacks of all members; a host that the world declares dead stays so."""

    def __init__(self, pool: Kernel) -> None:
        self._pool = pool
        self._silent_since: dict[str, float] = {}
        self._given_up: set[str] = set()
        self._first_look = pool.clock.now()

    def on_start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="heartbeats", daemon=True).start()

    def give_up(self, host_ref: str) -> None:
        """Write that a host is not live, as if its time were over."""
        with self._pool.store.lock:
            self._given_up.add(host_ref)
            self._write(host_ref, live=False)

    def _watch(self) -> None:
        toolstack = self._pool.part(Toolstack)
        while not self._pool.stopped.is_set():
            version = toolstack.version
            toolstack.wait_for_change(version, self._look(toolstack))

    def _look(self, toolstack: Toolstack) -> float | None:
        """Write down whose time is over; returns the pool seconds until the next one's may be."""
        store, now = self._pool.store, self._pool.clock.now()
        rest: list[float] = []
        with store.lock:
            coordinator_ref = self._pool.coordinator_ref
            if not toolstack.is_up(coordinator_ref):
                self._silent_since.clear()
                return None
            for host_ref in store.refs("host"):
                if host_ref == coordinator_ref or toolstack.is_ready(host_ref):
                    self._silent_since.pop(host_ref, None)
                    self._take_back(host_ref, toolstack)
                    continue
                since = self._silent_since.setdefault(host_ref, now)
                left = self._next_look(since + self._pool.options.host_assumed_dead_seconds) - now
                if left > 0:
                    rest.append(left)
                elif host_ref not in self._given_up:
                    self.give_up(host_ref)
        return min(rest, default=None)

    def _next_look(self, moment: float) -> float:
        looks = math.ceil((moment - self._first_look) / LOOK_SECONDS)
        return self._first_look + looks * LOOK_SECONDS

    def _take_back(self, host_ref: str, toolstack: Toolstack) -> None:
        if host_ref in self._given_up and toolstack.is_ready(host_ref):
            self._given_up.discard(host_ref)
            self._write(host_ref, live=True)

    def _write(self, host_ref: str, *, live: bool) -> None:
        metrics_ref = self._pool.store.value("host", host_ref, "metrics")
        if self._pool.store.exists("host_metrics", metrics_ref):
            self._pool.store.update("host_metrics", metrics_ref, live=live)
