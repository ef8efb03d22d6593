"""What every class answers without anybody having written it: the accessors that the schema derives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmflow.simulator.database.schema import Message
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import Value
from lmflow.simulator.database.where import compile_query
from lmflow.simulator.failures import ApiFailure

Accessor = Callable[..., Value]


def _get(store: Store, message: Message, ref: str) -> Value:
    return store.value(message.cls, ref, message.field)


def _set(store: Store, message: Message, ref: str, value: Value) -> None:
    store.update(message.cls, ref, **{message.field: value})


def _add_to(store: Store, message: Message, ref: str, key: str, value: Value) -> None:
    with store.lock:
        present = store.value(message.cls, ref, message.field)
        if key in present:
            raise ApiFailure("MAP_DUPLICATE_KEY", message.cls, message.field, ref, key)
        store.update(message.cls, ref, **{message.field: {**present, key: value}})


def _remove_from(store: Store, message: Message, ref: str, key: str) -> None:
    with store.lock:
        present = store.value(message.cls, ref, message.field)
        present.pop(key, None)
        store.update(message.cls, ref, **{message.field: present})


def _add(store: Store, message: Message, ref: str, value: Value) -> None:
    with store.lock:
        present = store.value(message.cls, ref, message.field)
        if value not in present:
            store.update(message.cls, ref, **{message.field: [*present, value]})


def _remove(store: Store, message: Message, ref: str, value: Value) -> None:
    with store.lock:
        present = store.value(message.cls, ref, message.field)
        store.update(message.cls, ref, **{message.field: [item for item in present if item != value]})


def _get_record(store: Store, message: Message, ref: str) -> Value:
    return store.snapshot(message.cls, ref)


def _get_by_uuid(store: Store, message: Message, uuid: str) -> Value:
    return store.by_uuid(message.cls, uuid)


def _get_by_name_label(store: Store, message: Message, label: str) -> Value:
    return store.find(message.cls, name_label=label)


def _get_all(store: Store, message: Message) -> Value:
    return store.refs(message.cls)


def _get_all_records(store: Store, message: Message) -> Value:
    return store.snapshots(message.cls)


def _get_all_records_where(store: Store, message: Message, query: str) -> Value:
    test = compile_query(query, store.schema.classes[message.cls].fields.values())
    return {ref: record for ref, record in _get_all_records(store, message).items() if test(record)}


def _get_all_where(store: Store, message: Message, query: str) -> Value:
    return list(_get_all_records_where(store, message, query))


_ACCESSORS: dict[str, Accessor] = {
    "get": _get,
    "set": _set,
    "add_to": _add_to,
    "remove_from": _remove_from,
    "add": _add,
    "remove": _remove,
    "get_record": _get_record,
    "get_by_uuid": _get_by_uuid,
    "get_by_name_label": _get_by_name_label,
    "get_all": _get_all,
    "get_all_records": _get_all_records,
    "get_all_records_where": _get_all_records_where,
    "get_all_where": _get_all_where,
}
_WRITERS = frozenset({"set", "add_to", "remove_from", "add", "remove"})


def can_answer(message: Message) -> bool:
    """Tell whether a message follows from the schema alone."""
    return message.accessor in _ACCESSORS


def changes(message: Message) -> bool:
    """Tell whether the accessor writes."""
    return message.accessor in _WRITERS


def answer(store: Store, message: Message, args: list[Any]) -> Value:
    """Answer an accessor."""
    return _ACCESSORS[message.accessor](store, message, *args)
