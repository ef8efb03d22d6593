"""What is read of a pool's storage before and after it is changed. No ``device_config`` leaves this room."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final
from urllib import parse
from xml.sax import saxutils

from lmflow.models import VBD, XapiError
from lmflow.xapi import records
from lmflow.xapi.connection import Connection
from lmflow.xapi.fetch import find_by_uuid, find_record, read_each, read_where

RUN_KEY: Final = records.RUN_KEY
"""The key of a PBD's other_config that says by which run it was made, given with PBD.create.

XAPI takes it and forgets it (source: xapi_pbd.ml, create_common); a release that keeps it proves more.
"""

INTRODUCED_KEY: Final = records.INTRODUCED_KEY
MIRROR_KEY: Final = records.MIRROR_KEY

_REFERENCE = re.compile(r"OpaqueRef:[^<\s]+")
_MASK = "(device_config)"
_PASSWORD = re.compile(r"pass|pwd|secret|token|cred|key", re.IGNORECASE)
_SHORTEST_SECRET = 4
# What tells where the storage is. Any other value may be a password, or name a secret.
_HARMLESS = frozenset(
    {"device", "location", "multihomelist", "nfsversion", "port", "SCSIid", "server", "serverpath", "target", "type"}
    | {"targetIQN", "true", "false"}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Join:
    """How a host and an SR are joined: a PBD. ``run_uuid`` made it, ``introduced_for`` is a VM's UUID; '' for none."""

    pbd_uuid: str
    currently_attached: bool
    run_uuid: str = ""
    introduced_for: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """A VM's disk image with what goes on with it."""

    vdi_uuid: str
    name_label: str
    sr_uuid: str
    sr_name: str
    sm_config: Mapping[str, str]
    current_operations: tuple[str, ...]


def find_join(conn: Connection, sr_uuid: str, host_uuid: str) -> Join | None:
    """Return what joins that host to that SR; None when nothing does, or the pool does not know one of them."""
    found = _find_pbd(conn, sr_uuid, host_uuid)
    return _make_join(found[1]) if found else None


def read_join(conn: Connection, pbd_uuid: str) -> Join | None:
    """Return the PBD of that UUID, None when the pool does not know it."""
    found = find_by_uuid(conn, "PBD", pbd_uuid)
    return _make_join(found[1]) if found else None


def read_owner(conn: Connection, sr_uuid: str) -> str:
    """Return the UUID of the VM for which alone the SR was introduced, '' for none."""
    found = find_by_uuid(conn, "SR", sr_uuid)
    return str((found[1].get("other_config") or {}).get(INTRODUCED_KEY, "")) if found else ""


def read_drive(conn: Connection, vbd_uuid: str) -> VBD | None:
    """Return the VBD with its disc, None when the pool does not know it."""
    found = find_by_uuid(conn, "VBD", vbd_uuid)
    if found is None:
        return None
    vdi = None if records.is_null(found[1].get("VDI")) else find_record(conn, "VDI", found[1]["VDI"])
    return records.make_vbd(found[1], records.make_vdi(vdi, {}) if vdi else None)


def list_users(conn: Connection, sr_uuid: str, host_uuid: str) -> tuple[str, ...]:
    """Return the names of the VMs on that host, or on their way to it, that have a disk on that SR; dom0 counts."""
    sr, host = find_by_uuid(conn, "SR", sr_uuid), find_by_uuid(conn, "host", host_uuid)
    if sr is None or host is None:
        return ()
    there = f'field "resident_on" = "{host[0]}" or field "scheduled_to_be_resident_on" = "{host[0]}"'
    vms = read_where(conn, "VM", there)
    if vms is None:
        vms = conn.read("VM.get_all_records")
    found = []
    for vm in vms.values():
        if host[0] in (vm.get("resident_on"), vm.get("scheduled_to_be_resident_on")):
            vbds = read_each(conn, "VBD", vm.get("VBDs") or ())
            vdis = read_each(conn, "VDI", (vbd["VDI"] for vbd in vbds.values()))
            if any(vdi["SR"] == sr[0] for vdi in vdis.values()):
                found.append(str(vm["name_label"]))
    return tuple(sorted(found))


def list_sharers(conn: Connection, sr_uuid: str, vm_uuid: str) -> tuple[str, ...]:
    """Return the names of all OTHER VMs that have a disk on that SR, running or not. Its snapshots are its own."""
    sr, mine = find_by_uuid(conn, "SR", sr_uuid), find_by_uuid(conn, "VM", vm_uuid)
    vdis = read_each(conn, "VDI", sr[1].get("VDIs") or ()) if sr else {}
    vbds = read_each(conn, "VBD", (ref for vdi in vdis.values() for ref in vdi.get("VBDs") or ()))
    vms = read_each(conn, "VM", (vbd["VM"] for vbd in vbds.values()))
    own = mine[0] if mine else ""
    return tuple(sorted(str(vm["name_label"]) for ref, vm in vms.items() if own not in (ref, vm.get("snapshot_of"))))


def list_disks(conn: Connection, vm_uuid: str) -> tuple[Disk, ...]:
    """Return the disk images of a VM; none when the pool does not know it."""
    found = find_by_uuid(conn, "VM", vm_uuid)
    vbds = read_each(conn, "VBD", found[1].get("VBDs") or ()) if found else {}
    vdis = read_each(conn, "VDI", (vbd["VDI"] for vbd in vbds.values()))
    srs = read_each(conn, "SR", (vdi["SR"] for vdi in vdis.values()))
    return tuple(_make_disk(vdi, srs[vdi["SR"]]) for vdi in vdis.values() if vdi["SR"] in srs)


def has_key(conn: Connection, class_name: str, field: str, uuid: str, key: str) -> bool:
    """Tell whether that map of the object has the key."""
    found = find_by_uuid(conn, class_name, uuid)
    return found is not None and key in (found[1].get(field) or {})


def find_created(conn: Connection, task_uuid: str) -> str:
    """Return the UUID of the PBD that a task of PBD.create made, '' when that cannot be told any more."""
    task = find_by_uuid(conn, "task", task_uuid)
    named = _REFERENCE.search(str(task[1].get("result", ""))) if task else None
    pbd = find_record(conn, "PBD", named[0]) if named else None
    return str(pbd["uuid"]) if pbd else ""


def mask_error(conn: Connection, sr_uuid: str, error: XapiError) -> XapiError:
    """Return a failure in which no value of a ``device_config`` of the SR stands that may be a secret.

    Where the SR is not known, or has no PBD any more, nobody can say what is one.
    """
    found = find_by_uuid(conn, "SR", sr_uuid) if sr_uuid else None
    pbds = read_each(conn, "PBD", found[1].get("PBDs") or ()) if found else {}
    if not pbds:
        return _keep_code(error)
    return mask_values(error, *(pbd.get("device_config") or {} for pbd in pbds.values()))


def mask_values(error: XapiError, *configs: Mapping[str, Any]) -> XapiError:
    """Return a failure in which no value of these ``device_config`` stands that may be a secret.

    Where there is a password, in whatever spelling or behind the UUID of a secret, only the code is sure not to tell.
    """
    if any(value and _PASSWORD.search(key) for config in configs for key, value in config.items()):
        return _keep_code(error)
    values = {str(v) for config in configs for key, v in config.items() if key not in _HARMLESS}
    secrets = {v for v in values if len(v) >= _SHORTEST_SECRET and v not in _HARMLESS}
    params = list(error.params)
    for spelling in sorted({s for secret in secrets for s in _spell(secret)}, key=len, reverse=True):
        params = [param.replace(spelling, _MASK) for param in params]
    return XapiError(error.code, tuple(params))


def _keep_code(error: XapiError) -> XapiError:
    return XapiError(error.code, tuple(_MASK if param else "" for param in error.params))


def _spell(secret: str) -> tuple[str, ...]:
    """Return how XML, URLs and shells may spell it."""
    return (
        secret,
        html.escape(secret, quote=False),
        html.escape(secret),
        saxutils.escape(secret, {'"': "&quot;", "'": "&apos;"}),
        parse.quote(secret),
        parse.quote(secret, safe=""),
        parse.quote_plus(secret),
        shlex.quote(secret),
        json.dumps(secret)[1:-1],
    )


def make_pbd_arguments(
    conn: Connection, sr_uuid: str, source_uuid: str, destination_uuid: str, marks: Mapping[str, str]
) -> dict[str, Any] | None:
    """Make what PBD.create takes, after the source's own PBD: references and secrets, for that one call only.

    None when the source has no PBD of that SR any more.
    """
    found = _find_pbd(conn, sr_uuid, source_uuid)
    if found is None:
        return None
    config = {key: value for key, value in found[1]["device_config"].items() if key != "SRmaster"}
    host_ref = conn.read("host.get_by_uuid", destination_uuid)
    return {"host": host_ref, "SR": found[1]["SR"], "device_config": config, "other_config": dict(marks)}


def _find_pbd(conn: Connection, sr_uuid: str, host_uuid: str) -> tuple[str, Any] | None:
    sr, host = find_by_uuid(conn, "SR", sr_uuid), find_by_uuid(conn, "host", host_uuid)
    if sr is None or host is None:
        return None
    pbds = read_each(conn, "PBD", sr[1].get("PBDs") or ())
    mine = [(ref, pbd) for ref, pbd in pbds.items() if pbd["host"] == host[0]]
    return next((m for m in mine if m[1]["currently_attached"]), mine[0] if mine else None)


def _make_join(pbd: Mapping[str, Any]) -> Join:
    marks = pbd.get("other_config") or {}
    return Join(
        pbd_uuid=str(pbd["uuid"]),
        currently_attached=bool(pbd["currently_attached"]),
        run_uuid=str(marks.get(RUN_KEY, "")),
        introduced_for=str(marks.get(INTRODUCED_KEY, "")),
    )


def _make_disk(vdi: Mapping[str, Any], sr: Mapping[str, Any]) -> Disk:
    return Disk(
        vdi_uuid=str(vdi["uuid"]),
        name_label=str(vdi["name_label"]),
        sr_uuid=str(sr["uuid"]),
        sr_name=str(sr["name_label"]),
        sm_config={str(key): str(value) for key, value in (vdi.get("sm_config") or {}).items()},
        current_operations=tuple(sorted(map(str, (vdi.get("current_operations") or {}).values()))),
    )
