"""TaskFlow's details as rows: strict JSON of limited size, or an error that names the value."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from taskflow import exceptions as tf_exceptions
from taskflow.persistence import models

from lmflow.db.persistence.tables import NAME_LENGTH, JsonText

_PLAIN = (str, int, bool, type(None))


class UnstorableError(tf_exceptions.TaskFlowException, ValueError):
    """A value that would not come back from the database as it is. No outage: TaskFlow does not try again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """``max_bytes`` of one value's JSON; ``clean`` has the last look at each text, for secrets."""

    max_bytes: float = math.inf
    clean: Callable[[str], str] = str


def encode_book(book: models.LogBook, rules: Rules) -> dict[str, Any]:
    """Return a logbook's row."""
    row = book.to_dict()
    where = f"the logbook {book.name!r}"
    return {**row, "name": _check_name(row["name"], where), "meta": _encode(row["meta"], f"{where}: meta", rules)}


def encode_flow(flow: models.FlowDetail, rules: Rules) -> dict[str, Any]:
    """Return a flow's row, without its logbook."""
    row = flow.to_dict()
    where = f"the flow {flow.name!r}"
    return {**row, "name": _check_name(row["name"], where), "meta": _encode(row["meta"], f"{where}: meta", rules)}


def encode_atom(atom: models.AtomDetail, rules: Rules) -> dict[str, Any]:
    """Return an atom's row, without its flow and its type. UnstorableError names what cannot be stored."""
    row = atom.to_dict()
    where = f"the atom {atom.name!r}"
    if isinstance(atom, models.RetryDetail):
        row["results"] = [
            (value, {name: _make_failure(failure, rules) for name, failure in failures.items()})
            for value, failures in row["results"]
        ]
    for column in ("meta", "results", "revert_results"):
        row[column] = _encode(row[column], f"{where}: {column}", rules)
    for column in ("failure", "revert_failure"):
        failure = row[column]
        row[column] = None if failure is None else _dump(_make_failure(failure, rules), rules)
    version = row["version"]
    row["version"] = ".".join(map(str, version)) if isinstance(version, (tuple, list)) else version
    row["name"] = _check_name(row["name"], where)
    return row


def _check_name(name: str, where: str) -> str:
    if len(name) > NAME_LENGTH:
        raise UnstorableError(f"{where[:80]}... cannot be stored: a name has at most {NAME_LENGTH} characters")
    return name


def _encode(value: Any, where: str, rules: Rules) -> JsonText | None:
    if value is None:
        return None
    flaw = find_flaw(value, where)
    if flaw:
        raise UnstorableError(f"{flaw} and cannot be stored as JSON")
    text = _dump(value, rules)
    if len(text) > rules.max_bytes:
        raise UnstorableError(f"{where} has {len(text)} bytes as JSON, more than {rules.max_bytes:g}")
    return text


def _dump(value: Any, rules: Rules) -> JsonText:
    return JsonText(rules.clean(json.dumps(value, allow_nan=False)))


def find_flaw(value: Any, where: str) -> str:
    """Return in words what in a value is no strict JSON, '' for nothing. A tuple is a list."""
    if isinstance(value, _PLAIN):
        return ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{where} is {value}"
    if isinstance(value, dict):
        strange = next((key for key in value if not isinstance(key, str)), None)
        if strange is not None:
            return f"{where} has the key {strange!r}, which is no text,"
        flaws = (find_flaw(inner, f"{where}[{key!r}]") for key, inner in value.items())
    elif isinstance(value, (list, tuple)):
        flaws = (find_flaw(inner, f"{where}[{number}]") for number, inner in enumerate(value))
    else:
        return f"{where} is of the type {type(value).__name__}"
    return next((flaw for flaw in flaws if flaw), "")


def _make_failure(failure: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    """Return a failure that can be stored, whatever its exception was made of: it is what went wrong, not data."""
    room = int(min(rules.max_bytes, 1 << 20) // 4)
    return {
        **failure,
        "exception_str": str(failure["exception_str"])[:room],
        "traceback_str": str(failure["traceback_str"] or "")[-room:] or None,
        "exc_args": [_make_argument(each, room) for each in failure.get("exc_args") or ()],
        "causes": [_make_failure(each, rules) for each in failure.get("causes") or ()],
    }


def _make_argument(value: Any, room: int) -> Any:
    if find_flaw(value, "") or len(json.dumps(value)) > room:
        return repr(value)[:room]
    return value
