"""What classes, fields and messages the pool has; all of it comes from data."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

from lmflow.simulator.database.values import EPOCH, NULL, DateTime, Value, copy_value

_CUSTOM_MAP_ITEM = re.compile(r'"([^"]*)" -> "([^"]*)"')


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a class; ``type`` is written as in XAPI's model, for example ``(string -> string) map``.

    ``is_required``: who creates an object has to give it. ``db_name`` is what the database and the query language
    call it: ``name__label``.
    """

    name: str
    type: str
    qualifier: str
    default: Value
    is_required: bool = False
    db_name: str = ""

    @property
    def is_given(self) -> bool:
        """Whether who creates an object may give it; what is ``RO/runtime`` follows from the object's life."""
        return self.qualifier in {"RW", "RO/constructor"}


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a message, the session left out."""

    name: str
    type: str
    required: bool = True
    default: Value = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A call that a class answers; ``field`` names the field that a derived accessor reads or writes.

    ``roles`` is the code of the set of roles that may call it (``roles.json``); nobody but root may when it is empty.
    ``is_removed``: it is there to say that it is gone. ``is_hidden``: hosts call it among themselves; what it takes
    and gives is not known.
    """

    cls: str
    name: str
    params: tuple[Param, ...]
    result: str
    is_async: bool = False
    needs_session: bool = True
    accessor: str = ""
    field: str = ""
    roles: str = "r"
    is_removed: bool = False
    is_hidden: bool = False

    @property
    def wire_name(self) -> str:
        """The name on the wire, ``Class.message``."""
        return f"{self.cls}.{self.name}"


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """A class of objects: its fields in the order of its records, and its messages by name."""

    name: str
    fields: Mapping[str, Field]
    messages: Mapping[str, Message]
    has_events: bool = True


def split_map(type_text: str) -> tuple[str, str] | None:
    """Split ``(K -> V) map`` into K and V; None for any other type."""
    if not (type_text.startswith("(") and type_text.endswith(") map")):
        return None
    key, _, value = type_text[1:-5].partition(" -> ")
    return key, value


def split_set(type_text: str) -> str | None:
    """Give the element type of ``T set``; None for any other type."""
    return type_text[:-4] if type_text.endswith(" set") else None


def _parse_compound(text: str, *, is_map: bool) -> Value:
    if is_map:
        return dict(_CUSTOM_MAP_ITEM.findall(text))
    inner = text.strip("{}")
    return [int(inner) if inner.lstrip("-").isdigit() else inner] if inner and " -> " not in inner else []


def make_default(type_text: str, text: str | None) -> Value:
    """Make the value a field of this type has when nobody gave one; ``text`` is the model's default or None."""
    is_map = split_map(type_text) is not None
    if is_map or split_set(type_text) is not None:
        return _parse_compound(text or "{}", is_map=is_map)
    if type_text.endswith(" ref"):
        return text if text and text.startswith("OpaqueRef:") else NULL
    simple: dict[str, Any] = {
        "bool": lambda: text == "true",
        "int": lambda: int(text or "0"),
        "float": lambda: float(text or "0"),
        "datetime": lambda: DateTime(text) if text else EPOCH,
    }
    if type_text in simple:
        return simple[type_text]()
    return (text or "").strip('"') if text != "Null" else ""


def _derive(cls: str, fields: Mapping[str, Field]) -> Iterator[Message]:
    ref = f"{cls} ref"
    self_param = Param("self", ref)
    yield Message(cls, "get_record", (self_param,), f"{cls} record", accessor="get_record")
    if "uuid" in fields:
        yield Message(cls, "get_by_uuid", (Param("uuid", "string"),), ref, accessor="get_by_uuid")
    if "name_label" in fields:
        yield Message(cls, "get_by_name_label", (Param("label", "string"),), f"{ref} set", accessor="get_by_name_label")
    records, where = f"({ref} -> {cls} record) map", (Param("expr", "string"),)
    yield Message(cls, "get_all", (), f"{ref} set", accessor="get_all")
    yield Message(cls, "get_all_where", where, f"{ref} set", accessor="get_all_where")
    yield Message(cls, "get_all_records_where", where, records, accessor="get_all_records_where")
    yield Message(cls, "get_all_records", (), records, accessor="get_all_records")
    for item in fields.values():
        yield Message(cls, f"get_{item.name}", (self_param,), item.type, accessor="get", field=item.name)
        if item.qualifier == "RW":
            yield from _derive_writers(cls, item, self_param)


def _derive_writers(cls: str, item: Field, self_param: Param) -> Iterator[Message]:
    value = Param("value", item.type)
    yield Message(cls, f"set_{item.name}", (self_param, value), "void", accessor="set", field=item.name)
    pair = split_map(item.type)
    if pair is not None:
        key, element = Param("key", pair[0]), Param("value", pair[1])
        yield Message(cls, f"add_to_{item.name}", (self_param, key, element), "void", False, True, "add_to", item.name)
        yield Message(
            cls, f"remove_from_{item.name}", (self_param, key), "void", accessor="remove_from", field=item.name
        )
    kind = split_set(item.type)
    if kind is not None:
        element = Param("value", kind)
        yield Message(cls, f"add_{item.name}", (self_param, element), "void", accessor="add", field=item.name)
        yield Message(cls, f"remove_{item.name}", (self_param, element), "void", accessor="remove", field=item.name)


def _declared(cls: str, name: str, data: Mapping[str, Any], derived: Mapping[str, Message]) -> Message:
    params = tuple(
        Param(item[0], item[1]) if len(item) == 2 else Param(item[0], item[1], False, _optional(item[1], item[2]))
        for item in data["params"]
    )
    known = derived.get(name)
    accessor, field_name = (known.accessor, known.field) if known else _guess_accessor(name, len(params))
    return Message(
        cls, name, params, data["result"], data.get("async", False), data.get("session", True), accessor, field_name
    )


def _guess_accessor(name: str, count: int) -> tuple[str, str]:
    """Recognise the setters that the model declares one by one (fields that are not RW for everybody)."""
    for prefix, accessor, arity in (
        ("set_", "set", 2),
        ("add_to_", "add_to", 3),
        ("remove_from_", "remove_from", 2),
        ("add_", "add", 2),
        ("remove_", "remove", 2),
        ("get_", "get", 1),
    ):
        if name.startswith(prefix) and count == arity:
            return accessor, name[len(prefix) :]
    return "", ""


def _optional(type_text: str, text: str | None) -> Value:
    found = re.search(r'V(?:String|Enum) "([^"]*)"|V(?:Bool|Int|Float) \(?(-?[\w.]+)', text or "")
    plain = (found.group(1) if found.group(1) is not None else found.group(2).rstrip("L")) if found else None
    return make_default(type_text, plain)


def _make_field(name: str, data: tuple[str, str, str | None], namespaces: Collection[str]) -> Field:
    type_text, qualifier, default = data
    space, _, rest = name.partition("_")
    if name.startswith("API_version_"):
        space, rest = "API_version", name.removeprefix("API_version_")
    db_name = f"{space}__{rest}" if rest and space in namespaces else name
    return Field(name, type_text, qualifier, make_default(type_text, default), default is None, db_name)


def _make_messages(name: str, data: Mapping[str, Any], fields: Mapping[str, Field]) -> Iterator[Message]:
    """Make the messages of a class: those that follow from its fields, and those that are declared one by one."""
    derived = {m.name: m for m in _derive(name, fields)}
    declared = data.get("messages", {})
    calls = data.get("calls", dict.fromkeys([*derived, *declared], "r"))
    for message_name, roles in calls.items():
        about = declared.get(message_name, {})
        message = _declared(name, message_name, about, derived) if about else derived[message_name]
        if message.field and message.field not in fields:
            message = replace(message, accessor="", field="")
        removed, hidden = about.get("removed", False), about.get("hidden", False)
        removed = removed or message_name in data.get("removed", ())
        yield replace(message, roles=roles, is_removed=removed, is_hidden=hidden)


def _make_class(name: str, data: Mapping[str, Any]) -> ObjectClass:
    spaces = data.get("namespaces", ())
    fields = {field_name: _make_field(field_name, about, spaces) for field_name, about in data["fields"].items()}
    messages = {message.name: message for message in _make_messages(name, data, fields)}
    return ObjectClass(name, fields, messages, data.get("events", True))


@dataclass(frozen=True, slots=True)
class Schema:
    """All classes of the pool, their enumerations and which list field mirrors which reference field."""

    classes: Mapping[str, ObjectClass]
    enums: Mapping[str, frozenset[str]]
    listed_by: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """(class, reference field) -> (other class, its list field)"""

    @classmethod
    def make(cls, model: Mapping[str, Any], relations: Mapping[str, Any]) -> Schema:
        """Make a schema from the parsed data files."""
        classes = {name: _make_class(name, data) for name, data in model["classes"].items()}
        declared = [data.get("enums", {}) for data in model["classes"].values()]
        enums = {name: frozenset(values) for group in declared for name, values in group.items()}
        listed_by = {}
        for single, many in relations["one_to_many"]:
            single_class, _, single_field = single.partition(".")
            many_class, _, many_field = many.partition(".")
            listed_by[single_class, single_field] = (many_class, many_field)
        return cls(classes, enums, listed_by)

    @classmethod
    def load(cls, extra_classes: Mapping[str, Any] | None = None) -> Schema:
        """Load the shipped data; ``extra_classes`` are added in the form of ``model.json``."""
        if not extra_classes:
            return _load_shipped()
        model = _read("model.json")
        model["classes"].update(extra_classes)
        return cls.make(model, _read("relations.json"))

    def find_message(self, wire_name: str) -> Message | None:
        """Find a message by ``Class.name`` or ``Class_name``, exactly spelt."""
        cls, _, name = wire_name.partition(".")
        if cls in self.classes and name in self.classes[cls].messages:
            return self.classes[cls].messages[name]
        if "." not in wire_name:
            for known in self.classes.values():
                if wire_name.startswith(known.name + "_") and wire_name[len(known.name) + 1 :] in known.messages:
                    return known.messages[wire_name[len(known.name) + 1 :]]
        return None

    def make_record(self, cls: str) -> dict[str, Value]:
        """Make a record of defaults."""
        return {item.name: copy_value(item.default) for item in self.classes[cls].fields.values()}


def _read(name: str) -> dict[str, Any]:
    text = (resources.files("lmflow.simulator") / "data" / name).read_text("utf-8")
    return dict(json.loads(text))


@cache
def _load_shipped() -> Schema:
    return Schema.make(_read("model.json"), _read("relations.json"))
