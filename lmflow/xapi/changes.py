"""The only calls of lmflow that change a pool."""

from __future__ import annotations

from lmflow.models import StartedTask
from lmflow.xapi.connection import Connection


def migrate_vm(conn: Connection, *, vm_uuid: str, destination_uuid: str, attempt_id: str) -> StartedTask:
    """Start VM.pool_migrate."""
    raise NotImplementedError


def plug_pbd(conn: Connection, *, pbd_uuid: str, attempt_id: str) -> StartedTask:
    """Start PBD.plug."""
    raise NotImplementedError


def unplug_pbd(conn: Connection, *, pbd_uuid: str, attempt_id: str) -> StartedTask:
    """Start PBD.unplug."""
    raise NotImplementedError
