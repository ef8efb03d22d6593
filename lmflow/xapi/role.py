"""What our role in the pool allows us, as our own session's record shows it."""

from __future__ import annotations

from typing import Final

from lmflow.exceptions import XapiFailureError
from lmflow.xapi import records
from lmflow.xapi.connection import Connection

PERMISSION: Final = "vm.pool_migrate"
"""What XAPI asks for, for the synchronous call and for the one in a task. Source: rbac.ml, server_helpers.ml."""


def find_may_migrate(conn: Connection) -> bool | None:
    """Say whether we may call pool_migrate; None when that cannot be read. Read once in a connection.

    A role that is taken away or given meanwhile does not show in a session that is open, in XAPI's own checks either.
    """
    if conn.may_migrate is None:
        conn.may_migrate = _read(conn)
    return conn.may_migrate


def _read(conn: Connection) -> bool | None:
    try:
        session: records.Record = conn.read("session.get_record", conn.session_reference())
    except XapiFailureError:
        return None  # the role may not even read that, or the session was replaced just now
    return may_migrate(session)


def may_migrate(session: records.Record) -> bool | None:
    """Say whether the session of this record may call pool_migrate; None for a release that does not show roles."""
    if session.get("is_local_superuser") in (True, "true"):
        return True
    if "rbac_permissions" not in session:
        return None
    return PERMISSION in {str(name).lower() for name in session["rbac_permissions"]}
