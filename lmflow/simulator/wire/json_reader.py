"""Reads JSON and refuses what is none with the texts of XAPI's reader. Source: yojson, read.mll."""

from __future__ import annotations

import json
import re
from typing import Any

from lmflow.simulator.wire.xml_reader import DEPTH_LIMIT, MalformedCall

_SHOWN = 33
"""Characters of what stands in the wrong place that are shown; one more is read."""
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_INT64 = range(-(2**63), 2**63)


def read_json(body: bytes) -> Any:
    """Read one value; of members with one name the first counts. MalformedCall."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        # XAPI reads bytes and would take these; no text of ours can hold them.
        raise MalformedCall(_error("Invalid UTF-8")) from None
    _check_depth(text)
    if not text.strip():
        raise MalformedCall(_error("Blank input data"))
    try:
        found = json.loads(text, strict=False, object_pairs_hook=_first_of_each)
    except json.JSONDecodeError as error:
        raise MalformedCall(_explain(text, error)) from None
    except (ValueError, RecursionError):
        raise MalformedCall('Failure("Int64.of_string")') from None
    _check(found)
    return found


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= DEPTH_LIMIT:
        return
    depth = 0
    for found in re.finditer(r"[\[\]{}]", _STRINGS.sub("", text)):
        depth += 1 if found.group() in "[{" else -1
        if depth > DEPTH_LIMIT:
            raise MalformedCall("Stack_overflow")


def _check(value: Any) -> None:
    """Refuse integers that 64 bits do not hold, and halves of surrogate pairs."""
    if isinstance(value, dict):
        for name, item in value.items():
            _check(name)
            _check(item)
    elif isinstance(value, list):
        for item in value:
            _check(item)
    elif isinstance(value, str):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise MalformedCall(_error("Invalid low surrogate"))
    elif isinstance(value, int) and value not in _INT64:
        raise MalformedCall('Failure("Int64.of_string")')


def _error(text: str) -> str:
    return f'Yojson__Common.Json_error("{text}")'


def _explain(text: str, error: json.JSONDecodeError) -> str:
    """Say what XAPI's reader says where ours says something else; it counts bytes of the line, from 0."""
    place = error.pos
    if error.msg.startswith("Unterminated string") or place >= len(text):
        size = len(text.encode())
        return _place(text, size, size, "Unexpected end of input")
    expected = _expected(text, error)
    if text.startswith("<", place) and error.msg == "Expecting value":
        # To XAPI's reader this is the start of a variant, a thing of its own language.
        place += 1
        expected = "Expected string or identifier but found"
    data = text[place:].encode()
    shown = data[:_SHOWN].decode("utf-8", "ignore")
    start = len(text[:place].encode())
    return _place(text, start + 1, start + min(len(data), _SHOWN + 1), f"{expected} '{shown}'")


def _expected(text: str, error: json.JSONDecodeError) -> str:
    if error.msg == "Expecting ',' delimiter":
        depth = [found.group() for found in re.finditer(r"[\[\]{}]", _STRINGS.sub("", text[: error.pos]))]
        open_at = _innermost(depth)
        return f"Expected ',' or '{'}' if open_at == '{' else ']'}' but found"
    return {
        "Expecting property name enclosed in double quotes": "Expected string or identifier but found",
        "Expecting ':' delimiter": "Expected ':' but found",
        "Extra data": "Junk after end of JSON value:",
    }.get(error.msg, "Invalid token")


def _innermost(brackets: list[str]) -> str:
    """Give the bracket that is still open, "" for none."""
    still_open: list[str] = []
    for bracket in brackets:
        if bracket in "[{":
            still_open.append(bracket)
        elif still_open:
            still_open.pop()
    return still_open[-1] if still_open else ""


def _place(text: str, start: int, end: int, message: str) -> str:
    before = text.encode()[: max(0, start - 1)]
    line = before.count(b"\n") + 1
    bol = before.rfind(b"\n") + 1
    shown = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return _error(f"Line {line}, bytes {start - 1 - bol}-{end - bol}:\\n{shown}")
