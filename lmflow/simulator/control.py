"""The control channel: JSON over HTTP on 127.0.0.1, for tests and the demo; never on a port of XAPI."""

from __future__ import annotations

import json
import math
import re
import socketserver
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from lmflow.simulator.audit import PASSWORD, Audit, hide_references
from lmflow.simulator.database.store import Store
from lmflow.simulator.faults import Faults
from lmflow.simulator.registry import ROUTES
from lmflow.simulator.sessions import Sessions


class Controlled(Protocol):
    """What the control channel needs of a pool."""

    audit: Audit
    faults: Faults
    sessions: Sessions
    store: Store
    stopped: threading.Event

    @property
    def real_domains(self) -> Callable[[], dict[str, list[str]]]:
        """What tells where domains really run."""

    def find_host(self, name: str) -> str:
        """Find a host's reference by name, UUID or reference; KeyError."""

    def busy(self) -> AbstractContextManager[None]:
        """Count a request as under way."""

    def dump(self) -> dict[str, Any]:
        """Give what is persistent."""

    def load(self, state: dict[str, Any]) -> None:
        """Replace what is persistent."""


def _get_audit(pool: Controlled, _body: dict[str, Any]) -> Any:
    return pool.audit.to_json()


def _get_state(pool: Controlled, _body: dict[str, Any]) -> Any:
    """Give every object by class and reference; sessions by UUID, since their reference is a secret."""
    view: dict[str, Any] = pool.store.view()
    if "session" in view:
        view["session"] = {record["uuid"]: record for record in view["session"].values()}
    for record in view.get("secret", {}).values():
        record["value"] = PASSWORD
    # The result of Async.host.migrate_receive, for one, has a reference in it.
    return {**hide_references(view, pool.sessions.was_issued), "real": pool.real_domains()}


def _get_secrets(pool: Controlled, _body: dict[str, Any]) -> Any:
    """Give every session reference ever issued, for a test to look for where none may stand."""
    return list(pool.sessions.issued)


_FAULT_KEYS = frozenset({"call", "kind", "nth", "seconds", "host", "progress"})
_HOLD_KEYS = frozenset({"call", "point", "nth", "host"})


def _check_keys(body: dict[str, Any], known: frozenset[str]) -> None:
    if set(body) - known:
        raise ValueError(f"there is no {', '.join(sorted(set(body) - known))}; known: {', '.join(sorted(known))}")


def _host_of(pool: Controlled, body: dict[str, Any]) -> str:
    """Give the reference of the host that a body names; "" when it names none."""
    return pool.find_host(str(body["host"])) if body.get("host") else ""


def _post_faults(pool: Controlled, body: dict[str, Any]) -> Any:
    """Let a fault befall the n-th delivery of a call: ``{"call", "kind", "nth", "seconds", "host", "progress"}``."""
    _check_keys(body, _FAULT_KEYS)
    nth, seconds = int(body.get("nth", 1)), float(body.get("seconds", 0.0))
    progress, host = float(body.get("progress", 0.0)), _host_of(pool, body)
    return pool.faults.add(body["call"], body["kind"], nth, seconds, host=host, progress=progress).to_json()


def _get_faults(pool: Controlled, _body: dict[str, Any]) -> Any:
    """List the faults that wait."""
    return [fault.to_json() for fault in pool.faults.faults()]


def _delete_faults(pool: Controlled, _body: dict[str, Any]) -> Any:
    """Drop the faults that wait, and let go what is held."""
    count = len(pool.faults.faults())
    pool.faults.clear()
    return {"dropped": count}


def _post_hold(pool: Controlled, body: dict[str, Any]) -> Any:
    """Stop the n-th delivery of a call: ``{"call", "point": "request_read|reply_written", "nth", "host"}``."""
    _check_keys(body, _HOLD_KEYS)
    host = _host_of(pool, body)
    return pool.faults.hold(body["call"], body["point"], int(body.get("nth", 1)), host=host).to_json()


def _get_hold(pool: Controlled, _body: dict[str, Any]) -> Any:
    """List the points where calls are, or will be, held."""
    return [hold.to_json() for hold in pool.faults.holds()]


def _post_release(pool: Controlled, _body: dict[str, Any]) -> Any:
    """Let every call go on that is held."""
    return {"released": pool.faults.release()}


def _post_dump(pool: Controlled, body: dict[str, Any]) -> Any:
    """Give all that is persistent, or write it to ``{"file"}``."""
    state = pool.dump()
    if "file" in body:
        Path(body["file"]).write_text(json.dumps(state), "utf-8")
        return {"file": body["file"]}
    return state


def _post_load(pool: Controlled, body: dict[str, Any]) -> Any:
    """Replace all that is persistent by a dump: the body itself, or ``{"file"}``."""
    pool.load(json.loads(Path(body["file"]).read_text("utf-8")) if "file" in body else body)
    return {}


def _post_stop(pool: Controlled, _body: dict[str, Any]) -> Any:
    """End the pool."""
    pool.stopped.set()
    return {}


OWN_ROUTES: dict[tuple[str, str], Callable[[Any, dict[str, Any]], Any]] = {
    ("GET", "/audit"): _get_audit,
    ("GET", "/state"): _get_state,
    ("GET", "/secrets"): _get_secrets,
    ("GET", "/faults"): _get_faults,
    ("POST", "/faults"): _post_faults,
    ("DELETE", "/faults"): _delete_faults,
    ("GET", "/hold"): _get_hold,
    ("POST", "/hold"): _post_hold,
    ("POST", "/release"): _post_release,
    ("POST", "/dump"): _post_dump,
    ("POST", "/load"): _post_load,
    ("POST", "/stop"): _post_stop,
}


_LENGTH = re.compile(r"\A[0-9]{1,9}\Z")


def _refuse_number(text: str) -> float:
    raise ValueError(f"{text} is no number here")


def _read_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _read_body(raw: bytes) -> dict[str, Any]:
    """Read the JSON object that a request brings; ValueError for anything else, NaN and infinities included."""
    if not raw.strip():
        return {}
    body = json.loads(raw, parse_constant=_refuse_number, parse_float=_read_float)
    if not isinstance(body, dict):
        raise ValueError(f"the body is an object, not a {type(body).__name__}")
    return body


class _Handler(BaseHTTPRequestHandler):
    """One request of the control channel."""

    protocol_version = "HTTP/1.1"
    pool: Controlled

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer a POST."""
        self._answer("POST")

    def do_DELETE(self) -> None:
        """Answer a DELETE."""
        self._answer("DELETE")

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def _answer(self, method: str) -> None:
        length = self.headers.get("content-length") or "0"
        if not _LENGTH.match(length):
            self.close_connection = True
            self._reply(400, {"error": f"content-length is a number, not {length!r}"})
            return
        raw = self.rfile.read(int(length))
        route = OWN_ROUTES.get((method, self.path)) or ROUTES.get((method, self.path))
        if route is None:
            self._reply(404, {"error": f"no {method} {self.path}"})
            return
        with self.pool.busy():
            self._run(route, raw)

    def _run(self, route: Callable[[Any, dict[str, Any]], Any], raw: bytes) -> None:
        try:
            self._reply(200, route(self.pool, _read_body(raw)))
        except (ValueError, KeyError, TypeError, OSError, OverflowError, RecursionError) as problem:
            self._reply(400, {"error": f"{type(problem).__name__}: {problem}"})
        except Exception as problem:  # noqa: BLE001 - border: a test wants to see what went wrong in the pool
            traceback.print_exc(file=sys.stderr)
            self._reply(500, {"error": f"{type(problem).__name__}: {problem}"})

    def _reply(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, but nothing of a client that went away: it has nobody to tell, and it may."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ControlChannel:
    """The listener of the control channel; ``port`` is 0 while it is closed."""

    def __init__(self, pool: Controlled) -> None:
        self._pool = pool
        self._server: socketserver.BaseServer | None = None
        self.port = 0

    def start(self, port: int) -> None:
        """Listen on 127.0.0.1; port 0 takes any free one."""
        handler = type("Handler", (_Handler,), {"pool": self._pool})
        server = _Listener(("127.0.0.1", port), handler)
        self._server = server
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), name="control", daemon=True).start()

    def stop(self) -> None:
        """Close the listener."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
