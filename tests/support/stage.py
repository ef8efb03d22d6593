"""One pool whose time is steady, a VM that is watched, and what befalls both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import world
from tests.support.moves import Moves
from tests.support.replays import SCALE, Cast, Watcher, steady


class Stage:
    """A served pool with a client; the VM that starts on the host of ``role`` is watched."""

    def __init__(self, cast: Cast, role: str = "h1", **options: Any) -> None:
        self.cast = cast
        self.pool = SimulatedPool(Options(**{"time_scale": SCALE, **options}), world=world.load(cast.description))
        steady(self.pool)
        self.pool.start(0)
        self.moves = Moves(self.pool)
        self.vm = cast.vm(role)
        self.ref = self.moves.ref("VM", self.vm)
        self.watcher = Watcher(self.pool, cast, role)

    def host(self, role: str) -> str:
        """The reference of the host that plays this role."""
        return self.moves.ref("host", self.cast.host(role))

    def address(self, role: str) -> str:
        return str(self.pool.store.value("host", self.host(role), "address"))

    def runs_on(self) -> list[str]:
        """The roles of the hosts where the VM really runs."""
        running = self.moves.runs_on(self.vm)
        return [role for role in ("h1", "h2") if self.cast.host(role) in running]

    def place(self) -> tuple[str, str]:
        """Power state and host, by the database."""
        vm = self.moves.vm(self.vm)
        roles = {self.host("h1"): "h1", self.host("h2"): "h2"}
        return vm["power_state"], roles.get(vm["resident_on"], "NULL")

    def outlast_the_coordinator(self) -> None:
        """Hold the end of the next copy until the coordinator is gone; when it is told to end, it takes 2 to 3 s."""
        self.moves.fault(phase="copy", kind="hold", at=0.93)

        def release() -> None:
            self.watcher.wait_for("api", lambda state: state == "down")
            self.pool.xenops.released.set()

        threading.Thread(target=release, daemon=True).start()

    def log_in_again(self) -> None:
        """Wait until the coordinator was away and is back, and log in."""
        self.watcher.wait_for("task", lambda state: state == "lost")
        self.wait_for_wire("h1")
        self.moves.client.login()

    def wait_for_wire(self, role: str) -> None:
        """Wait until a host's listener takes connections."""
        while not self.pool.server.is_up(self.host(role)):
            self.pool.clock.wait(0.1)

    def wait_for_state(self, role: str, *states: str) -> None:
        """Wait until a host's toolstack is in one of these states."""
        toolstack, ref = self.pool.toolstack, self.host(role)
        with toolstack.changed:
            met = toolstack.changed.wait_for(lambda: toolstack.on(ref).state in states, 60)
        assert met, toolstack.on(ref)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Look until something holds; it may ask the database, whose lock comes before every other."""
        limit = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < limit, "what the test waits for did not come"
            self.pool.clock.wait(0.2)

    def close(self) -> None:
        self.pool.stop()
