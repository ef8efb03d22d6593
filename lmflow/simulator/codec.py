"""XML-RPC to the byte as XAPI writes it, and what clients send.

Integers are bare text, only ``Int32`` has a tag; void is the empty string. Source: ocaml-rpc, xmlrpc.ml.
"""

from __future__ import annotations

import re
import xml.parsers.expat
import xml.parsers.expat.errors
import xmlrpc.client
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lmflow.simulator.values import DateTime, Int32, Value

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


class MalformedCall(ValueError):  # noqa: N818 - what the client sent, not what went wrong here
    """The body is no XML-RPC call."""


_SPECIAL = re.compile("[" + "".join(re.escape(chr(code)) for code in _ESCAPES) + "]")


def escape(text: str) -> str:
    """Escape text for XML; control characters are dropped."""
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text


def _write_dict(value: dict[str, Value], out: list[str]) -> None:
    out.append("<value><struct>")
    for key, item in value.items():
        out.append(f"<member><name>{escape(str(key))}</name>")
        _write(item, out)
        out.append("</member>")
    out.append("</struct></value>")


def _write_list(value: Iterable[Value], out: list[str]) -> None:
    out.append("<value><array><data>")
    for item in value:
        _write(item, out)
    out.append("</data></array></value>")


_WRITERS: dict[type, Callable[[Any, list[str]], None]] = {
    str: lambda value, out: out.append(f"<value>{escape(value)}</value>"),
    bool: lambda value, out: out.append(f"<value><boolean>{int(value)}</boolean></value>"),
    int: lambda value, out: out.append(f"<value>{value}</value>"),
    Int32: lambda value, out: out.append(f"<value><i4>{int(value)}</i4></value>"),
    float: lambda value, out: out.append(f"<value><double>{value:.16g}</double></value>"),
    DateTime: lambda value, out: out.append(f"<value><dateTime.iso8601>{value}</dateTime.iso8601></value>"),
    type(None): lambda _value, out: out.append("<value></value>"),
    dict: _write_dict,
    list: _write_list,
    tuple: _write_list,
    set: _write_list,
    frozenset: _write_list,
}


def _write(value: Value, out: list[str]) -> None:
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise TypeError(f"XAPI has no {type(value).__name__}")
    writer(value, out)


def encode_value(value: Value) -> str:
    """Write one value; None is void."""
    out: list[str] = []
    _write(value, out)
    return "".join(out)


def encode_bare(value: Value) -> bytes:
    """Write a reply without the Status struct (system.listMethods)."""
    return (_HEAD + encode_value(value) + _TAIL).encode()


def encode_success(value: Value) -> bytes:
    """Write a reply with ``Status: Success``."""
    return encode_bare({"Status": "Success", "Value": value})


def encode_failure(description: list[str]) -> bytes:
    """Write a reply with ``Status: Failure``."""
    return encode_bare({"Status": "Failure", "ErrorDescription": list(description)})


XML = Encoding("text/xml", encode_success, encode_failure)
LIST_METHODS = Encoding("text/xml", encode_bare, encode_failure)


_CODES = xml.parsers.expat.errors.codes
_XMLM = {
    _CODES[xml.parsers.expat.errors.XML_ERROR_NO_ELEMENTS]: "unexpected end of input",
    _CODES[xml.parsers.expat.errors.XML_ERROR_UNCLOSED_TOKEN]: "unexpected end of input",
    _CODES[xml.parsers.expat.errors.XML_ERROR_SYNTAX]: "expected root element",
    _CODES[xml.parsers.expat.errors.XML_ERROR_INVALID_TOKEN]: "malformed character stream",
}
"""What XAPI's parser says where ours says something else."""


def _plain(value: Any) -> Value:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, xmlrpc.client.DateTime):
        return DateTime(value.value)
    if isinstance(value, xmlrpc.client.Binary):
        return value.data.decode("utf-8", "replace")
    return value


def parse_call(body: bytes) -> tuple[str, list[Value]]:
    """Read a call: its name and parameters. MalformedCall with XAPI's kind of text."""
    try:
        params, method = xmlrpc.client.loads(body)
    except xml.parsers.expat.ExpatError as error:
        text = _XMLM.get(error.code) or xml.parsers.expat.ErrorString(error.code)
        raise MalformedCall(f'Xmlm.Error({error.lineno}:{error.offset + 1}, "{text}")') from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, xmlrpc.client.Error) as error:
        raise MalformedCall(f"Xmlrpc.Parse_error({type(error).__name__})") from error
    if method is None:
        raise MalformedCall("Xmlrpc.Parse_error(no methodName)")
    return method, [_plain(param) for param in params]
