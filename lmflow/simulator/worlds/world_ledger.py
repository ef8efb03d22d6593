"""What a world under construction has so far, by the names that its description uses."""

from __future__ import annotations

import re
import uuid as uuids
from collections.abc import Mapping
from typing import Any

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL, DateTime
from lmflow.simulator.worlds.world_defaults import Fields, Item
from lmflow.simulator.worlds.world_rules import ImpossibleWorldError

_NAMESPACE = uuids.UUID("6e1d9c0e-3c64-4d0c-9a51-5bb1f0a4d2f7")
_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]iB|B|)\s*")


def parse_bytes(text: str | int) -> int:
    """Read ``2 GiB`` or a plain number of bytes; ImpossibleWorldError when it is neither."""
    found = _AMOUNT.fullmatch(str(text))
    if found is None:
        raise ImpossibleWorldError(f"{text!r} is no amount of bytes.")
    return int(float(found.group(1)) * _UNITS[found.group(2)])


class Ledger:
    """Creates objects under names and finds them again; the same names in a world give the same UUIDs."""

    def __init__(self, store: Store, clock: Clock, world_name: str) -> None:
        self.store = store
        self.clock = clock
        self.world_name = world_name
        self._refs: dict[tuple[str, str], str] = {}
        self._used: dict[str, list[int]] = {}

    def make_uuid(self, cls: str, name: str) -> str:
        """Make the UUID of an object of that name."""
        return str(uuids.uuid5(_NAMESPACE, f"{self.world_name}/{cls}/{name}"))

    def add(self, cls: str, name: str, fields: Item, item: Item | None = None, ref: str | None = None) -> str:
        """Create an object; ``item`` is its description, whose ``uuid`` and ``fields`` override.

        ImpossibleWorldError for a second one of the name, and for fields that the class has not.
        """
        self.check_new(cls, name)
        described: Mapping[str, Any] = item or {}
        uuid = str(described.get("uuid") or self.make_uuid(cls, name))
        try:
            overriding = self._read_dates(cls, described.get("fields", {}))
            made = self.store.create(cls, {"uuid": uuid, **fields, **overriding}, ref)
        except KeyError as error:
            raise ImpossibleWorldError(str(error)) from None
        self._refs[cls, name] = made
        if cls == "VDI":
            self._count(made)
        return made

    def check_new(self, cls: str, name: str) -> None:
        """Refuse a second object of the name: ImpossibleWorldError."""
        if (cls, name) in self._refs:
            raise ImpossibleWorldError(f"There are two of {cls} {name}.")

    def _read_dates(self, cls: str, fields: Item) -> Fields:
        """Make dates of the texts that JSON has for them."""
        known = self.store.schema.classes[cls].fields
        dates = {name for name in fields if name in known and known[name].type == "datetime"}
        return {name: DateTime(value) if name in dates else value for name, value in fields.items()}

    def get(self, cls: str, name: str, user: str) -> str:
        """Give the reference of an object; ImpossibleWorldError in the name of its ``user`` when it is not there."""
        try:
            return self._refs[cls, name]
        except KeyError:
            raise ImpossibleWorldError(f"{user} names an unknown {cls} {name!r}.") from None

    def find(self, cls: str, name: str) -> str:
        """Give the reference of an object, the null reference when it is not there."""
        return self._refs.get((cls, name), NULL)

    def _count(self, vdi_ref: str) -> None:
        value = self.store.value
        used = self._used.setdefault(value("VDI", vdi_ref, "SR"), [0, 0])
        used[0] += value("VDI", vdi_ref, "virtual_size")
        used[1] += value("VDI", vdi_ref, "physical_utilisation")

    def used_on(self, sr_ref: str) -> Fields:
        """Give what an SR shows as used by the disks created on it."""
        allocated, utilised = self._used.get(sr_ref, (0, 0))
        return {"virtual_allocation": allocated, "physical_utilisation": utilised}
