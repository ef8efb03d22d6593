"""Values that XAPI has and Python has not: the null reference and dates as XAPI writes them."""

from __future__ import annotations

import time
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""str, int, float, bool, DateTime, list, dict; references are str."""

NULL = "OpaqueRef:NULL"


class DateTime(str):
    """A moment as XAPI writes it, ``YYYYMMDDTHH:MM:SSZ``; a string of its own type so that it is encoded as a date."""

    __slots__ = ()

    @classmethod
    def of(cls, seconds: float) -> DateTime:
        """Make the text of so many seconds since 1970."""
        return cls(time.strftime("%Y%m%dT%H:%M:%SZ", time.gmtime(seconds)))


class Int32(int):
    """An integer that goes over the wire as ``<i4>``, unlike XAPI's other integers."""


EPOCH = DateTime("19700101T00:00:00Z")


def copy_value(value: Value) -> Value:
    """Copy lists and dicts, deeply; everything else cannot change."""
    kind = type(value)
    if kind is str or kind is bool or kind is int:  # most values by far, and this is called for every one of them
        return value
    if isinstance(value, list):
        return [copy_value(item) for item in value] if value else []
    if isinstance(value, dict):
        return {key: copy_value(item) for key, item in value.items()} if value else {}
    return value
