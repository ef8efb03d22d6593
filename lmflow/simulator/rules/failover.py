"""High availability as arithmetic: could the protected VMs be started again if so many hosts failed?

A VM is protected when it is to run always and its priority is ``restart``; it is agile when every host could run it.
What memory a VM may come to need counts, not what it has. Few hosts are tried in every combination; of many the worst
case is assumed: those fail that have most to restart, and those are missing that have most room. Source:
xapi_ha_vm_failover.ml, binpack.ml; no pool with high availability was watched.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.rules import device_rules, memory, placement

RESTART = "restart"
PRIORITIES = (RESTART, "best-effort", "")
_MOST_COMBINATIONS = 2000


class Answer(enum.StrEnum):
    """Whether there is a plan."""

    FOR_ALL = "for all"
    NOT_FOR_THOSE_BOUND_TO_A_HOST = "not for those bound to a host"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be thought of as done already: hosts disabled, VMs arrived at hosts, VMs protected."""

    disabled: frozenset[str] = frozenset()
    arriving: tuple[tuple[str, str], ...] = ()
    """(VM, host)"""
    protected: tuple[str, ...] = ()


NOTHING = Change()


def is_protected(store: Store, vm_ref: str) -> bool:
    """Tell whether the pool has to start a VM again."""
    return bool(
        store.value("VM", vm_ref, "ha_always_run") and store.value("VM", vm_ref, "ha_restart_priority") == RESTART
    )


def is_on(store: Store) -> bool:
    """Tell whether high availability is on."""
    return any(store.value("pool", ref, "ha_enabled") for ref in store.refs("pool"))


def protected_vms(store: Store) -> list[str]:
    """List the VMs that the pool has to start again."""
    return [ref for ref in store.refs("VM") if is_protected(store, ref)]


def live_hosts(store: Store, without: Collection[str] = ()) -> list[str]:
    """List the hosts that count: enabled, live, and not among those left out."""
    hosts = [ref for ref in store.refs("host") if store.value("host", ref, "enabled") and ref not in without]
    return [ref for ref in hosts if placement.is_live(store, ref)]


def check_agile(store: Store, vm_ref: str) -> None:
    """Refuse a VM that not every enabled, live host can run.

    HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED, HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED, VM_HAS_PCI_ATTACHED, VM_HAS_VGPU,
    VM_HAS_VUSBS.
    """
    hosts = live_hosts(store)
    for vdi_ref in device_rules.disks_of(store, vm_ref):
        sr_ref = store.value("VDI", vdi_ref, "SR")
        shared = store.value("SR", sr_ref, "shared") if store.exists("SR", sr_ref) else False
        if not shared or any(sr_ref not in placement.reached_srs(store, host_ref) for host_ref in hosts):
            raise ApiFailure("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", sr_ref)
    for vif_ref in store.value("VM", vm_ref, "VIFs"):
        network_ref = store.value("VIF", vif_ref, "network")
        if not store.exists("network", network_ref):
            continue
        wires = store.value("network", network_ref, "PIFs")
        wired = {store.value("PIF", ref, "host") for ref in wires if store.value("PIF", ref, "currently_attached")}
        if not set(hosts) <= wired:
            raise ApiFailure("HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED", network_ref)
    device_rules.check_can_leave(store, vm_ref)


def _is_agile(store: Store, vm_ref: str) -> bool:
    try:
        check_agile(store, vm_ref)
    except ApiFailure:
        return False
    return True


def place(sizes: dict[str, int], room: dict[str, int]) -> tuple[dict[str, str], dict[str, int]]:
    """Put VMs on hosts, the biggest first, each where there is most room; gives who fits where, and what is left."""
    left, found = dict(room), {}
    for vm_ref in sorted(sizes, key=lambda ref: -sizes[ref]):
        best = max(left, key=lambda ref: left[ref], default=None)
        if best is not None and left[best] >= sizes[vm_ref]:
            left[best] -= sizes[vm_ref]
            found[vm_ref] = best
    return found, left


class _Pool:
    """The pool as the planning sees it, after a change; VMs that are to run but do not are started first."""

    def __init__(self, store: Store, change: Change) -> None:
        hosts = live_hosts(store, change.disabled)
        vms = list(dict.fromkeys([*protected_vms(store), *change.protected]))
        scheduled = memory.scheduled_vms(store)
        self.room = {ref: memory.free_on(store, ref, scheduled, at_most=True) for ref in hosts}
        for vm_ref, host_ref in change.arriving:
            if host_ref in self.room:
                self.room[host_ref] -= memory.needed_by(store, vm_ref, at_most=True)
        self.sizes = {ref: memory.needed_by(store, ref, at_most=True) for ref in vms}
        self.bound = [ref for ref in vms if not _is_agile(store, ref)]
        agile = [ref for ref in vms if ref not in self.bound]
        self.where = {ref: host for ref in agile if (host := self._place_of(store, ref)) in self.room}
        offline = {ref: self.sizes[ref] for ref in agile if ref not in self.where}
        started, self.room = place(offline, self.room)
        self.where |= started
        self.cannot_start = [ref for ref in offline if ref not in started]

    @staticmethod
    def _place_of(store: Store, vm_ref: str) -> str:
        resident = store.value("VM", vm_ref, "resident_on")
        return str(resident if resident != NULL else store.value("VM", vm_ref, "scheduled_to_be_resident_on"))

    def survives(self, failed: Iterable[str]) -> bool:
        """Tell whether what ran on these hosts fits on the others."""
        gone = set(failed)
        lost = {vm: self.sizes[vm] for vm, host in self.where.items() if host in gone}
        return len(place(lost, {ref: left for ref, left in self.room.items() if ref not in gone})[0]) == len(lost)

    def survives_any(self, failures: int) -> bool:
        """Tell whether any so many hosts may fail."""
        hosts = list(self.room)
        if failures >= len(hosts):
            return not self.where and failures <= len(hosts)
        if math.comb(len(hosts), failures) <= _MOST_COMBINATIONS:
            return all(map(self.survives, itertools.combinations(hosts, failures)))
        return self._survives_the_worst(failures)

    def _survives_the_worst(self, failures: int) -> bool:
        load = dict.fromkeys(self.room, 0)
        for vm_ref, host_ref in self.where.items():
            load[host_ref] += self.sizes[vm_ref]
        failed = sorted(load, key=lambda ref: -load[ref])[:failures]
        lost = {vm: self.sizes[vm] for vm, host in self.where.items() if host in failed}
        least_room = dict(sorted(self.room.items(), key=lambda pair: pair[1])[: len(self.room) - failures])
        return len(place(lost, least_room)[0]) == len(lost)


def plan(store: Store, failures: int, change: Change = NOTHING) -> Answer:
    """Say whether all protected VMs could be started again whichever so many hosts failed."""
    with store.lock:
        pool = _Pool(store, change)
        if pool.cannot_start or not pool.survives_any(failures):
            return Answer.NONE
        return Answer.NOT_FOR_THOSE_BOUND_TO_A_HOST if pool.bound else Answer.FOR_ALL


def most_failures(store: Store, vms: Sequence[str] | None = None) -> int:
    """Give the number of hosts that may fail; ``vms`` are thought of as protected besides those that are."""
    change = Change(protected=tuple(vms or ()))
    tolerated = 0
    for failures in range(1, len(store.refs("host")) + 1):
        if plan(store, failures, change) is not Answer.FOR_ALL:
            break
        tolerated = failures
    return tolerated


def plan_restarts(store: Store, hosts: Collection[str], vms: Collection[str]) -> dict[str, str]:
    """Say where the protected VMs of these hosts, and these VMs, would be started; who is missing has no place."""
    with store.lock:
        pool = _Pool(store, NOTHING)
        lost = {vm: pool.sizes[vm] for vm, host in pool.where.items() if host in hosts or vm in vms}
        return place(lost, {ref: left for ref, left in pool.room.items() if ref not in hosts})[0]


def check_preserves_plan(store: Store, change: Change, failures: int | None = None) -> None:
    """Refuse a change that would end a plan that there is now: HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN."""
    pool_ref = store.refs("pool")[0]
    if not store.value("pool", pool_ref, "ha_enabled") or store.value("pool", pool_ref, "ha_allow_overcommit"):
        return
    now = int(store.value("pool", pool_ref, "ha_plan_exists_for"))
    after = now if failures is None else failures
    if plan(store, now) is Answer.FOR_ALL and plan(store, after, change) is not Answer.FOR_ALL:
        raise ApiFailure("HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN")


def update_pool(store: Store) -> None:
    """Write for how many failures there is a plan, and whether that is fewer than wanted."""
    with store.lock:
        if not is_on(store):
            return
        pool_ref = store.refs("pool")[0]
        wanted = int(store.value("pool", pool_ref, "ha_host_failures_to_tolerate"))
        if plan(store, wanted) is Answer.FOR_ALL:
            store.update("pool", pool_ref, ha_plan_exists_for=wanted, ha_overcommitted=False)
        else:
            found = min(wanted, most_failures(store))
            store.update("pool", pool_ref, ha_plan_exists_for=found, ha_overcommitted=True)
