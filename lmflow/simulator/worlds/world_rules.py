"""What no pool's database can show; each rule is a generator of sentences."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.simulator.database.store import Store
from lmflow.simulator.rules import memory
from lmflow.simulator.worlds.world_rules_devices import check_devices
from lmflow.simulator.worlds.world_rules_values import Database, check_operations, check_values
from lmflow.simulator.worlds.world_rules_vms import check_vms

_SHOWN = 20


class ImpossibleWorldError(ValueError):
    """A world that the real thing could never produce; the text says why, in sentences."""


def check_store(store: Store) -> None:
    """Refuse a database that no pool could have: ImpossibleWorldError with what was found."""
    found = find_problems(store)
    if found:
        more = [f"And {len(found) - _SHOWN} more."] if len(found) > _SHOWN else []
        raise ImpossibleWorldError(" ".join([*found[:_SHOWN], *more]))


def find_problems(store: Store) -> list[str]:
    """List, in sentences, all that no pool's database could show."""
    with store.lock:
        database = store.view()
        found = [*check_values(store.schema, database), *check_operations(database), *check_pool(database)]
        if found:
            # The other rules follow references and trust types.
            return found
        return [*check_vms(database), *check_devices(database), *check_memory(store)]


def check_pool(database: Database) -> Iterator[str]:
    """Find what a pool's coordinator and hosts cannot be."""
    pools = database.get("pool", {})
    if len(pools) != 1:
        yield f"A pool database has one pool, not {len(pools)}."
    for pool in pools.values():
        if pool["master"] not in database.get("host", {}):
            yield "The pool has no coordinator."
    addresses = [host["address"] for host in database.get("host", {}).values()]
    for address in sorted({a for a in addresses if addresses.count(a) > 1}):
        yield f"Two hosts have the address {address}."


def check_memory(store: Store) -> Iterator[str]:
    """Find hosts that have less memory than their VMs need."""
    scheduled = memory.scheduled_vms(store)
    for host_ref in store.refs("host"):
        metrics_ref = store.value("host", host_ref, "metrics")
        name = store.value("host", host_ref, "name_label")
        total = store.value("host_metrics", metrics_ref, "memory_total")
        taken = sum(memory.needed_by(store, ref) for ref in memory.occupants_of(store, host_ref, scheduled))
        if taken + store.value("host", host_ref, "memory_overhead") > total:
            yield f"The VMs on {name} need more memory than the host has."
