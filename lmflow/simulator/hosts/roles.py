"""Who is the coordinator: a member that takes over, the others that are told, and those that were not.

Source: xapi_pool.ml, xapi_pool_transition.ml, api_server.ml and the product's documentation; none of it was watched.
Assumed: a member that works goes on waiting when its coordinator falls silent, and only one whose toolstack starts
then is in emergency mode; a new coordinator starts as a killed one does, with what was flushed last (with high
availability nothing is lost); a coordinator that still works when another takes over restarts as a member.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts.flushing import Flushing
from lmflow.simulator.hosts.heartbeats import Heartbeats
from lmflow.simulator.hosts.toolstack import DOWN, EMERGENCY, Toolstack
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import part
from lmflow.simulator.sessions import LOCAL_CALLS

HA_SECONDS = 60.0
"""How long a coordinator is silent before high availability elects another. Assumed."""
FUSE_SECONDS = 10.0
"""Between the answer to a call that changes a host's role and the restart that it takes. Source: constants.ml."""
EMERGENCY_CALLS = LOCAL_CALLS
"""What a host in emergency mode still answers."""
EMERGENCIES = frozenset(
    {"HOST_STILL_BOOTING", "HOST_MASTER_CANNOT_TALK_BACK", "HOST_HAS_NO_MANAGEMENT_IP", "HOST_UNKNOWN_TO_MASTER"}
)


@part("roles")
class Roles:
    """The roles of all hosts; ``reasons``: why a host is in emergency mode, if not for its coordinator's silence."""

    def __init__(self, pool: Kernel) -> None:
        self._pool = pool
        self.reasons: dict[str, str] = {}
        pool.admit = self.admit

    @property
    def _toolstack(self) -> Toolstack:
        return self._pool.part(Toolstack)

    def on_start(self) -> None:
        """Begin to watch for a coordinator that high availability has to replace."""
        threading.Thread(target=self._watch, name="high-availability", daemon=True).start()

    # -- emergency mode

    def admit(self, host_ref: str, call: str) -> None:
        """Refuse what a host in emergency mode does not answer: the reason for its emergency."""
        if call not in EMERGENCY_CALLS and self.is_in_emergency(host_ref):
            raise self._refusal(host_ref)

    def is_in_emergency(self, host_ref: str) -> bool:
        """Tell whether a host is in emergency mode."""
        return self._toolstack.on(host_ref).state == EMERGENCY

    def _refusal(self, host_ref: str) -> ApiFailure:
        code = self.reasons.get(host_ref, "HOST_STILL_BOOTING")
        field = {"HOST_MASTER_CANNOT_TALK_BACK": "address", "HOST_UNKNOWN_TO_MASTER": "uuid"}.get(code)
        return ApiFailure(code, *([self._pool.store.value("host", host_ref, field)] if field else []))

    def isolate(self, host_ref: str, reason: str) -> None:
        """Restart a member's toolstack into emergency mode, for this reason, until ``rejoin``; ValueError."""
        if reason not in EMERGENCIES or self._toolstack.is_coordinator(host_ref):
            raise ValueError(f"a member, not the coordinator, is in emergency for one of {sorted(EMERGENCIES)}")
        self.reasons[host_ref] = reason
        self._toolstack.kept_apart.add(host_ref)
        self._toolstack.restart(host_ref)

    def rejoin(self, host_ref: str) -> None:
        """Let a member reach its coordinator again."""
        self.reasons.pop(host_ref, None)
        self._toolstack.kept_apart.discard(host_ref)

    # -- another coordinator

    def take_over(self, host_ref: str) -> None:
        """Make a host the coordinator; the other members follow the old one until ``recover``. Returns at once.

        ValueError for a host that is dark or down.
        """
        toolstack, sessions = self._toolstack, self._pool.sessions
        with self._pool.store.lock:
            old_ref = self._pool.coordinator_ref
            if host_ref == old_ref:
                return
            if not toolstack.is_up(host_ref):
                raise ValueError("a host whose toolstack is down cannot become the coordinator")
            toolstack.lose_memory()
            for ref in self._pool.store.refs("host"):
                sessions.followed.setdefault(ref, old_ref)
            # The old coordinator finds the new one when it starts, and follows it.
            sessions.followed[host_ref] = sessions.followed[old_ref] = host_ref
            self._pool.store.update("pool", self._pool.pool_ref, master=host_ref)
            self._pool.part(Flushing).flush()
        toolstack.restart(host_ref)
        if toolstack.is_up(old_ref):
            toolstack.restart(old_ref)

    def hand_over(self, host_ref: str) -> None:
        """Make a member the coordinator in good order: nothing is lost, and everybody is told."""
        self._pool.part(Flushing).flush()
        self.take_over(host_ref)
        self.recover()

    def light_fuse(self, host_ref: str, act: Callable[[], object], seconds: float = FUSE_SECONDS) -> None:
        """Do something to a host's toolstack later, so that the call that asks for it is still answered."""

        def burn() -> None:
            if not self._pool.clock.wait(seconds, self._pool.stopped) and self._toolstack.is_up(host_ref):
                act()

        threading.Thread(target=burn, name="fuse", daemon=True).start()

    def recover(self) -> list[str]:
        """Tell every host that can be reached who the coordinator is; returns those that did not know."""
        recovered = []
        for host_ref in self._pool.store.refs("host"):
            if self.follow(host_ref, self._pool.coordinator_ref):
                recovered.append(host_ref)
        return recovered

    def follow(self, host_ref: str, coordinator_ref: str) -> bool:
        """Let a host follow a coordinator; its toolstack restarts for it. False if it does so already, or is silent."""
        known = self._pool.sessions.followed.get(host_ref, self._pool.coordinator_ref)
        if known == coordinator_ref or self._toolstack.on(host_ref).state == DOWN:
            return False
        self._pool.sessions.followed[host_ref] = coordinator_ref
        self._toolstack.restart(host_ref)
        return True

    # -- high availability

    def _watch(self) -> None:
        toolstack, clock = self._toolstack, self._pool.clock
        while not self._pool.stopped.is_set():
            version, lost_at = toolstack.version, self._find_loss()
            left = None if lost_at is None else lost_at + HA_SECONDS - clock.now()
            if left is None or left > 0:
                toolstack.wait_for_change(version, left)
            elif not self._elect():
                toolstack.wait_for_change(version, None)

    def _find_loss(self) -> float | None:
        coordinator = self._toolstack.on(self._pool.coordinator_ref)
        armed = self._pool.store.value("pool", self._pool.pool_ref, "ha_enabled")
        return coordinator.dark_since if armed and not coordinator.is_powered else None

    def _elect(self) -> bool:
        """Make the first member that works the coordinator; all others follow it, and the lost one is given up."""
        lost_ref = self._pool.coordinator_ref
        members = [ref for ref in self._pool.store.refs("host") if self._toolstack.is_ready(ref) and ref != lost_ref]
        if not members:
            return False
        self.take_over(members[0])
        for ref in members[1:]:
            self._pool.sessions.followed[ref] = members[0]
        self._pool.part(Heartbeats).give_up(lost_ref)
        return True
