"""Rules that hold for every class: types, enumerations, references, UUIDs, operations; all read from the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from lmflow.simulator.database.schema import Field, Schema, split_map, split_set
from lmflow.simulator.database.values import NULL, DateTime, Value

Record: TypeAlias = Mapping[str, Value]
Database: TypeAlias = Mapping[str, Mapping[str, Record]]
"""Every record, by class and reference."""

DANGLING = {
    ("VBD", "metrics"): "the class is not kept on disk; both databases of real pools show it so",
    ("VIF", "metrics"): "the class is not kept on disk; both databases of real pools show it so",
    ("console", "VM"): "collected some time after its VM; both databases of real pools show it so",
    ("VM", "suspend_SR"): "nobody clears it when the SR is forgotten; a database of a real pool shows it so",
    ("VM", "snapshot_of"): "its VM may be gone; a joined host's control domain has Ref:2 here, as recorded",
    ("VM", "parent"): "the snapshot may be gone; a joined host's control domain has Ref:2 here, as recorded",
    ("VM", "affinity"): "the host may have left the pool",
    ("VDI", "snapshot_of"): "its disk may be gone",
    ("VDI", "parent"): "not kept up since disks have chains of their own",
    ("VDI", "metadata_of_pool"): "empty for most disks, as recorded, or another pool",
    ("pool", "default_SR"): "the SR may have been forgotten",
    ("pool", "suspend_image_SR"): "the SR may have been forgotten",
    ("pool", "crash_dump_SR"): "the SR may have been forgotten",
    ("host", "suspend_image_sr"): "the SR may have been forgotten",
    ("host", "crash_dump_sr"): "the SR may have been forgotten",
    ("host", "local_cache_sr"): "the SR may have been forgotten",
    ("SR", "introduced_by"): "the task of a disaster recovery ends before its SRs go",
}
"""Fields in which XAPI keeps a reference whose object is gone, and why."""
NEEDED = frozenset(
    {
        ("pool", "master"),
        ("host", "metrics"),
        ("host_cpu", "host"),
        ("PBD", "host"),
        ("PBD", "SR"),
        ("PIF", "host"),
        ("PIF", "network"),
        ("VDI", "SR"),
        ("VBD", "VM"),
        ("VIF", "VM"),
        ("VIF", "network"),
        ("VM", "metrics"),
        ("Certificate", "host"),
    }
)
"""Fields that are never the null reference."""
_OWN_RULES = frozenset({"session", "task", "event"})
_SHOWN = 80
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DATE = re.compile(r"\d{8}T\d\d:\d\d:\d\dZ")
_SIMPLE: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str) and not isinstance(value, DateTime),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63,
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "datetime": lambda value: isinstance(value, DateTime) and _DATE.fullmatch(value) is not None,
}


def name_of(cls: str, record: Record) -> str:
    """Name an object in a sentence."""
    return f"{cls} {record.get('name_label') or record.get('uuid', '')}"


def check_values(schema: Schema, database: Database) -> Iterator[str]:
    """Find values of the wrong type, references that lead nowhere, and UUIDs that are none or used twice."""
    for cls, records in database.items():
        if cls in _OWN_RULES:
            continue
        fields = _plan(schema, cls)
        seen: dict[str, str] = {}
        for record in records.values():
            for item, fits in fields:
                if not fits(record[item.name]):
                    found = repr(record[item.name])[:_SHOWN]
                    yield f"{name_of(cls, record)} has {found} for {item.name}, which is a {item.type}."
                elif "ref" in item.type:
                    yield from _check_references(database, cls, record, item)
            yield from _check_uuid(cls, record, seen)


def _plan(schema: Schema, cls: str) -> list[tuple[Field, Callable[[Any], bool]]]:
    """List the fields of a class that are stored, each with what its values must be."""
    derived = {field for owner, field in schema.listed_by.values() if owner == cls}
    return [
        (item, _make_check(schema, item.type))
        for item in schema.classes[cls].fields.values()
        if item.name not in derived and not item.type.endswith(" record")
    ]


def _make_check(schema: Schema, type_text: str) -> Callable[[Any], bool]:
    if type_text in _SIMPLE:
        return _SIMPLE[type_text]
    pair = split_map(type_text)
    if pair is not None:
        fits = _make_check(schema, pair[1])
        return lambda value: (
            isinstance(value, dict) and all(isinstance(key, str) and fits(item) for key, item in value.items())
        )
    kind = split_set(type_text)
    if kind is not None:
        element = _make_check(schema, kind)
        return lambda value: isinstance(value, list) and all(element(item) for item in value)
    if type_text.startswith("enum "):
        known = schema.enums.get(type_text.removeprefix("enum "), frozenset())
        return lambda value: isinstance(value, str) and value in known
    return _SIMPLE["string"]


def _check_references(database: Database, cls: str, record: Record, item: Field) -> Iterator[str]:
    if (cls, item.name) in DANGLING:
        return
    for target, ref in _references(item.type, record[item.name]):
        if ref == NULL:
            if (cls, item.name) in NEEDED:
                yield f"{name_of(cls, record)} has no {item.name}."
        elif ref not in database.get(target, {}):
            yield f"{name_of(cls, record)} names an unknown {target} by its {item.name}, {ref!r}."


def _references(type_text: str, value: Value) -> Iterator[tuple[str, str]]:
    """List (class, reference) of everything that a value refers to."""
    if type_text.endswith(" ref"):
        yield type_text.removesuffix(" ref"), value
    elif (pair := split_map(type_text)) is not None:
        for key, item in value.items():
            yield from _references(pair[0], key)
            yield from _references(pair[1], item)
    elif (kind := split_set(type_text)) is not None and kind.endswith(" ref"):
        for item in value:
            yield from _references(kind, item)


def _check_uuid(cls: str, record: Record, seen: dict[str, str]) -> Iterator[str]:
    uuid = record.get("uuid")
    if uuid is None:
        return
    if not _UUID.fullmatch(uuid):
        yield f"{name_of(cls, record)} has {uuid!r} for a UUID."
    elif uuid in seen:
        yield f"Two of {cls} have the UUID {uuid}: {seen[uuid]} and {name_of(cls, record)}."
    seen[uuid] = name_of(cls, record)


def check_operations(database: Database) -> Iterator[str]:
    """Find operations that no task carries out."""
    tasks = database.get("task", {})
    for cls, records in database.items():
        if cls in _OWN_RULES:
            continue
        for record in records.values():
            for task_ref, operation in record.get("current_operations", {}).items():
                if task_ref not in tasks:
                    yield f"{name_of(cls, record)} is busy with {operation} for an unknown task."
