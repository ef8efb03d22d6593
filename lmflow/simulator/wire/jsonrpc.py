"""JSON-RPC 1.0 and 2.0 as XAPI speaks them at /jsonrpc: integers are numbers, dates are text, void is "".

Source: ocaml-rpc, jsonrpc.ml.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring
from typing import Any

from lmflow.simulator.database.snapshot import Piece, Snapshot, join
from lmflow.simulator.database.values import DateTime, Int32, Value
from lmflow.simulator.wire.codec import Encoding, MalformedCall
from lmflow.simulator.wire.json_reader import read_json

CONTENT_TYPE = "application/json"


def _text(value: str) -> str:
    return encode_basestring(value).replace("\x7f", "\\u007f")


_cached_text = functools.lru_cache(16_384)(_text)
_CACHED_SIZE = 200


def _write_text(value: str, out: list[Piece]) -> None:
    out.append(_cached_text(value) if len(value) < _CACHED_SIZE else _text(value))


def _write_dict(value: dict[str, Value], out: list[Piece]) -> None:
    before = "{"
    for name, item in value.items():
        out.append(f"{before}{_cached_text(name)}:")
        _write(item, out)
        before = ","
    out.append("}" if value else "{}")


def _write_list(value: Iterable[Value], out: list[Piece]) -> None:
    before = "["
    for item in value:
        out.append(before)
        _write(item, out)
        before = ","
    out.append("[]" if before == "[" else "]")


def _encode(value: dict[str, Value]) -> bytes:
    out: list[Piece] = []
    _write_dict(value, out)
    return join(out)


_WRITERS: dict[type, Callable[[Any, list[Piece]], None]] = {
    str: _write_text,
    DateTime: _write_text,
    bool: lambda value, out: out.append("true" if value else "false"),
    int: lambda value, out: out.append(str(value)),
    Int32: lambda value, out: out.append(f"{value:d}"),
    float: lambda value, out: out.append(json.dumps(value)),
    type(None): lambda _value, out: out.append("null"),
    Snapshot: lambda value, out: out.append(value.encode("json", _encode)),
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


def _success_1(call_id: Any, value: Value) -> bytes:
    return _encode({"result": "" if value is None else value, "error": None, "id": call_id})


def _failure_1(call_id: Any, description: list[str]) -> bytes:
    return _encode({"result": None, "error": description, "id": call_id})


def _success_2(call_id: Any, value: Value) -> bytes:
    return _encode({"jsonrpc": "2.0", "result": "" if value is None else value, "id": call_id})


def _failure_2(call_id: Any, description: list[str]) -> bytes:
    error = {"code": 1, "message": description[0], "data": description[1:]}
    return _encode({"jsonrpc": "2.0", "error": error, "id": call_id})


def _refuse(text: str) -> MalformedCall:
    return MalformedCall(f'Jsonrpc.Malformed_method_request("{text}")')


def _invalid(field: str) -> MalformedCall:
    return _refuse(f"Invalid field '{field}' in request body")


def _params(call: dict[str, Any], *, is_second: bool) -> list[Value]:
    if not is_second and "params" not in call:
        raise _refuse("Required field params is missing")
    params = call.get("params")
    if isinstance(params, list):
        return params
    if is_second and params is None:
        return []
    if is_second and isinstance(params, dict):
        return [params]
    raise _invalid("params")


def parse_call(body: bytes) -> tuple[str, list[Value], Encoding]:
    """Read a call: its name, its parameters and how to answer it. MalformedCall with XAPI's kind of text."""
    call = read_json(body)
    if not isinstance(call, dict):
        raise _refuse("Invalid request body")
    if "method" not in call:
        raise _refuse("Required field method is missing")
    if not isinstance(call["method"], str):
        raise _invalid("method")
    if call.get("jsonrpc", "2.0") != "2.0":
        raise _invalid("jsonrpc")
    is_second = "jsonrpc" in call
    params = _params(call, is_second=is_second)
    call_id = call.get("id")
    if not isinstance(call_id, str | int) or isinstance(call_id, bool):
        raise _invalid("id")
    success, failure = (_success_2, _failure_2) if is_second else (_success_1, _failure_1)
    encoding = Encoding(CONTENT_TYPE, functools.partial(success, call_id), functools.partial(failure, call_id))
    return call["method"], params, encoding
