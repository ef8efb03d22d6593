"""The toolstack (xapi) of each host: it can die and come back, and then believes its database more than the truth."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from lmflow.simulator import allowed_host
from lmflow.simulator.database.values import NULL
from lmflow.simulator.hosts import resync
from lmflow.simulator.hosts.flushing import Flushing
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import part

READY, LEAVING, DOWN, STARTING, EMERGENCY = "ready", "leaving", "down", "starting", "emergency"

# Pool seconds, as measured on a real pool; see tests/data/timelines/ORIGIN.
GRACE_AFTER_TERM = (2.0, 3.1)
COORDINATOR_DOWN = {"KILL": 1.8, "TERM": 4.1}
COORDINATOR_STARTING = {"KILL": 5.5, "TERM": 3.2}
MEMBER_DOWN = 5.1
MEMBER_STARTING = (3.6, 0.8, 0.2)
"""After the wire is up: until the host is disabled, until its start time is written, until it is enabled."""
RESYNC_AFTER_ENABLED = 0.2
CONTACT_SECONDS = 1.0
"""How often a member in emergency mode looks for its coordinator. Assumed."""
WITNESS_PATIENCE = 5.0
"""How long a member's xenopsd door waits for the coordinator that has to check its session."""


@dataclass
class HostToolstack:
    """The state of one host's toolstack; ``generation`` counts the orders to end, ``deaths`` how often it ended.

    ``power_losses`` counts how often the whole host went dark, ``dark_since`` says when it last did.
    """

    state: str = READY
    generation: int = 0
    deaths: int = 0
    down_since: float = 0.0
    is_powered: bool = True
    power_losses: int = 0
    dark_since: float = 0.0


@part("toolstack")
class Toolstack:
    """The toolstacks of all hosts of a pool.

    ``arrivals_survive`` decides a race that a real pool was seen to lose and to win: whether a VM's new place is
    written before the restarted toolstack of its destination looks for domains that the database places elsewhere.
    """

    def __init__(self, pool: Kernel) -> None:
        self.arrivals_survive = True
        self.changed = threading.Condition()
        self.kept_apart: set[str] = set()
        """Members that do not reach their coordinator, though both are up."""
        self.version = 0
        """Counts the changes, for who looks first and waits then."""
        self._pool = pool
        self._hosts: dict[str, HostToolstack] = {}
        self._to_enable: set[str] = set()
        self._wire = threading.Lock()
        """Guards whether a host listens, against orders that overtake each other; the innermost lock of all."""

    def on(self, host_ref: str) -> HostToolstack:
        """Give the state of a host's toolstack."""
        with self.changed:
            return self._hosts.setdefault(host_ref, HostToolstack())

    def _notify(self) -> None:
        self.version += 1
        self.changed.notify_all()

    def wait_for_change(self, version: int, seconds: float | None) -> None:
        """Wait until something changes after this version, or so many pool seconds (None: for ever), or the end."""
        real = None if seconds is None else self._pool.clock.real(seconds)
        with self.changed:
            self.changed.wait_for(lambda: self.version != version or self._pool.stopped.is_set(), real)

    def on_stop(self) -> None:
        """Wake whoever waits for a change."""
        with self.changed:
            self._notify()

    def is_up(self, host_ref: str) -> bool:
        """Tell whether the toolstack answers on the wire."""
        return self.on(host_ref).state != DOWN

    def is_ready(self, host_ref: str) -> bool:
        """Tell whether the toolstack works for this pool: not on its way up, and following this coordinator."""
        follows = self._pool.sessions.followed.get(host_ref, self._pool.coordinator_ref)
        return follows == self._pool.coordinator_ref and self.on(host_ref).state in {READY, LEAVING}

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
        """Let a host's toolstack end by this signal and start again; returns at once.

        ValueError for another signal, and for a host without power.
        """
        self._leave(host_ref, how, stay_down=False)

    def stop(self, host_ref: str, how: str = "KILL") -> None:
        """Let a host's toolstack end by this signal and stay down until ``restart``; returns at once."""
        self._leave(host_ref, how, stay_down=True)

    def lose_power(self, host_ref: str) -> None:
        """Let a host end with all that runs there; from now on nothing answers, not even with a refusal.

        The database must not be held: the wire goes first, and may have to wait for somebody who needs it.
        """
        with self._wire:
            self._pool.server.fall_silent(host_ref)
        with self._pool.store.lock:
            with self.changed:
                self._count_order(host_ref)
                host = self.on(host_ref)
                host.is_powered = False
                host.power_losses += 1
                host.dark_since = self._pool.clock.now()
                self._notify()
            self._pool.part(Xenops).lose(host_ref)
        self._go_down(host_ref, "KILL")
        self._take_down(host_ref)

    def boot(self, host_ref: str, seconds: float) -> None:
        """Give a host power; its toolstack starts after so many pool seconds. Returns at once."""
        with self._pool.store.lock:
            with self.changed:
                generation = self._count_order(host_ref)
                self.on(host_ref).is_powered = True
                self._notify()
            self._pool.part(Xenops).give_power(host_ref)
        self._take_down(host_ref)
        self._start_cycle(host_ref, "KILL", generation, down_seconds=seconds)

    def _leave(self, host_ref: str, how: str, *, stay_down: bool) -> None:
        if how not in COORDINATOR_DOWN:
            raise ValueError(f"a toolstack ends by KILL or TERM, not {how!r}")
        with self.changed:
            if not self.on(host_ref).is_powered:
                raise ValueError("a host without power has no toolstack")
            generation = self._count_order(host_ref)
        # A killed process is gone when the call returns; what follows takes its time. A member that is asked to
        # end was seen to close its doors at once as well.
        if how == "TERM" and self.is_coordinator(host_ref) and self.is_up(host_ref):
            self._enter(host_ref, LEAVING, generation)
        else:
            self._go_down(host_ref, how)
        self._start_cycle(host_ref, how, generation, stay_down=stay_down)

    def _count_order(self, host_ref: str) -> int:
        with self.changed:
            host = self.on(host_ref)
            host.generation += 1
            return host.generation

    def _start_cycle(
        self, host_ref: str, how: str, generation: int, *, stay_down: bool = False, down_seconds: float | None = None
    ) -> None:
        def run() -> None:
            if self.on(host_ref).state == LEAVING:
                grace = self._pool.store.chance.uniform(*GRACE_AFTER_TERM)
                if not self._step(host_ref, grace, generation, lambda: self._go_down(host_ref, how, generation)):
                    return
            coordinates = self.is_coordinator(host_ref)
            usual = COORDINATOR_DOWN[how] if coordinates else MEMBER_DOWN
            if stay_down or not self._sleep(host_ref, usual if down_seconds is None else down_seconds, generation):
                return
            # Meanwhile somebody else may have become the coordinator.
            if self.is_coordinator(host_ref):
                self._start_coordinator(host_ref, how, generation)
            else:
                self._start_member(host_ref, generation)

        name = f"toolstack-{host_ref[-6:]}-{generation}"
        threading.Thread(target=run, name=name, daemon=True).start()

    def _enter(self, host_ref: str, state: str, generation: int | None = None) -> bool:
        """Change a host's state; False when a newer order than this generation's has come, or it is down already."""
        with self.changed:
            host = self.on(host_ref)
            if generation not in {None, host.generation} or host.state == state == DOWN:
                return False
            host.state = state
            if state == DOWN:
                host.deaths += 1
                host.down_since = self._pool.clock.now()
            self._notify()
            return True

    def _bring_up(self, host_ref: str, generation: int) -> bool:
        """Let a host listen, unless a newer order than this generation's has come."""
        with self._wire:
            if self.on(host_ref).generation != generation:
                return False
            self._pool.server.bring_up(host_ref)
            return True

    def _take_down(self, host_ref: str) -> None:
        """Let a host refuse connections; one without power does not even refuse."""
        with self._wire:
            if self.on(host_ref).is_powered:
                self._pool.server.take_down(host_ref)
            else:
                self._pool.server.fall_silent(host_ref)

    def _go_down(self, host_ref: str, how: str, generation: int | None = None) -> None:
        if not self._enter(host_ref, DOWN, generation):
            return
        # The wire goes first: nobody may be told that a session or a task is gone by the one who goes with it.
        self._take_down(host_ref)
        self._pool.sessions.lose_local(host_ref)
        if self.is_coordinator(host_ref):
            self.lose_memory(may_flush=how == "TERM")

    def lose_memory(self, *, may_flush: bool = False) -> None:
        """Lose sessions and tasks as a coordinator does that ends; and what was not flushed, if it could not be.

        With high availability every change is on shared storage at once.
        """
        flushing = self._pool.part(Flushing)
        with self._pool.store.lock:
            self._pool.sessions.lose_all()
            self._pool.tasks.lose_all()
            self._pool.events.queue.lose_all()
            if may_flush or self._pool.store.value("pool", self._pool.pool_ref, "ha_enabled"):
                flushing.flush()
            else:
                flushing.lose()

    def _sleep(self, host_ref: str, seconds: float, generation: int) -> bool:
        """Wait, and tell whether this cycle is still the newest one of its host."""
        stopped = self._pool.clock.wait(seconds, self._pool.stopped)
        return not stopped and self.on(host_ref).generation == generation

    def _step(self, host_ref: str, seconds: float, generation: int, then: Callable[[], None]) -> bool:
        if not self._sleep(host_ref, seconds, generation):
            return False
        then()
        return True

    def _start_coordinator(self, host_ref: str, how: str, generation: int) -> None:
        with self._pool.store.lock:
            if not self._enter(host_ref, STARTING, generation):
                return
            resync.describe_host(self._pool, host_ref)
            # From here on nothing takes long: whoever watches sees all of it at the same moment.
            resync.begin_anew(self._pool)
            for ref in sorted(self._pool.store.refs("host"), key=lambda ref: ref == host_ref):
                self._disable(ref)
            self._write_start_time(host_ref)
        if not self._bring_up(host_ref, generation):
            return
        if not self._sleep(host_ref, COORDINATOR_STARTING[how], generation):
            return
        for ref in self._pool.store.refs("host"):
            if ref != host_ref and self.is_ready(ref):
                self._enable(ref)
                resync.tell_metrics(self._pool, self._pool.part(Xenops), ref)
        if self._sleep(host_ref, RESYNC_AFTER_ENABLED, generation):
            self._finish(host_ref, generation)

    def _start_member(self, host_ref: str, generation: int) -> None:
        to_disabled, to_start_time, to_enabled = MEMBER_STARTING
        if not self._wait_for_contact(host_ref, generation):
            return
        if not self._enter(host_ref, STARTING, generation) or not self._bring_up(host_ref, generation):
            return
        if not self._step(host_ref, to_disabled, generation, lambda: self._disable(host_ref)):
            return
        if not self._sleep(host_ref, to_start_time, generation):
            return
        resync.describe_host(self._pool, host_ref)
        self._write_start_time(host_ref)
        if self._sleep(host_ref, to_enabled, generation):
            self._finish(host_ref, generation)

    def has_contact(self, host_ref: str) -> bool:
        """Tell whether a member that starts finds the coordinator that it follows."""
        followed = self._pool.sessions.followed.get(host_ref, self._pool.coordinator_ref)
        return followed == self._pool.coordinator_ref and self.is_up(followed) and host_ref not in self.kept_apart

    def _wait_for_contact(self, host_ref: str, generation: int) -> bool:
        """Wait, in emergency mode, for the coordinator; False when another order came meanwhile."""
        if not self.has_contact(host_ref) and not (
            self._enter(host_ref, EMERGENCY, generation) and self._bring_up(host_ref, generation)
        ):
            return False
        while not self.has_contact(host_ref):
            if not self._sleep(host_ref, CONTACT_SECONDS, generation):
                return False
        return True

    def _disable(self, host_ref: str) -> None:
        """Disable a host for the time of a start; one that somebody had disabled stays so afterwards."""
        with self._pool.store.lock:
            if self._pool.store.value("host", host_ref, "enabled"):
                self._to_enable.add(host_ref)
                allowed_host.update_host(self._pool.store, host_ref, enabled=False)

    def _enable(self, host_ref: str) -> None:
        with self._pool.store.lock:
            if host_ref in self._to_enable:
                self._to_enable.discard(host_ref)
                allowed_host.update_host(self._pool.store, host_ref, enabled=True)

    def _finish(self, host_ref: str, generation: int) -> None:
        with self._pool.store.lock:
            if self.on(host_ref).generation != generation:
                return
            self._enable(host_ref)
            resync.run(self._pool, self._pool.part(Xenops), host_ref)
            self._enter(host_ref, READY, generation)

    def _write_start_time(self, host_ref: str) -> None:
        config = self._pool.store.value("host", host_ref, "other_config")
        # Anybody may write anything there.
        known = re.fullmatch(r"([0-9]{1,10})\.?", config.get("agent_start_time", ""))
        before = int(known.group(1)) if known else 0
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
