"""A VM's record as one text, the way XAPI keeps it in a snapshot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_GROUPS = re.compile(r"(name|memory|VCPUs|actions|PV|HVM)_(?!bus)")
_NOT_IN_RECORD: dict[str, Any] = {"recommended_guidances": []}
"""Fields of the database that no record on the wire has."""


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.16g}"
    if isinstance(value, Mapping):
        return "(" + " ".join(f"({_quote(key)} {_quote(_write(item))})" for key, item in value.items()) + ")"
    if isinstance(value, list):
        return "(" + " ".join(_quote(_write(item)) for item in value) + ")"
    return str(value)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def write_record(record: Mapping[str, Any], ref: str) -> str:
    """Write a record, its fields under the names of the database, the last letter of the alphabet first."""
    named = {_GROUPS.sub(r"\1__", name, count=1): value for name, value in record.items()}
    named |= {**_NOT_IN_RECORD, "_ref": ref}
    pairs = (f"({_quote(name)} {_quote(_write(named[name]))})" for name in sorted(named, reverse=True))
    return f"({' '.join(pairs)})"
