"""A pool described as data: what is in it, and the refusal of what could not be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from lmflow.simulator.clock import Clock
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.schema import Schema
from lmflow.simulator.store import Store
from lmflow.simulator.world_builder import WorldBuilder
from lmflow.simulator.world_rules import ImpossibleWorldError, check_store
from lmflow.simulator.xenops import Xenops

__all__ = ["ImpossibleWorldError", "World", "check_possible", "find", "load"]


@dataclass(frozen=True, slots=True)
class World:
    """A description that was found possible."""

    description: Mapping[str, Any]
    name: str = field(default="world")

    def apply(self, pool: Kernel) -> None:
        """Create the objects in an empty pool, and boot the domains of the VMs that run."""
        builder = WorldBuilder(pool.store, pool.clock, self.description)
        builder.build()
        check_possible(pool)
        boot_residents(pool)
        pool.part(Xenops).copy_seconds.update(builder.copy_seconds)


def load(description: Mapping[str, Any]) -> World:
    """Check a description; ImpossibleWorldError with a sentence when no pool could be like that."""
    store = Store(Schema.load())
    WorldBuilder(store, Clock(), description).build()
    check_store(store)
    return World(description, str(description.get("name", "world")))


def find(name_or_path: str) -> World:
    """Load a shipped world by its name, or a description from a JSON file; ValueError when there is none."""
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
    """Give every VM that the database shows on a host a domain there, and write its domid."""
    xenops = pool.part(Xenops)
    with pool.store.lock:
        for vm_ref in pool.store.refs("VM"):
            vm = pool.store.record("VM", vm_ref)
            if vm["power_state"] in {"Running", "Paused"} and not vm["is_control_domain"]:
                domid = xenops.boot(vm["resident_on"], vm["uuid"], vm["power_state"])
                pool.store.update("VM", vm_ref, domid=domid)
