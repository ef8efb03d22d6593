"""The toolstack (xapi) of each host: it can die and come back, and then believes its database more than the truth."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from lmflow.simulator import resync
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import part
from lmflow.simulator.values import NULL
from lmflow.simulator.xenops import Xenops

READY, LEAVING, DOWN, STARTING = "ready", "leaving", "down", "starting"

# Pool seconds, as measured on a real pool; see tests/data/timelines/ORIGIN.
GRACE_AFTER_TERM = (2.0, 3.1)
COORDINATOR_DOWN = {"KILL": 1.8, "TERM": 4.1}
COORDINATOR_STARTING = {"KILL": 5.5, "TERM": 3.2}
MEMBER_DOWN = 5.1
MEMBER_STARTING = (3.6, 0.8, 0.2)
"""After the wire is up: until the host is disabled, until its start time is written, until it is enabled."""
RESYNC_AFTER_ENABLED = 0.2
WITNESS_PATIENCE = 5.0
"""How long a member's xenopsd door waits for the coordinator that has to check its session."""


@dataclass
class HostToolstack:
    """The state of one host's toolstack; ``generation`` counts the orders to end, ``deaths`` how often it ended."""

    state: str = READY
    generation: int = 0
    deaths: int = 0
    down_since: float = 0.0


@part("toolstack")
class Toolstack:
    """The toolstacks of all hosts of a pool.

    ``arrivals_survive`` decides a race that a real pool was seen to lose and to win: whether a VM's new place is
    written before the restarted toolstack of its destination looks for domains that the database places elsewhere.
    """

    def __init__(self, pool: Kernel) -> None:
        self.arrivals_survive = True
        self.changed = threading.Condition()
        self._pool = pool
        self._hosts: dict[str, HostToolstack] = {}
        self._to_enable: set[str] = set()

    def on(self, host_ref: str) -> HostToolstack:
        """Give the state of a host's toolstack."""
        with self.changed:
            return self._hosts.setdefault(host_ref, HostToolstack())

    def is_up(self, host_ref: str) -> bool:
        """Tell whether the toolstack answers on the wire."""
        return self.on(host_ref).state != DOWN

    def is_ready(self, host_ref: str) -> bool:
        """Tell whether the toolstack works, and is not on its way up."""
        return self.on(host_ref).state in {READY, LEAVING}

    def is_coordinator(self, host_ref: str) -> bool:
        """Tell whether the host is the coordinator."""
        return host_ref == self._pool.coordinator_ref

    def wait_for_coordinator(self) -> bool:
        """Wait until the coordinator answers, as a member's session check does; False when it stays silent."""
        seconds = self._pool.clock.real(WITNESS_PATIENCE)
        coordinator_ref = self._pool.coordinator_ref
        with self.changed:
            return self.changed.wait_for(lambda: self.is_up(coordinator_ref), seconds)

    def restart(self, host_ref: str, how: str = "KILL") -> None:
        """Let a host's toolstack end by this signal and start again; returns at once. ValueError for another signal."""
        self._leave(host_ref, how, stay_down=False)

    def stop(self, host_ref: str, how: str = "KILL") -> None:
        """Let a host's toolstack end by this signal and stay down until ``restart``; returns at once."""
        self._leave(host_ref, how, stay_down=True)

    def _leave(self, host_ref: str, how: str, *, stay_down: bool) -> None:
        if how not in COORDINATOR_DOWN:
            raise ValueError(f"a toolstack ends by KILL or TERM, not {how!r}")
        host = self.on(host_ref)
        with self.changed:
            host.generation += 1
            generation = host.generation
        run = self._cycle_coordinator if self.is_coordinator(host_ref) else self._cycle_member
        # A killed process is gone when the call returns; what follows takes its time. A member that is asked to
        # end was seen to close its doors at once as well.
        if how == "TERM" and self.is_coordinator(host_ref) and self.is_up(host_ref):
            self._enter(host_ref, LEAVING)
        else:
            self._go_down(host_ref)
        name = f"toolstack-{host_ref[-6:]}-{generation}"
        threading.Thread(target=run, args=(host_ref, how, generation, stay_down), name=name, daemon=True).start()

    def _enter(self, host_ref: str, state: str) -> None:
        with self.changed:
            host = self.on(host_ref)
            host.state = state
            if state == DOWN:
                host.deaths += 1
                host.down_since = self._pool.clock.now()
            self.changed.notify_all()

    def _go_down(self, host_ref: str) -> None:
        if not self.is_up(host_ref):
            return
        self._enter(host_ref, DOWN)
        # The wire goes first: nobody may be told that a session or a task is gone by the one who goes with it.
        self._pool.server.take_down(host_ref)
        self._pool.sessions.lose_local(host_ref)
        if self.is_coordinator(host_ref):
            with self._pool.store.lock:
                self._pool.sessions.lose_all()
                self._pool.tasks.lose_all()

    def _sleep(self, host_ref: str, seconds: float, generation: int) -> bool:
        """Wait, and tell whether this cycle is still the newest one of its host."""
        stopped = self._pool.clock.wait(seconds, self._pool.stopped)
        return not stopped and self.on(host_ref).generation == generation

    def _step(self, host_ref: str, seconds: float, generation: int, then: Callable[[], None]) -> bool:
        if not self._sleep(host_ref, seconds, generation):
            return False
        then()
        return True

    def _cycle_coordinator(self, host_ref: str, how: str, generation: int, stay_down: bool) -> None:
        if how == "TERM":
            grace = self._pool.store.random.uniform(*GRACE_AFTER_TERM)
            if not self._step(host_ref, grace, generation, lambda: self._go_down(host_ref)):
                return
        if stay_down or not self._sleep(host_ref, COORDINATOR_DOWN[how], generation):
            return
        with self._pool.store.lock:
            self._enter(host_ref, STARTING)
            resync.forget_operations(self._pool)
            for ref in self._pool.store.refs("host"):
                self._disable(ref)
            self._write_start_time(host_ref)
        self._pool.server.bring_up(host_ref)
        if not self._sleep(host_ref, COORDINATOR_STARTING[how], generation):
            return
        for ref in self._pool.store.refs("host"):
            if ref != host_ref and self.is_ready(ref):
                self._enable(ref)
        if self._sleep(host_ref, RESYNC_AFTER_ENABLED, generation):
            self._finish(host_ref)

    def _cycle_member(self, host_ref: str, _how: str, generation: int, stay_down: bool) -> None:
        to_disabled, to_start_time, to_enabled = MEMBER_STARTING
        if stay_down or not self._sleep(host_ref, MEMBER_DOWN, generation):
            return
        self._enter(host_ref, STARTING)
        self._pool.server.bring_up(host_ref)
        if not self._step(host_ref, to_disabled, generation, lambda: self._disable(host_ref)):
            return
        if not self._step(host_ref, to_start_time, generation, lambda: self._write_start_time(host_ref)):
            return
        if self._sleep(host_ref, to_enabled, generation):
            self._finish(host_ref)

    def _disable(self, host_ref: str) -> None:
        """Disable a host for the time of a start; one that somebody had disabled stays so afterwards."""
        with self._pool.store.lock:
            if self._pool.store.value("host", host_ref, "enabled"):
                self._to_enable.add(host_ref)
                self._pool.store.update("host", host_ref, enabled=False)

    def _enable(self, host_ref: str) -> None:
        with self._pool.store.lock:
            if host_ref in self._to_enable:
                self._to_enable.discard(host_ref)
                self._pool.store.update("host", host_ref, enabled=True)

    def _finish(self, host_ref: str) -> None:
        with self._pool.store.lock:
            self._enable(host_ref)
            resync.run(self._pool, self._pool.part(Xenops), host_ref)
            self._enter(host_ref, READY)

    def _write_start_time(self, host_ref: str) -> None:
        config = self._pool.store.value("host", host_ref, "other_config")
        before = float(config.get("agent_start_time", "0").rstrip(".") or 0)
        # The real value has whole seconds; a scaled clock may restart a toolstack twice within one.
        config["agent_start_time"] = f"{int(max(self._pool.clock.now(), before + 1))}."
        self._pool.store.update("host", host_ref, other_config=config)


def restart(pool: Kernel, host_ref: str, how: str = "KILL") -> None:
    """Let the toolstack of a host end and start again, now."""
    pool.part(Toolstack).restart(host_ref, how)


def host_of_role(pool: Kernel, role: str, source_ref: str = NULL, destination_ref: str = NULL) -> str:
    """Give the host that a fault means: coordinator, source, destination, or a name; KeyError when there is none."""
    roles = {"coordinator": pool.coordinator_ref, "source": source_ref, "destination": destination_ref}
    return roles[role] if role in roles else pool.find_host(role)
