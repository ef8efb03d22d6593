"""What our role in the pool allows us, as our own session's record shows it."""

from __future__ import annotations

from typing import Final, Literal

from lmflow.exceptions import XapiFailureError
from lmflow.xapi import records
from lmflow.xapi.connection import Connection

PERMISSION: Final = "vm.pool_migrate"
"""What XAPI asks for, for the synchronous call and for the one in a task. Source: rbac.ml, server_helpers.ml."""

PREPARING: Final = (
    "vm.add_to_other_config",
    "vm.remove_from_other_config",
    "vbd.eject",
    "vbd.insert",
    "pbd.plug",
    "pbd.unplug",
    "pbd.create",
    "pbd.destroy",
    "host.call_plugin",
)
"""What a migration, or some, need before they can be sent, or to take that back. Source: the API's minimum roles.

The first four come with any role that may migrate; those on PBDs need pool-operator, and a plugin pool-admin.
"""

TIDYING: Final = ("task.cancel", "task.destroy", "vdi.remove_from_sm_config")
"""What only a cancel or the tidying up after the arrival needs: without it the VM is moved all the same.

That also unplugs, destroys and marks PBDs; marking them comes with the role that may destroy them.
"""


def find_may_migrate(conn: Connection) -> bool | None:
    """Say whether we may call pool_migrate; None when that cannot be read. Read once in a session.

    A role that is taken away or given meanwhile does not show in a session that is open, in XAPI's own checks either.
    """
    if conn.link.may_migrate is None:
        _read(conn)
    return conn.link.may_migrate


def find_denied(conn: Connection) -> tuple[str, ...]:
    """Return what we may not call of ``PREPARING`` and ``TIDYING``; none when that cannot be read.

    Read once in a session.
    """
    if conn.link.denied is None:
        _read(conn)
    return conn.link.denied or ()


def _read(conn: Connection) -> None:
    try:
        session: records.Record = conn.read("session.get_record", conn.session_reference())
    except XapiFailureError:
        return  # the role may not even read that, or the session was replaced just now
    conn.link.may_migrate, conn.link.denied = may_migrate(session), list_denied(session)


def may_migrate(session: records.Record) -> bool | None:
    """Say whether the session of this record may call pool_migrate; None for a release that does not show roles."""
    granted = _find_granted(session)
    return granted if isinstance(granted, bool | None) else PERMISSION in granted


def list_denied(session: records.Record) -> tuple[str, ...]:
    """Return what the session of this record may not call of those; none where roles do not show."""
    granted = _find_granted(session)
    if isinstance(granted, bool | None):
        return ()
    return tuple(name for name in (*PREPARING, *TIDYING) if name not in granted)


def _find_granted(session: records.Record) -> set[str] | Literal[True] | None:
    """Return the names of what is allowed, True for everything, None for a release that does not show roles."""
    if session.get("is_local_superuser") in (True, "true"):
        return True
    if "rbac_permissions" not in session:
        return None
    return {str(name).lower() for name in session["rbac_permissions"]}
