"""From HTTP to calls and back: the audit log, faults and holds of every request."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lmflow.simulator.audit import Entry, clean, mask
from lmflow.simulator.database.values import Value
from lmflow.simulator.dispatch import ASYNC, Call, Dispatcher
from lmflow.simulator.failures import ApiFailure, ConnectionDrop
from lmflow.simulator.faults import TASK_KINDS, Dribble, Fault, cut, reset
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.wire import downloads, jsonrpc, thumbprint
from lmflow.simulator.wire.codec import LIST_METHODS, XML, Encoding, MalformedCall, parse_call
from lmflow.simulator.wire.http1 import (
    CROSS_ORIGIN,
    HttpReply,
    HttpRequest,
    forbidden,
    not_implemented,
    server_error,
    unauthorised,
    unavailable,
)

_TASK_HEADER = "x-http-other-config-"
WITNESS_PATH = "/services/xenops"
JSON_PATH = "/jsonrpc"
_DELIVERIES = {"reset_after": reset, "truncated": cut}


def _answer_options(request: HttpRequest) -> HttpReply:
    """Answer a browser's question whether it may call; the headers it asks for are always allowed."""
    asked = request.headers.get("access-control-request-headers")
    allowed = f"{asked}, X-Requested-With" if asked is not None else "X-Requested-With"
    headers = {"Access-Control-Allow-Headers": allowed, "Access-Control-Allow-Methods": "PUT"}
    return HttpReply(200, headers={**CROSS_ORIGIN, **headers})


@contextmanager
def _settling(entry: Entry) -> Iterator[None]:
    """Write down what becomes of a call that ends without an outcome of its own."""
    outcome = "http_500"
    try:
        yield
    except ConnectionDrop:
        outcome = "closed"
        raise
    finally:
        if not entry.outcome:
            entry.outcome = outcome
            entry.effect = bool(entry.effect)


class Wire:
    """Answers HTTP requests of all hosts."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._dispatcher = Dispatcher(kernel)

    def answer(self, request: HttpRequest) -> HttpReply:
        """Answer a request; ConnectionDrop when it gets no reply."""
        try:
            return self._route(request)
        except ConnectionDrop:
            raise
        except Exception as error:  # noqa: BLE001 - border: the thread of a connection must outlive it
            traceback.print_exc(file=sys.stderr)
            return server_error(f"{type(error).__name__}: {error}")

    def _route(self, request: HttpRequest) -> HttpReply:
        if request.method == "OPTIONS":
            return _answer_options(request)
        if request.method == "GET" and downloads.is_known(request.path):
            return downloads.answer(self._kernel, request)
        if request.method in {"GET", "PUT", "CONNECT"}:
            return forbidden()
        if request.method != "POST":
            return not_implemented(request.method)
        if request.path == WITNESS_PATH:
            return self._ask_witness(request)
        return self._answer_call(request)

    # -- XML-RPC and JSON-RPC

    def _answer_call(self, request: HttpRequest) -> HttpReply:
        try:
            name, params, encoding = self._parse(request)
        except MalformedCall as problem:
            self._begin(request, "", []).outcome = "http_500"
            return server_error(str(problem))
        call_name = self._canonical(name)
        entry = self._begin(request, call_name, params)
        with _settling(entry):
            return self._carry_out(request, call_name, Call(request.host_ref, name, params, entry), encoding)

    def _carry_out(self, request: HttpRequest, call_name: str, call: Call, encoding: Encoding) -> HttpReply:
        entry = call.entry
        self._kernel.faults.pass_point(call_name, "request_read", request.host_ref)
        due = self._kernel.faults.take(call_name, request.host_ref)
        refusal = self._befall_before(due, request, entry, call.params)
        if refusal is not None:
            return refusal
        task_fault = next((fault for fault in due if fault.kind in TASK_KINDS), None)
        call = replace(call, headers=self._task_headers(request), task_fault=task_fault)
        body = self._perform(call, encoding)
        asked = thumbprint.make_header(self._kernel, request.headers, entry.outcome)
        reply = HttpReply(200, body, encoding.content_type, {**CROSS_ORIGIN, **asked})
        self._befall_after(due, entry, reply)
        self._kernel.faults.pass_point(call_name, "reply_written", request.host_ref)
        return reply

    def _canonical(self, name: str) -> str:
        """Spell a call as ``Class.message``, with ``Async.`` if it had it; unknown names stay as they came."""
        plain = name.removeprefix(ASYNC)
        message = self._kernel.schema.find_message(plain)
        return name if message is None else name[: len(name) - len(plain)] + message.wire_name

    @staticmethod
    def _parse(request: HttpRequest) -> tuple[str, list[Value], Encoding]:
        if request.path.startswith(JSON_PATH):
            return jsonrpc.parse_call(request.body)
        name, params = parse_call(request.body)
        return name, params, LIST_METHODS if name == "system.listMethods" else XML

    def _perform(self, call: Call, encoding: Encoding) -> bytes:
        try:
            value = self._dispatcher.answer(call)
        except ApiFailure as failure:
            call.entry.outcome = failure.code
            if call.entry.effect is None:
                call.entry.effect = False
            return encoding.failure(failure.description)
        call.entry.outcome = "ok"
        if call.name == "system.listMethods":
            call.entry.effect = False
        return encoding.success(value)

    def _begin(self, request: HttpRequest, name: str, params: list[Value]) -> Entry:
        kernel = self._kernel
        message = kernel.schema.find_message(name.removeprefix(ASYNC))
        session = params[0] if params and isinstance(params[0], str) else ""
        was_issued = kernel.sessions.was_issued
        masked, name = mask(message, params, was_issued), clean(name, was_issued)
        return kernel.audit.begin(self._host_name(request), name, masked, self._session_uuid(session))

    def _host_name(self, request: HttpRequest) -> str:
        return str(self._kernel.store.value("host", request.host_ref, "name_label"))

    def _session_uuid(self, ref: str) -> str:
        """Give the UUID by which the audit log may name a session; "" for none."""
        with self._kernel.store.lock:
            known = self._kernel.store.exists("session", ref)
            return str(self._kernel.store.value("session", ref, "uuid")) if known else ""

    @staticmethod
    def _task_headers(request: HttpRequest) -> dict[str, str]:
        start = len(_TASK_HEADER)
        return {name[start:]: value for name, value in request.headers.items() if name.startswith(_TASK_HEADER)}

    # -- faults

    def _befall_before(
        self, due: list[Fault], request: HttpRequest, entry: Entry, params: list[Value]
    ) -> HttpReply | None:
        """Let faults befall a call before it can have an effect; a reply if there is one already.

        ConnectionDrop when the connection went while the call waited: its host is down, or has lost its power.
        """
        for fault in due:
            if fault.kind == "delay":
                request.dropped.wait(self._real_seconds(fault))
            elif fault.kind in {"close_before", "hang"}:
                if fault.kind == "hang":
                    request.dropped.wait(self._real_seconds(fault) if fault.seconds else None)
                raise ConnectionDrop
            elif fault.kind == "reset_before":
                entry.outcome, entry.effect = "closed", False
                return HttpReply(200, deliver=reset)
            elif fault.kind in {"http_500", "http_503"}:
                entry.outcome, entry.effect = fault.kind, False
                return server_error("Failure(fault)") if fault.kind == "http_500" else unavailable()
            elif fault.kind == "session_invalid":
                self._end_session(params)
        if request.dropped.is_set():
            raise ConnectionDrop
        return None

    def _real_seconds(self, fault: Fault) -> float:
        return min(self._kernel.clock.real(fault.seconds), threading.TIMEOUT_MAX)

    def _befall_after(self, due: list[Fault], entry: Entry, reply: HttpReply) -> None:
        """Lose or spoil the reply of a call that has had its effect."""
        for fault in due:
            if fault.kind in {"close_after", "reset_after", "truncated"}:
                entry.outcome = f"{entry.outcome}, reply lost"
            if fault.kind == "close_after":
                raise ConnectionDrop
            if fault.kind in _DELIVERIES:
                reply.deliver = _DELIVERIES[fault.kind]
            elif fault.kind == "slow_reply":
                reply.deliver, reply.close = Dribble(self._kernel.clock, fault.seconds), True

    def _end_session(self, params: list[Any]) -> None:
        """End the session of a call, so that this call and all later ones of it are refused."""
        sessions = self._kernel.sessions
        if params and isinstance(params[0], str) and sessions.is_valid(params[0]):
            sessions.logout(params[0])

    # -- the witness

    def _ask_witness(self, request: HttpRequest) -> HttpReply:
        session = request.query("session_id")
        try:
            name, params = parse_call(request.body)
        except MalformedCall as problem:
            name, params, broken = "", [], str(problem)
        else:
            broken = ""
        was_issued = self._kernel.sessions.was_issued
        masked, name = clean(params, was_issued), clean(f"xenops:{name}", was_issued)
        uuid = self._session_uuid(session or "")
        entry = self._kernel.audit.begin(self._host_name(request), name, masked, uuid)
        entry.effect = False
        with _settling(entry):
            return self._carry_to_witness(request, entry, session, broken)

    def _carry_to_witness(self, request: HttpRequest, entry: Entry, session: str | None, broken: str) -> HttpReply:
        name = entry.method
        self._kernel.faults.pass_point(name, "request_read", request.host_ref)
        due = self._kernel.faults.take(name, request.host_ref)
        refusal = self._befall_before(due, request, entry, [session])
        if refusal is not None:
            return refusal
        if broken:
            entry.outcome = "http_500"
            return server_error(broken)
        if self._kernel.witness is None:
            entry.outcome = "http_401"
            return unauthorised()
        status, headers, body = self._kernel.witness(request.host_ref, session, request.body)
        entry.outcome = "ok" if status == 200 else f"http_{status}"
        page = {401: unauthorised, 403: forbidden}.get(status)
        reply = page() if page else HttpReply(status, body, "", headers, close=status != 200)
        self._befall_after(due, entry, reply)
        self._kernel.faults.pass_point(name, "reply_written", request.host_ref)
        return reply
