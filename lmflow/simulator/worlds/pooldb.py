"""Loads a pool's database as xapi writes it to disk (``state.db``), also from releases long before our model.

Rows are XML attributes; sets and maps are s-expressions, a field ``name_label`` may be spelt ``name__label``.
What the file's release did not know gets the model's default or is derived; addresses become 127.0.0.x.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.schema import Field, Schema, split_map, split_set
from lmflow.simulator.database.store import VOLATILE, Store
from lmflow.simulator.database.values import NULL, DateTime, Value
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.rules import allowed, memory
from lmflow.simulator.worlds.world import boot_residents
from lmflow.simulator.worlds.world_rules import ImpossibleWorldError, check_store

_TOKEN = re.compile(r"\(|\)|'((?:[^'\\]|\\.)*)'|([^\s()']+)")
_SPACES = {"%_": " ", "%.": "", "%t": "\t", "%n": "\n", "%r": "\r", "%%": "%"}

_SIMPLE: dict[str, Callable[[str], Value]] = {
    "bool": lambda text: text == "true",
    "int": lambda text: int(text or "0"),
    "float": lambda text: float(text or "0"),
    "datetime": DateTime,
}

Rows = dict[str, dict[str, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class DatabaseWorld:
    """The rows of a database, by class and reference."""

    rows: Rows
    name: str = field(default="database")
    checked: bool = False

    def apply(self, pool: Kernel) -> None:
        """Create the objects in an empty pool, and boot the domains of the VMs that run."""
        _Loader(pool.store, pool.clock, self.rows).load()
        if not self.checked:
            check_store(pool.store)
        boot_residents(pool)


def read_text(path: str | Path) -> bytes:
    """Read a database's XML, plain or gzipped. OSError, gzip.BadGzipFile."""
    raw = Path(path).read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def load(path: str | Path) -> DatabaseWorld:
    """Read a database, plain or gzipped; ImpossibleWorldError (a ValueError) when it is none or cannot be. OSError."""
    try:
        root = ElementTree.fromstring(read_text(path))  # noqa: S314 - a file that the caller chose
    except (ElementTree.ParseError, gzip.BadGzipFile) as error:
        raise ImpossibleWorldError(f"{path} is no pool database: {error}.") from error
    if root.tag != "database":
        raise ImpossibleWorldError(f"{path} is no pool database: its root is <{root.tag}>.")
    rows: Rows = {}
    for table in root.iter("table"):
        rows[table.get("name", "")] = {row.get("ref", ""): dict(row.attrib) for row in table.iter("row")}
    store = Store(Schema.load())
    _Loader(store, Clock(), rows).load()
    check_store(store)
    return DatabaseWorld(rows, Path(path).name, checked=True)


def _unprotect(text: str) -> str:
    return re.sub(r"%[_.tnr%]", lambda found: _SPACES[found.group()], text)


def parse_sexpr(text: str) -> Any:
    """Read an s-expression of strings: nested lists. ValueError when it does not end."""
    stack: list[list[Any]] = [[]]
    for found in _TOKEN.finditer(text):
        if found.group() == "(":
            stack.append([])
        elif found.group() == ")":
            if len(stack) == 1:
                raise ValueError(f"no s-expression: {text[:60]!r}")
            done = stack.pop()
            stack[-1].append(done)
        else:
            quoted = found.group(1)
            stack[-1].append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else found.group(2))
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError(f"no s-expression: {text[:60]!r}")
    return stack[0][0]


def parse_value(type_text: str, text: str) -> Value:
    """Read a field of this type. ValueError when the text is of another."""
    pair = split_map(type_text)
    if pair is not None:
        return {_unprotect(key): parse_value(pair[1], value) for key, value in parse_sexpr(text or "()")}
    kind = split_set(type_text)
    if kind is not None:
        return [parse_value(kind, item) for item in parse_sexpr(text or "()")]
    if type_text.endswith(" ref"):
        return text or NULL
    return _SIMPLE.get(type_text, _unprotect)(text)


class _Loader:
    """Creates the rows in a store and derives what they lack."""

    def __init__(self, store: Store, clock: Clock, rows: Rows) -> None:
        self._store = store
        self._clock = clock
        self._rows = rows

    def load(self) -> None:
        """Create everything."""
        for cls, rows in self._rows.items():
            if cls in self._store.schema.classes and cls not in VOLATILE and "event" not in cls:
                for ref, row in rows.items():
                    self._store.create(cls, self._fields(cls, row), ref)
        if not self._store.refs("pool"):
            raise ImpossibleWorldError("The database has no pool.")
        self._derive_hosts()
        for vm_ref in self._store.refs("VM"):
            self._derive_vm(vm_ref)

    def _fields(self, cls: str, row: dict[str, str]) -> dict[str, Value]:
        known = self._store.schema.classes[cls].fields
        return {item.name: parse_value(item.type, text) for item, text in self._known(row, known)}

    @staticmethod
    def _known(row: dict[str, str], known: Any) -> Iterator[tuple[Field, str]]:
        for name, text in row.items():
            plain = name if name in known else name.replace("__", "_")
            if plain in known:
                yield known[plain], text

    def _derive_hosts(self) -> None:
        store = self._store
        master = store.value("pool", store.refs("pool")[0], "master")
        hosts = sorted(store.refs("host"), key=lambda ref: ref != master)
        for index, host_ref in enumerate(hosts):
            address = f"127.0.0.{index + 1}"
            host = store.record("host", host_ref)
            for pif_ref in host["PIFs"]:
                changes = {"managed": True, **({"IP": address} if store.value("PIF", pif_ref, "management") else {})}
                store.update("PIF", pif_ref, **changes)
            config = {"boot_time": f"{int(self._clock.now()) - 3600}.", **host["other_config"]}
            config.setdefault("agent_start_time", f"{int(self._clock.now()) - 3500}.")
            domains = [ref for ref in host["resident_VMs"] if store.value("VM", ref, "is_control_domain")]
            store.update(
                "host",
                host_ref,
                address=address,
                other_config=config,
                current_operations={},
                control_domain=domains[0] if domains else NULL,
                memory_overhead=host["memory_overhead"] or memory.HOST_OVERHEAD,
            )
            self._derive_metrics(host_ref)

    def _derive_metrics(self, host_ref: str) -> None:
        """Give a host the memory that its VMs need and as much again, if its file does not say how much it has."""
        store = self._store
        metrics_ref = store.value("host", host_ref, "metrics")
        if not store.exists("host_metrics", metrics_ref):
            metrics_ref = store.create("host_metrics", {"live": True})
            store.update("host", host_ref, metrics=metrics_ref)
        if not store.value("host_metrics", metrics_ref, "memory_total"):
            taken = sum(memory.needed_by(store, ref) for ref in memory.occupants_of(store, host_ref))
            total = 2 * (taken + store.value("host", host_ref, "memory_overhead"))
            store.update("host_metrics", metrics_ref, memory_total=total, live=True)

    def _derive_vm(self, vm_ref: str) -> None:
        store = self._store
        vm = store.record("VM", vm_ref)
        domain_type = vm["domain_type"]
        if domain_type in {"", "unspecified"}:
            domain_type = "hvm" if vm["HVM_boot_policy"] else "pv"
        store.update(
            "VM", vm_ref, domain_type=domain_type, current_operations={}, scheduled_to_be_resident_on=NULL
        )  # fmt: skip
        self._derive_vm_metrics(vm, domain_type)
        allowed.update_vm(store, vm_ref)

    def _derive_vm_metrics(self, vm: dict[str, Any], domain_type: str) -> None:
        store = self._store
        if store.exists("VM_metrics", vm["metrics"]):
            running = vm["power_state"] in {"Running", "Paused"}
            current = domain_type if running else "unspecified"
            store.update("VM_metrics", vm["metrics"], current_domain_type=current, hvm=current == "hvm")
        guest_ref = vm["guest_metrics"]
        if store.exists("VM_guest_metrics", guest_ref):
            # Drivers of that time did not name their features; working ones could suspend.
            guest = store.record("VM_guest_metrics", guest_ref)
            if guest["PV_drivers_version"]:
                store.update("VM_guest_metrics", guest_ref, other={"feature-suspend": "1", **guest["other"]})
