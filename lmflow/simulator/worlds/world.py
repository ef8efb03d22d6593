"""A pool described as data: what is in it, and the refusal of what could not be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.store import Store
from lmflow.simulator.hosts.boot_files import BootFiles
from lmflow.simulator.hosts.dom0_plugins import Dom0Plugins
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.worlds.world_builder import WorldBuilder
from lmflow.simulator.worlds.world_generator import make_big_world, parse_size
from lmflow.simulator.worlds.world_rules import ImpossibleWorldError, check_store

__all__ = ["ImpossibleWorldError", "World", "check_possible", "check_store", "find", "load"]


@dataclass(frozen=True, slots=True)
class World:
    """A description; ``checked`` when it was found possible."""

    description: Mapping[str, Any]
    name: str = field(default="world")
    checked: bool = False

    def apply(self, pool: Kernel) -> None:
        """Create the objects in an empty pool, and boot the domains of the VMs that run.

        ImpossibleWorldError when the description was not checked before and no pool could be like that.
        """
        builder = WorldBuilder(pool.store, pool.clock, self.description)
        builder.build()
        for user in self.description.get("users", ()):
            pool.rbac.add_user(user["name"], user["password"], user["role"])
        if not self.checked:
            check_possible(pool)
        boot_residents(pool)
        pool.part(Xenops).copy_seconds.update(builder.copy_seconds)
        pool.part(BootFiles).describe(self.description)
        pool.part(Dom0Plugins).describe(self.description)


def load(description: Mapping[str, Any]) -> World:
    """Check a description; ImpossibleWorldError with a sentence when no pool could be like that."""
    store = Store(Schema.load())
    WorldBuilder(store, Clock(), description).build()
    check_store(store)
    return World(description, str(description.get("name", "world")), checked=True)


def find(name_or_path: str, seed: int = 1) -> World:
    """Load a shipped world by its name, or a description from a JSON file; ValueError when there is none.

    ``generated:HOSTSxVMS`` makes one from the seed, ``big`` one of 64 hosts and 5,000 VMs; a generated world is
    checked when it is applied.
    """
    size = parse_size(name_or_path)
    if size is not None:
        description = make_big_world(*size, seed=seed)
        return World(description, str(description["name"]))
    shipped = resources.files("lmflow.simulator") / "worlds" / f"{name_or_path}.json"
    if "/" not in name_or_path and shipped.is_file():
        return load(json.loads(shipped.read_text("utf-8")))
    path = Path(name_or_path)
    if not path.is_file():
        raise ImpossibleWorldError(f"there is no world {name_or_path!r}, neither shipped nor as a file")
    return load(json.loads(path.read_text("utf-8")))


def check_possible(pool: Kernel) -> None:
    """Refuse the pool's present database when no real pool could have it: ImpossibleWorldError."""
    check_store(pool.store)


def boot_residents(pool: Kernel) -> None:
    """Give every VM that the database shows on a host a domain there, with the number that it shows."""
    xenops, store = pool.part(Xenops), pool.store
    with store.lock:
        for host_ref in store.refs("host"):
            host = xenops.on(host_ref)
            for vm_ref in store.value("host", host_ref, "resident_VMs"):
                vm = store.record("VM", vm_ref)
                if vm["is_control_domain"] or vm["power_state"] not in {"Running", "Paused"}:
                    continue
                following, host.next_domid = host.next_domid, max(vm["domid"], 1)
                domid = xenops.boot(host_ref, vm["uuid"], vm["power_state"])
                host.next_domid = max(following, domid + 1)
                store.update("VM", vm_ref, domid=domid)
