"""Who is next of those that wait for a VM: chance, unless a test has said it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import control_route, part

MOST_WAITING = 100
"""How many operations of a pool may wait behind others. Source: helpers.ml."""


@part("turns")
class Turns:
    """The operations that wait for each VM, and the order in which a test wants the next ones to begin.

    Operations that are not in the order begin when they like. All calls need the database's lock.
    """

    def __init__(self, pool: Kernel) -> None:
        self._pool = pool
        self._order: dict[str, list[str]] = {}
        self._waiting: dict[str, list[str]] = {}

    def set_order(self, vm_ref: str, names: Sequence[str]) -> None:
        """Let the next operations on a VM begin in this order, whenever they are called."""
        with self._pool.store.changed:
            self._order[vm_ref] = list(names)
            self._pool.store.changed.notify_all()

    def waiting(self, vm_ref: str) -> list[str]:
        """List the operations that wait for a VM, those that came first in front."""
        with self._pool.store.lock:
            return list(self._waiting.get(vm_ref, ()))

    def check_room(self) -> None:
        """Refuse who would be one too many of those that wait, for whatever VM: TOO_MANY_PENDING_TASKS."""
        with self._pool.store.lock:
            if sum(map(len, self._waiting.values())) > MOST_WAITING + 1:
                raise ApiFailure("TOO_MANY_PENDING_TASKS")

    def may_begin(self, vm_ref: str, name: str) -> bool:
        """Tell whether nothing in the order stands before this operation."""
        order = self._order.get(vm_ref, [])
        return name not in order or order[0] == name

    def enter(self, vm_ref: str, name: str) -> None:
        """Count an operation among those that wait."""
        self._waiting.setdefault(vm_ref, []).append(name)
        self._pool.store.changed.notify_all()

    def leave(self, vm_ref: str, name: str) -> None:
        """Count an operation out: it has begun, or was refused, or was given up."""
        self._waiting[vm_ref].remove(name)
        order = self._order.get(vm_ref, [])
        if name in order:
            order.remove(name)
        self._pool.store.changed.notify_all()


@control_route("POST", "/turns")
def set_turns(pool: Kernel, body: dict[str, Any]) -> dict[str, Any]:
    """Decide who is next: ``{"vm": uuid, "order": ["pause", "snapshot"]}`` names operations as XAPI does."""
    try:
        vm_ref = pool.store.by_uuid("VM", str(body["vm"]))
    except ApiFailure as failure:
        raise KeyError(" ".join(failure.description)) from failure
    pool.part(Turns).set_order(vm_ref, [str(name) for name in body["order"]])
    return {}
