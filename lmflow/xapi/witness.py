"""Ask a host's own xenopsd, read-only, what runs there: the only answer that stays true after a toolstack restart.

The end point is the one XAPI's own migrations use. Its URL carries the session, so nothing in here lets an
exception, a log line or a result hold it. Source: recorded from a real pool; the end point is not documented.
"""

from __future__ import annotations

import http.client
import logging
import re
import time
import urllib.parse
import xmlrpc.client
import zlib
from collections.abc import Sequence
from typing import Any
from xml.parsers.expat import ExpatError

from lmflow.models import Host, PoolProfile, WitnessView, XenopsTask
from lmflow.xapi.connection import Connection
from lmflow.xapi.wire import HostConnection, NotSentError, open_connection

INCOMING_SUFFIX = "000000000001"

_log = logging.getLogger(__name__)
_LABEL = re.compile(r"(?P<label>\S+) R:(?P<digits>[0-9a-f]{12})")
_UNREADABLE = (ExpatError, xmlrpc.client.Error, ValueError, TypeError, LookupError, AttributeError, zlib.error)


class _SilentError(Exception):
    """The witness did not answer; the text says why and holds no secret."""


class _RefusedError(Exception):
    """xenopsd answered with a failure of its own."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def ask(conn: Connection, host: Host, vm_uuid: str) -> WitnessView:
    """Return what the host's xenopsd says of the VM, of a copy of it arriving, and of its own tasks.

    Never raises for a witness that does not answer: ``answered`` is False then, and ``reason`` says why.
    "Runs there" is ``power_state == "Running"``: a source may keep a Halted record. The profile's
    ``witness_timeout_seconds`` bounds connecting and all three questions together.
    """
    if not host.address:
        return WitnessView(host.uuid, answered=False, reason="XAPI names no address of this host")
    line = _Line(conn.profile, host.address)
    path = _make_path(conn)
    reason = ""
    try:
        view = WitnessView(
            host.uuid,
            answered=True,
            power_state=_read_power_state(line, path, vm_uuid),
            incoming=_read_incoming(line, path, vm_uuid),
            tasks=_read_tasks(line, path),
        )
    except _SilentError as error:
        reason = str(error)
    except _RefusedError as error:
        reason = f"xenopsd answered {error.code}"
    except _UNREADABLE as error:
        reason = f"unreadable reply ({type(error).__name__})"
    finally:
        line.close()
    return WitnessView(host.uuid, answered=False, reason=reason) if reason else view


def find_power_states(conn: Connection, host: Host, vm_uuids: Sequence[str]) -> dict[str, str | None] | None:
    """Return each VM's power state on that host, None for one it does not know; None when it does not answer for all.

    Never raises for a witness that does not answer. One question for each VM, all within the profile's
    ``witness_timeout_seconds``.
    """
    if not host.address:
        return None
    line = _Line(conn.profile, host.address)
    path = _make_path(conn)
    try:
        return {uuid: _read_power_state(line, path, uuid) for uuid in vm_uuids}
    except (_SilentError, _RefusedError, *_UNREADABLE):
        return None
    finally:
        line.close()


def _make_path(conn: Connection) -> str:
    return f"/services/xenops?session_id={urllib.parse.quote(conn.session_reference(), safe='')}"


class _Line:
    """One connection to the witness of one host, with one deadline for everything asked on it."""

    def __init__(self, profile: PoolProfile, address: str) -> None:
        self._profile = profile
        self._address = address
        self._deadline = time.monotonic() + profile.witness_timeout_seconds
        self._connection: HostConnection | None = None

    def call(self, path: str, method: str, **fields: str) -> Any:
        """Ask one question and return the value; raises _SilentError or _RefusedError."""
        body = xmlrpc.client.dumps(({"debug_info": "lmflow", **fields},), method).encode()
        cause = ""
        started = time.monotonic()
        try:
            status, answer = self._exchange(path, body)
        except NotSentError as error:
            cause = error.reason
        except TimeoutError:
            cause = f"no answer within {self._profile.witness_timeout_seconds:g} s"
        except (OSError, http.client.HTTPException) as error:
            cause = f"connection lost ({type(error).__name__})"
        _log.debug("%s of a witness took %.3f s", method, time.monotonic() - started)
        if not cause and status == http.HTTPStatus.UNAUTHORIZED:
            cause = "HTTP 401 (needs the role vm-power-admin or a valid session)"
        elif not cause and status != http.HTTPStatus.OK:
            cause = f"HTTP {status}"
        if cause:
            raise _SilentError(cause)
        return _unwrap(answer)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._connection is None or not self._connection.is_idle():
            self.close()
            seconds = min(left, self._profile.connect_timeout_seconds)
            self._connection = open_connection(self._profile, self._address, connect_seconds=seconds, read_seconds=left)
        self._connection.set_read_timeout(max(0.001, self._deadline - time.monotonic()))
        self._connection.request("POST", path, body, {"Content-Type": "text/xml", "User-Agent": "lmflow"})
        response = self._connection.getresponse()
        return response.status, response.read()


def _unwrap(answer: bytes) -> Any:
    (reply,), _ = xmlrpc.client.loads(answer)
    if not isinstance(reply, dict):
        raise _SilentError("the reply is not xenopsd's")
    if reply.get("Status") != "Success":
        raise _RefusedError(_first_word(reply.get("ErrorDescription")))
    return reply["Value"]


def _read_power_state(line: _Line, path: str, vm_uuid: str) -> str | None:
    try:
        found = line.call(path, "VM.stat", id=vm_uuid)
    except _RefusedError as refused:
        if refused.code == "Does_not_exist":
            return None
        raise
    return _first_word(found[1]["power_state"])


def _read_incoming(line: _Line, path: str, vm_uuid: str) -> bool:
    temporary = vm_uuid[: -len(INCOMING_SUFFIX)] + INCOMING_SUFFIX
    return bool(line.call(path, "VM.exists", id=temporary))


def _read_tasks(line: _Line, path: str) -> tuple[XenopsTask, ...]:
    return tuple(make_xenops_task(entry) for entry in line.call(path, "Task.list"))


def make_xenops_task(entry: dict[str, Any]) -> XenopsTask:
    """Return an entry of Task.list; one without a reference in its ``dbg`` keeps the whole text as label."""
    text = str(entry.get("dbg", ""))
    match = _LABEL.search(text)
    state: Any = entry.get("state", "")
    word = _first_word(state)
    progress = 1.0 if word == "Completed" else 0.0
    if word == "Pending" and isinstance(state, list) and len(state) > 1:
        progress = float(state[1])
    return XenopsTask(
        label=match["label"] if match else text,
        ref_digits=match["digits"] if match else "",
        state=word,
        progress=progress,
    )


def _first_word(value: Any) -> str:
    """Return the constructor of a variant: "Running" of "Running" and of ["Running", ...]."""
    while isinstance(value, list) and value:
        value = value[0]
    return str(value)
