"""XML-RPC to the byte as XAPI writes it.

Integers are bare text, only ``Int32`` has a tag; void is the empty string. Source: ocaml-rpc, xmlrpc.ml.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lmflow.simulator.database.snapshot import Piece, Snapshot, join
from lmflow.simulator.database.values import DateTime, Int32, Value
from lmflow.simulator.wire.xml_reader import MalformedCall, parse_call

__all__ = [
    "LIST_METHODS",
    "XML",
    "Encoding",
    "MalformedCall",
    "encode_bare",
    "encode_failure",
    "encode_success",
    "encode_value",
    "escape",
    "parse_call",
]

_HEAD = '<?xml version="1.0"?><methodResponse><params><param>'
_TAIL = "</param></params></methodResponse>"
_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"}
_ESCAPES.update({code: "" for code in range(32) if code not in {9, 10, 13}})


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a call is answered: XML-RPC or one of the JSON-RPCs."""

    content_type: str
    success: Callable[[Value], bytes]
    failure: Callable[[list[str]], bytes]


_SPECIAL = re.compile("[" + "".join(re.escape(chr(code)) for code in _ESCAPES) + "]")


def escape(text: str) -> str:
    """Escape text for XML; control characters are dropped."""
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text


@functools.lru_cache(4096)
def _member(name: str) -> str:
    return f"<member><name>{escape(str(name))}</name>"


def _text(value: str) -> str:
    return f"<value>{escape(value)}</value>"


_cached_text = functools.lru_cache(16_384)(_text)
_CACHED_SIZE = 200


def _write_text(value: str, out: list[Piece]) -> None:
    out.append(_cached_text(value) if len(value) < _CACHED_SIZE else _text(value))


def _write_dict(value: dict[str, Value], out: list[Piece]) -> None:
    out.append("<value><struct>")
    for key, item in value.items():
        out.append(_member(key))
        _write(item, out)
        out.append("</member>")
    out.append("</struct></value>")


def _write_list(value: Iterable[Value], out: list[Piece]) -> None:
    out.append("<value><array><data>")
    for item in value:
        _write(item, out)
    out.append("</data></array></value>")


def _encode_record(record: dict[str, Value]) -> bytes:
    out: list[Piece] = []
    _write_dict(record, out)
    return join(out)


_WRITERS: dict[type, Callable[[Any, list[Piece]], None]] = {
    str: _write_text,
    bool: lambda value, out: out.append(f"<value><boolean>{value:d}</boolean></value>"),
    int: lambda value, out: out.append(f"<value>{value}</value>"),
    Int32: lambda value, out: out.append(f"<value><i4>{value:d}</i4></value>"),
    float: lambda value, out: out.append(f"<value><double>{value:.16g}</double></value>"),
    DateTime: lambda value, out: out.append(f"<value><dateTime.iso8601>{escape(value)}</dateTime.iso8601></value>"),
    type(None): lambda _value, out: out.append("<value></value>"),
    Snapshot: lambda value, out: out.append(value.encode("xml", _encode_record)),
    dict: _write_dict,
    list: _write_list,
    tuple: _write_list,
    set: _write_list,
    frozenset: _write_list,
}


def _write(value: Value, out: list[Piece]) -> None:
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise TypeError(f"XAPI has no {type(value).__name__}")
    writer(value, out)


def encode_value(value: Value) -> str:
    """Write one value; None is void."""
    out: list[Piece] = []
    _write(value, out)
    return join(out).decode()


def encode_bare(value: Value) -> bytes:
    """Write a reply without the Status struct (system.listMethods)."""
    out: list[Piece] = [_HEAD]
    _write(value, out)
    out.append(_TAIL)
    return join(out)


def encode_success(value: Value) -> bytes:
    """Write a reply with ``Status: Success``."""
    return encode_bare({"Status": "Success", "Value": value})


def encode_failure(description: list[str]) -> bytes:
    """Write a reply with ``Status: Failure``."""
    return encode_bare({"Status": "Failure", "ErrorDescription": list(description)})


XML = Encoding("text/xml", encode_success, encode_failure)
LIST_METHODS = Encoding("text/xml", encode_bare, encode_failure)
