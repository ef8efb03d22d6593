"""Does a parameter have the type that the model asks for? The refusals are worded as XAPI words them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmflow.simulator.database.numerals import parse_float, parse_int64
from lmflow.simulator.database.schema import Schema, split_map, split_set
from lmflow.simulator.database.values import DateTime, Value, copy_value
from lmflow.simulator.failures import ApiFailure

_LETTERS: dict[type, str] = {DateTime: "D", bool: "B", int: "I", float: "F"}


def show(value: Value) -> str:
    """Write a value the way XAPI's marshaller shows it in a refusal, for example ``S(yes)`` or ``I(5)``."""
    if isinstance(value, list):
        return "[" + ";".join(show(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ";".join(f"{key}:{show(item)}" for key, item in value.items()) + "}"
    if value is None:
        return "N"
    text = {bool: str(value).lower(), float: f"{value:g}" if isinstance(value, float) else ""}.get(type(value), value)
    return f"{_LETTERS.get(type(value), 'S')}({text})"


def _refuse(text: str) -> ApiFailure:
    return ApiFailure("INTERNAL_ERROR", f'Failure("{text}")')


def _string(value: Value) -> str:
    if isinstance(value, str) and not isinstance(value, DateTime):
        return value
    raise _refuse(f"Expected string, got '{show(value)}'")


def _int(value: Value) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return parse_int64(value)
        except ValueError:
            raise _refuse("Int64.of_string") from None
    raise _refuse(f"Expected int64, got '{show(value)}'")


def _float(value: Value) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return parse_float(value)
        except ValueError:
            raise _refuse("float_of_string") from None
    raise _refuse(f"Expected float, got '{show(value)}'")


def _bool(value: Value) -> bool:
    if isinstance(value, bool):
        return value
    raise _refuse(f"Expected bool, got '{show(value)}'")


def _date(value: Value) -> DateTime:
    if isinstance(value, str):
        return DateTime(value)
    raise _refuse(f"Expected datetime, got '{show(value)}'")


_SIMPLE: dict[str, Callable[[Any], Value]] = {
    "string": _string,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "datetime": _date,
}


def _record(schema: Schema, cls: str, value: Value) -> dict[str, Value]:
    """Give what somebody wants to create: the fields that may be given, those left out as the model has them."""
    if not isinstance(value, dict):
        raise _refuse("bad __structure")
    made = {}
    for field in schema.classes[cls].fields.values():
        if field.is_given and field.name in value:
            made[field.name] = accept(schema, field.type, value[field.name])
        elif field.is_given and field.is_required:
            raise ApiFailure("INTERNAL_ERROR", f'Server_helpers.Dispatcher_FieldNotFound("{field.name}")')
        elif field.is_given:
            made[field.name] = copy_value(field.default)
    return made


def _accept_map(schema: Schema, pair: tuple[str, str], value: Value) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise _refuse(f"Expecting Rpc.Dict, but found '{show(value)}'")
    names = [accept(schema, pair[0], key) if pair[0].startswith("enum ") else key for key in value]
    return {name: accept(schema, pair[1], item) for name, item in zip(names, value.values(), strict=True)}


def _accept_set(schema: Schema, element: str, value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise _refuse(f"Expecting Rpc.Enum, but found '{show(value)}'")
    return [accept(schema, element, item) for item in value]


def _accept_single(schema: Schema, type_text: str, value: Value) -> Value:
    if type_text.startswith("enum "):
        if not isinstance(value, str) or value not in schema.enums.get(type_text[5:], frozenset()):
            raise _refuse("Unknown tag/contents")
        return value
    return _record(schema, type_text.removesuffix(" record"), value) if type_text.endswith(" record") else value


def accept(schema: Schema, type_text: str, value: Value) -> Value:
    """Give the value as the type wants it; INTERNAL_ERROR when it cannot be that."""
    if type_text in _SIMPLE or type_text.endswith(" ref"):
        return _SIMPLE.get(type_text, _string)(value)
    pair = split_map(type_text)
    if pair is not None:
        return _accept_map(schema, pair, value)
    element = split_set(type_text)
    return _accept_single(schema, type_text, value) if element is None else _accept_set(schema, element, value)
