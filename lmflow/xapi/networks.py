"""The pool's networks, for names."""

from __future__ import annotations

from lmflow.models import Network
from lmflow.xapi import records
from lmflow.xapi.connection import Connection


def list_networks(conn: Connection) -> tuple[Network, ...]:
    """Return the pool's networks."""
    return tuple(records.make_network(record) for record in conn.read("network.get_all_records").values())
