"""Does a parameter have the type that the model asks for? The refusals are worded as XAPI words them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.schema import Schema, split_map, split_set
from lmflow.simulator.values import DateTime, Value


def show(value: Value) -> str:
    """Write a value the way XAPI's marshaller shows it in a refusal, for example ``S(yes)`` or ``I(5)``."""
    if isinstance(value, DateTime):
        return f"DateTime({value})"
    if isinstance(value, list):
        return "[" + ";".join(show(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ";".join(f"{key}:{show(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return f"B({str(value).lower()})"
    if value is None:
        return "N"
    letter = {str: "S", int: "I", float: "F"}.get(type(value), "S")
    return f"{letter}({value})"


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
            return int(value)
        except ValueError:
            raise _refuse("int_of_string") from None
    raise _refuse(f"Expected int, got '{show(value)}'")


def _float(value: Value) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
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


def accept(schema: Schema, type_text: str, value: Value) -> Value:
    """Give the value as the type wants it; INTERNAL_ERROR when it cannot be that."""
    if type_text in _SIMPLE:
        return _SIMPLE[type_text](value)
    if type_text.endswith(" ref"):
        return _string(value)
    pair = split_map(type_text)
    if pair is not None:
        if not isinstance(value, dict):
            raise _refuse(f"Expecting Rpc.Dict, but found '{show(value)}'")
        return {key: accept(schema, pair[1], item) for key, item in value.items()}
    element = split_set(type_text)
    if element is not None:
        if not isinstance(value, list):
            raise _refuse(f"Expecting Rpc.Enum, but found '{show(value)}'")
        return [accept(schema, element, item) for item in value]
    if type_text.startswith("enum "):
        if value not in schema.enums.get(type_text[5:], frozenset()):
            raise _refuse("Unknown tag/contents")
        return value
    return value
