"""Typed facts read from the pool."""

from __future__ import annotations

from lmflow.models import PBD, VM, Host, Pool, Snapshot
from lmflow.xapi.connection import Connection


def list_vms(conn: Connection) -> tuple[VM, ...]:
    """Return the pool's VMs without templates, snapshots and control domains."""
    raise NotImplementedError


def list_hosts(conn: Connection) -> tuple[Host, ...]:
    """Return the pool's hosts."""
    raise NotImplementedError


def read_vm(conn: Connection, vm_uuid: str) -> VM | None:
    """Return the VM, or None when the pool does not know it."""
    raise NotImplementedError


def read_pool(conn: Connection) -> Pool:
    """Return the pool."""
    raise NotImplementedError


def read_hosts(conn: Connection) -> tuple[Host, ...]:
    """Return the pool's hosts with their metrics."""
    raise NotImplementedError


def read_snapshot(conn: Connection, vm_uuid: str, destination_uuid: str, *, now: float) -> Snapshot:
    """Return what the rules need for one VM and one destination."""
    raise NotImplementedError


def read_pbd(conn: Connection, pbd_uuid: str) -> PBD | None:
    """Return the PBD, or None when the pool does not know it."""
    raise NotImplementedError
