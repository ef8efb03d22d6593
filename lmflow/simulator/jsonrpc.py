"""JSON-RPC 1.0 and 2.0 as XAPI speaks them at /jsonrpc: integers are numbers, dates are text, void is ""."""

from __future__ import annotations

import functools
import json
from typing import Any

from lmflow.simulator.codec import Encoding, MalformedCall
from lmflow.simulator.values import Value

CONTENT_TYPE = "application/json"


def _write(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _success_1(call_id: Any, value: Value) -> bytes:
    return _write({"result": "" if value is None else value, "error": None, "id": call_id})


def _failure_1(call_id: Any, description: list[str]) -> bytes:
    return _write({"result": None, "error": description, "id": call_id})


def _success_2(call_id: Any, value: Value) -> bytes:
    return _write({"jsonrpc": "2.0", "result": "" if value is None else value, "id": call_id})


def _failure_2(call_id: Any, description: list[str]) -> bytes:
    error = {"code": 1, "message": description[0], "data": description[1:]}
    return _write({"jsonrpc": "2.0", "error": error, "id": call_id})


def parse_call(body: bytes) -> tuple[str, list[Value], Encoding]:
    """Read a call: its name, its parameters and how to answer it. MalformedCall with XAPI's kind of text."""
    try:
        call = json.loads(body)
    except ValueError as error:
        raise MalformedCall(f'Yojson__Common.Json_error("{error}")') from error
    if not isinstance(call, dict):
        raise MalformedCall('Jsonrpc.Malformed_method_request("Invalid request body")')
    for name, kinds in (("id", (str, int)), ("method", (str,))):
        if not isinstance(call.get(name), kinds):
            raise MalformedCall(f"Jsonrpc.Malformed_method_request(\"Invalid field '{name}' in request body\")")
    params = call.get("params", [])
    success, failure = (_success_2, _failure_2) if call.get("jsonrpc") == "2.0" else (_success_1, _failure_1)
    encoding = Encoding(CONTENT_TYPE, functools.partial(success, call["id"]), functools.partial(failure, call["id"]))
    return call["method"], params if isinstance(params, list) else [params], encoding
