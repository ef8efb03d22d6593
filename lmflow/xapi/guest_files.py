"""Files of guests in the hosts' control domains, through lmflow's plugin there, and who in the pool needs them.

Each call of the plugin is made once and may be made again. All need an armed session, also those that only look: for
XAPI a call of a plugin is a change. Raises what ``Connection.call_idempotent`` raises; a host without the plugin
answers XENAPI_MISSING_PLUGIN, the plugin itself XENAPI_PLUGIN_FAILURE [function, kind, text].
Source: etc/xapi.d/plugins/lmflow-guest-files.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import posixpath
from collections.abc import Mapping
from typing import Any, Final

from lmflow.exceptions import XapiFailureError
from lmflow.xapi.connection import Connection

PLUGIN: Final = "lmflow-guest-files"
MISSING_PLUGIN: Final = "XENAPI_MISSING_PLUGIN"
PLUGIN_FAILURE: Final = "XENAPI_PLUGIN_FAILURE"
PIECE_BYTES: Final = 64 * 1024
"""XAPI hands a call to a plugin as one argument of a command, and Linux allows 128 KiB for one."""

_WITH_FILES = 'not (field "PV__kernel" = "" and field "PV__ramdisk" = "")'


@dataclasses.dataclass(frozen=True, slots=True)
class GuestFile:
    """What a host says of a path. ``is_ours``: it is the same file as the partial that was asked about.

    ``has_directory``: the directory that it would be in is there; the plugin makes none.
    """

    has_directory: bool
    exists: bool
    size_bytes: int = 0
    sha256: str = ""
    is_ours: bool = False


def look_at(conn: Connection, host_uuid: str, path: str, *, part: str = "") -> GuestFile:
    """Return what is at that path of the host, digested there; ``part`` is the token of a partial of ours."""
    told = json.loads(_call(conn, host_uuid, "stat", {"path": path, **({"part": part} if part else {})}))
    return GuestFile(
        has_directory=bool(told["directory"]),
        exists=bool(told["exists"]),
        size_bytes=int(told.get("size", 0)),
        sha256=str(told.get("sha256", "")),
        is_ours=bool(told.get("ours", False)),
    )


def read_piece(conn: Connection, host_uuid: str, path: str, offset: int) -> bytes:
    """Return at most ``PIECE_BYTES`` of the file from the offset on."""
    args = {"path": path, "offset": str(offset), "length": str(PIECE_BYTES)}
    return base64.b64decode(_call(conn, host_uuid, "read", args), validate=True)


def write_piece(conn: Connection, host_uuid: str, path: str, part: str, *, offset: int, data: bytes) -> None:
    """Put at most ``PIECE_BYTES`` into the partial of that path and token."""
    given = {"path": path, "part": part, "offset": str(offset), "data": base64.b64encode(data).decode("ascii")}
    _call(conn, host_uuid, "write", given)


def finish(conn: Connection, host_uuid: str, path: str, part: str, *, size_bytes: int, sha256: str) -> None:
    """Let the host check the partial and give it the path as a second name; a file that is there is not replaced."""
    _call(conn, host_uuid, "finish", {"path": path, "part": part, "size": str(size_bytes), "sha256": sha256})


def discard(conn: Connection, host_uuid: str, path: str, part: str) -> None:
    """Remove the partial's name, if it is there; a file that was made of it stays."""
    _call(conn, host_uuid, "discard", {"path": path, "part": part})


def remove(conn: Connection, host_uuid: str, path: str, *, sha256: str) -> None:
    """Remove the file if it is there and has that digest; with another one the plugin fails."""
    _call(conn, host_uuid, "remove", {"path": path, "sha256": sha256})


def find_users(conn: Connection, path: str, *, host_uuid: str = "") -> tuple[str, ...]:
    """Return the UUIDs of all VMs, templates and snapshots that name the path, in any power state, however spelt.

    With ``host_uuid`` those only that are on that host or on their way there. One bounded query, or all records where
    the pool does not take it.
    """
    try:
        found: Mapping[str, Any] = conn.read("VM.get_all_records_where", _WITH_FILES)
    except XapiFailureError:
        found = conn.read("VM.get_all_records")  # the query is documented for internal use; a release may refuse it
    host_ref = conn.read("host.get_by_uuid", host_uuid) if host_uuid else ""
    places = ("resident_on", "scheduled_to_be_resident_on")
    return tuple(
        str(record["uuid"])
        for record in found.values()
        if any(_is_same_path(record.get(field, ""), path) for field in ("PV_kernel", "PV_ramdisk"))
        and (not host_ref or host_ref in [record.get(place) for place in places])
    )


def _is_same_path(named: str, path: str) -> bool:
    return bool(named) and posixpath.normpath("/" + named.lstrip("/")) == path


def _call(conn: Connection, host_uuid: str, function: str, args: Mapping[str, str]) -> str:
    host_ref = conn.read("host.get_by_uuid", host_uuid)
    return str(conn.call_idempotent("host.call_plugin", host_ref, PLUGIN, function, dict(args), apart=True))
