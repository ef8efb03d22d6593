"""Hosts that lose their power and get it back: what ran there is gone, and nobody is told.

Nothing answers any more, neither what was asked nor who asks anew. When the power is back the host boots, and its
toolstack finds none of the domains that the database places there. Source: one power cut watched on a real pool, and
the restart logic; how long a host takes to boot is assumed.
"""

from __future__ import annotations

from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import part

BOOT_SECONDS = 90.0


@part("power")
class Power:
    """The power of every host of a pool."""

    def __init__(self, pool: Kernel) -> None:
        self._pool = pool

    def cut(self, host_ref: str) -> None:
        """Take a host's power; nothing happens to one that has none."""
        toolstack = self._pool.part(Toolstack)
        if toolstack.on(host_ref).is_powered:
            toolstack.lose_power(host_ref)

    def restore(self, host_ref: str) -> None:
        """Give a host its power back; it boots. Nothing happens to one that has power."""
        toolstack = self._pool.part(Toolstack)
        if toolstack.on(host_ref).is_powered:
            return
        with self._pool.store.lock:
            config = self._pool.store.value("host", host_ref, "other_config")
            config["boot_time"] = f"{int(self._pool.clock.now())}."
            self._pool.store.update("host", host_ref, other_config=config)
        toolstack.boot(host_ref, BOOT_SECONDS)


def cut(pool: Kernel, host_ref: str) -> None:
    """Take a host's power, now."""
    pool.part(Power).cut(host_ref)


def restore(pool: Kernel, host_ref: str) -> None:
    """Give a host its power back."""
    pool.part(Power).restore(host_ref)
