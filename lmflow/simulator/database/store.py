"""The pool's database: objects by class and reference, back references, generations."""

from __future__ import annotations

import bisect
import random
import threading
import uuid as uuids
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.snapshot import Snapshot
from lmflow.simulator.database.values import NULL, DateTime, Value, copy_value
from lmflow.simulator.failures import ApiFailure

VOLATILE = frozenset({"session", "task"})
"""Classes that live in the memory of the coordinator only. Source: datamodel.ml, PersistNothing."""

_LOG_LIMIT = 200_000


class _Row:
    """``values`` is replaced by every change and never altered, so that snapshots may share it."""

    __slots__ = ("created", "modified", "snapshot", "values")

    def __init__(self, values: dict[str, Value], generation: int) -> None:
        self.values = values
        self.created = generation
        self.modified = generation
        self.snapshot: Snapshot | None = None


class Store:
    """Objects of a schema; every change takes the lock, gets a generation and wakes ``changed``.

    A list field that mirrors a reference field of another class is never stored: it is read from an index that
    every change of the reference keeps, so both ends always agree. Values handed in and out are copies.
    ``listeners`` are called under the lock with (``add``, ``mod`` or ``del``, class, reference): after a change,
    but before the object is gone.
    """

    def __init__(self, schema: Schema, seed: int = 1) -> None:
        self.schema = schema
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.listeners: list[Callable[[str, str, str], None]] = []
        self.random = random.Random(seed)  # noqa: S311 - repeatable on purpose, nothing here is secret
        # Threads draw delays in any order; the identifiers that are drawn meanwhile stay the same.
        self.chance = random.Random(f"{seed} chance")  # noqa: S311 - like the other
        self._rows: dict[str, dict[str, _Row]] = {name: {} for name in schema.classes}
        self._by_uuid: dict[tuple[str, str], str] = {}
        self._listed: dict[tuple[str, str, str], dict[str, None]] = {}
        self._single_fields: dict[str, list[tuple[str, tuple[str, str]]]] = {}
        self._list_fields: dict[str, list[str]] = {}
        for (cls, field), target in schema.listed_by.items():
            self._single_fields.setdefault(cls, []).append((field, target))
            self._list_fields.setdefault(target[0], []).append(target[1])
        self._generation = 0
        self._log: list[tuple[int, str, str]] = []
        self._log_floor = 0
        self._deleted: list[tuple[int, int, str, str]] = []
        self.before_change: Callable[[str, str, Mapping[str, Value] | None], None] | None = None
        """Told of every change before it is made: class, reference, the values so far (None: there is no such row)."""

    # -- identity

    def make_uuid(self) -> str:
        """Make a UUID from the seeded source."""
        with self.lock:
            return str(uuids.UUID(int=self.random.getrandbits(128), version=4))

    def make_ref(self) -> str:
        """Make a reference from the seeded source."""
        return f"OpaqueRef:{self.make_uuid()}"

    # -- reading

    @property
    def generation(self) -> int:
        """The number of the newest change."""
        return self._generation

    def exists(self, cls: str, ref: str) -> bool:
        """Tell whether the object is there."""
        return ref in self._rows[cls]

    def _row(self, cls: str, ref: str) -> _Row:
        try:
            return self._rows[cls][ref]
        except KeyError:
            raise ApiFailure("HANDLE_INVALID", cls, ref) from None

    def record(self, cls: str, ref: str) -> dict[str, Value]:
        """Copy an object's record, back references included; HANDLE_INVALID when it is not there."""
        with self.lock:
            record = {name: copy_value(value) for name, value in self._row(cls, ref).values.items()}
            for name in self._list_fields.get(cls, ()):
                record[name] = list(self._listed.get((cls, name, ref), ()))
            return record

    def snapshot(self, cls: str, ref: str) -> Snapshot:
        """Give an object's record as it is now, shared by all who ask until it changes; HANDLE_INVALID."""
        with self.lock:
            row = self._row(cls, ref)
            if row.snapshot is None:
                lists = {name: self._listed.get((cls, name, ref)) for name in self._list_fields.get(cls, ())}
                row.snapshot = Snapshot(row.values, {name: list(found) for name, found in lists.items() if found})
            return row.snapshot

    def snapshots(self, cls: str) -> dict[str, Snapshot]:
        """Give the records of a class as they are now, by reference."""
        with self.lock:
            return {ref: row.snapshot or self.snapshot(cls, ref) for ref, row in self._rows[cls].items()}

    def value(self, cls: str, ref: str, field: str) -> Value:
        """Copy one field; HANDLE_INVALID when the object is not there."""
        with self.lock:
            row = self._row(cls, ref)
            if field in self._list_fields.get(cls, ()):
                return list(self._listed.get((cls, field, ref), ()))
            return copy_value(row.values[field])

    def refs(self, cls: str) -> list[str]:
        """List the references of a class in the order of creation."""
        with self.lock:
            return list(self._rows[cls])

    def find(self, cls: str, /, **equals: Value) -> list[str]:
        """List the references whose fields equal what is given."""
        with self.lock:
            return [ref for ref in self._rows[cls] if all(self.value(cls, ref, k) == v for k, v in equals.items())]

    def by_uuid(self, cls: str, uuid: str) -> str:
        """Give the reference of a UUID; UUID_INVALID when there is none."""
        with self.lock:
            ref = self._by_uuid.get((cls, uuid))
            if ref is None:
                raise ApiFailure("UUID_INVALID", cls, uuid)
            return ref

    def modified(self, cls: str, ref: str) -> int:
        """Give the generation of the newest change of an object."""
        with self.lock:
            return self._row(cls, ref).modified

    def created(self, cls: str, ref: str) -> int:
        """Give the generation in which an object was created."""
        with self.lock:
            return self._row(cls, ref).created

    def counts(self) -> dict[str, int]:
        """Count the objects of every class."""
        with self.lock:
            return {cls: len(rows) for cls, rows in self._rows.items()}

    # -- changing

    def create(self, cls: str, fields: Mapping[str, Value], ref: str | None = None) -> str:
        """Create an object, missing fields from the model; returns its reference. Unknown fields: KeyError."""
        with self.lock:
            values = self.schema.make_record(cls)
            unknown = set(fields) - set(values)
            if unknown:
                raise KeyError(f"{cls} has no field {', '.join(sorted(unknown))}")
            lists = self._list_fields.get(cls, ())
            values.update({name: copy_value(value) for name, value in fields.items() if name not in lists})
            if "uuid" in values and not values["uuid"]:
                values["uuid"] = self.make_uuid()
            ref = ref or self.make_ref()
            if ref in self._rows[cls]:
                raise KeyError(f"{cls} {ref} is there already")
            self._announce(cls, ref)
            self._rows[cls][ref] = _Row(values, self._generation + 1)
            if "uuid" in values:
                self._by_uuid[cls, values["uuid"]] = ref
            self._touch(cls, ref, "add")
            for name, target in self._single_fields.get(cls, ()):
                self._relink(target, ref, NULL, values[name])
            return ref

    def update(self, cls: str, ref: str, /, **fields: Value) -> None:
        """Change fields in one step; a change that changes nothing is none. HANDLE_INVALID, KeyError."""
        with self.lock:
            row = self._row(cls, ref)
            lists = self._list_fields.get(cls, ())
            new = {name: copy_value(v) for name, v in fields.items() if name not in lists and row.values[name] != v}
            if not new:
                return
            old = {name: row.values[name] for name in new}
            self._announce(cls, ref)
            row.values = {**row.values, **new}
            if "uuid" in new:
                self._by_uuid.pop((cls, old["uuid"]), None)
                self._by_uuid[cls, new["uuid"]] = ref
            self._touch(cls, ref)
            for name, target in self._single_fields.get(cls, ()):
                if name in new:
                    self._relink(target, ref, old[name], new[name])

    def destroy(self, cls: str, ref: str) -> None:
        """Remove an object; HANDLE_INVALID when it is not there. Nothing that refers to it is removed."""
        with self.lock:
            row = self._row(cls, ref)
            self._announce(cls, ref)
            for listen in self.listeners:
                listen("del", cls, ref)
            del self._rows[cls][ref]
            self._by_uuid.pop((cls, row.values.get("uuid", "")), None)
            self._generation += 1
            self._deleted.append((self._generation, row.created, cls, ref))
            del self._deleted[:-_LOG_LIMIT]
            for name, target in self._single_fields.get(cls, ()):
                self._relink(target, ref, row.values[name], NULL)
            self.changed.notify_all()

    def _announce(self, cls: str, ref: str) -> None:
        if self.before_change is not None:
            row = self._rows[cls].get(ref)
            self.before_change(cls, ref, None if row is None else dict(row.values))

    def touch(self, cls: str, ref: str) -> int:
        """Count an object as modified without changing it; returns the generation before."""
        with self.lock:
            before = self._generation
            self._row(cls, ref)
            self._touch(cls, ref)
            return before

    def _touch(self, cls: str, ref: str, operation: str = "mod") -> None:
        row = self._rows[cls].get(ref)
        if row is None:
            return
        self._generation += 1
        row.modified = self._generation
        row.snapshot = None
        self._log.append((self._generation, cls, ref))
        if len(self._log) > _LOG_LIMIT:
            half = _LOG_LIMIT // 2
            self._log_floor = self._log[half - 1][0]
            del self._log[:half]
        for listen in self.listeners:
            listen(operation, cls, ref)
        self.changed.notify_all()

    def _relink(self, target: tuple[str, str], ref: str, old: str, new: str) -> None:
        cls, field = target
        for other, add in ((old, False), (new, True)):
            if other == NULL:
                continue
            members = self._listed.setdefault((cls, field, other), {})
            if add:
                members[ref] = None
            else:
                members.pop(ref, None)
            if not members:
                # A row for each object that ever was would stay for ever.
                del self._listed[cls, field, other]
            self._touch(cls, other)

    # -- changes since a generation

    def changes_since(self, generation: int, classes: Iterable[str]) -> list[tuple[int, str, str, bool]]:
        """List (generation, class, reference, is new) of live objects of these classes, each once, oldest first."""
        wanted = set(classes)
        with self.lock:
            if generation < self._log_floor:
                seen = {(c, r) for c in wanted for r in self._rows[c]}
            else:
                start = bisect.bisect_right(self._log, generation, key=lambda item: item[0])
                seen = {(c, r) for _, c, r in self._log[start:] if c in wanted}
            found = []
            for cls, ref in seen:
                row = self._rows[cls].get(ref)
                if row is not None and row.modified > generation:
                    found.append((row.modified, cls, ref, row.created > generation))
            return sorted(found)

    def deleted_since(self, generation: int, classes: Iterable[str]) -> list[tuple[int, str, str]]:
        """List (generation, class, reference) of what existed at that generation and is gone."""
        wanted = set(classes)
        with self.lock:
            start = bisect.bisect_right(self._deleted, generation, key=lambda item: item[0])
            return [
                (deleted, cls, ref)
                for deleted, created, cls, ref in self._deleted[start:]
                if cls in wanted and created <= generation and ref not in self._rows[cls]
            ]

    # -- the whole

    def forget_deletions(self, cls: str) -> None:
        """Forget what was deleted of a class, so that event.from never tells it (the coordinator restarted)."""
        with self.lock:
            self._deleted = [item for item in self._deleted if item[2] != cls]

    def go_back(self, generation: int) -> None:
        """Count changes from an older generation on again; what happened since is told to nobody any more."""
        with self.lock:
            self._generation = generation
            self._log = [item for item in self._log if item[0] <= generation]
            self._log_floor = min(self._log_floor, generation)
            self._deleted = [item for item in self._deleted if item[0] <= generation]
            for rows in self._rows.values():
                for row in rows.values():
                    row.created, row.modified = min(row.created, generation), min(row.modified, generation)

    def dump(self) -> dict[str, Any]:
        """Give everything that is persistent as JSON-able data."""
        with self.lock:
            objects = {
                cls: {ref: _freeze(row.values) for ref, row in rows.items()}
                for cls, rows in self._rows.items()
                if rows and cls not in VOLATILE
            }
            return {"generation": self._generation, "objects": objects}

    def load(self, data: Mapping[str, Any]) -> None:
        """Replace everything persistent by what ``dump`` gave; sessions and tasks stay."""
        with self.lock:
            for cls in self._rows:
                if cls not in VOLATILE:
                    for ref in list(self._rows[cls]):
                        self.destroy(cls, ref)
            self._generation = max(self._generation, int(data["generation"]))
            for cls, rows in data["objects"].items():
                for ref, values in rows.items():
                    self.create(cls, _thaw(values), ref)

    def view(self) -> dict[str, dict[str, dict[str, Value]]]:
        """Give every record of every class, for whoever wants to look at the pool as a whole."""
        with self.lock:
            return {c: {ref: self.record(c, ref) for ref in rows} for c, rows in self._rows.items() if rows}


def _freeze(value: Value) -> Any:
    if isinstance(value, DateTime):
        return {"__date__": str(value)}
    if isinstance(value, dict):
        return {key: _freeze(item) for key, item in value.items()}
    return [_freeze(item) for item in value] if isinstance(value, list) else value


def _thaw(value: Any) -> Any:
    if isinstance(value, dict):
        return DateTime(value["__date__"]) if set(value) == {"__date__"} else {k: _thaw(v) for k, v in value.items()}
    return [_thaw(item) for item in value] if isinstance(value, list) else value
