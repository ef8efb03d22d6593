"""Reads of whole classes over XAPI's JSON-RPC: a third of the bytes, and no XML to parse. Never a changing call.

``json`` of the standard library reads the replies. A faster parser would save little of what is left, and takes more
memory: ``bench/bulk.py`` measures what there is to gain.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

from lmflow.xapi.sdk import LostReplyError, OneShotSession

PATH = "/jsonrpc"

_log = logging.getLogger(__name__)
_BULK = re.compile(r"[A-Za-z_]+\.get_all_records(_where)?|event\.from")
_TYPE = "application/json"
_OK = 200
_ID = 1


def is_bulk(method: str) -> bool:
    """Say whether a call reads whole classes: ``get_all_records``, ``get_all_records_where`` or ``event.from``."""
    return _BULK.fullmatch(method) is not None


class BulkReader:
    """Makes bulk reads in sessions of the SDK, on their connections: over JSON-RPC where the server offers it.

    Integers are numbers then, where the SDK gives text; dates are text, where the SDK has a class for them:
    ``lmflow.xapi.records`` makes the same models of both. A server that gives no JSON-RPC is read by the SDK, and its
    address remembered: one object a pool is to be kept. The caller holds the session's lock.
    """

    def __init__(self) -> None:
        self._offering: set[str] = set()
        self._refusing: set[str] = set()

    def read(self, session: OneShotSession, method: str, args: tuple[Any, ...]) -> Any:
        """Make one bulk read, once, and return its value.

        Raises what a call of the SDK's session raises: NotSentError, LostReplyError, XenAPI.Failure (secrets masked);
        ValueError for a call that is no bulk read: nothing is sent then.
        """
        if not is_bulk(method):
            raise ValueError(f"{method} is no bulk read; it goes over the SDK")
        address = session.carrier.address
        if address not in self._refusing:
            reply = self._ask(session, method, args)
            if reply is not None:
                self._offering.add(address)
                return session.unwrap(reply, method, args)
        value = session.xenapi_request(method, args)
        if address not in self._refusing:
            _log.info("%s: no usable JSON-RPC; the SDK reads", address)
            self._refusing.add(address)
        return value

    def _ask(self, session: OneShotSession, method: str, args: tuple[Any, ...]) -> dict[str, Any] | None:
        """Return the reply in the envelope of XML-RPC; None when it is not JSON-RPC's.

        An HTTP status other than 200 tells that nothing is offered only before it was: later it is trouble.
        """
        call = {"jsonrpc": "2.0", "id": _ID, "method": method, "params": [session.handle or "", *args]}
        started = time.monotonic()
        try:
            status, body = session.carrier.post(PATH, json.dumps(call, ensure_ascii=False).encode(), _TYPE)
        finally:
            _log.debug("%s took %.3f s (JSON-RPC)", method, time.monotonic() - started)
        if status != _OK:
            session.close()
            if session.carrier.address in self._offering:
                raise LostReplyError(f"HTTP {status}")
            return None
        return _parse(body)


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(reply, dict) or reply.get("jsonrpc") != "2.0" or reply.get("id") != _ID:
        return None
    error = reply.get("error")
    if error is None:
        return {"Status": "Success", "Value": reply["result"]} if "result" in reply else None
    if not isinstance(error, dict) or not isinstance(error.get("data"), list) or not error.get("message"):
        return None
    return {"Status": "Failure", "ErrorDescription": [error["message"], *error["data"]]}
