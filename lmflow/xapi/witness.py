"""Ask a host's own xenopsd, read-only, what runs there."""

from __future__ import annotations

from lmflow.models import Host, WitnessView
from lmflow.xapi.connection import Connection


def ask(conn: Connection, host: Host, vm_uuid: str) -> WitnessView:
    """Return what the host's xenopsd says of the VM."""
    raise NotImplementedError
