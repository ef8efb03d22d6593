"""What hosts say of more than one migration: which of some VMs a host runs, and for how long its toolstack has run."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from lmflow.exceptions import XapiFailureError
from lmflow.models import Host
from lmflow.xapi.connection import Connection
from lmflow.xapi.witness import find_power_states

_ALIVE = ("Running", "Paused")
_TIME = re.compile(r"(\d{8})T(\d\d:\d\d:\d\d)")


def find_running(conn: Connection, host: Host, vm_uuids: Sequence[str]) -> tuple[str, ...] | None:
    """Return which of these VMs the host itself says that it runs; None when it does not answer for all of them.

    One question for each VM, all within the profile's ``witness_timeout_seconds``.
    """
    found = find_power_states(conn, host, vm_uuids)
    return None if found is None else tuple(uuid for uuid, state in found.items() if state in _ALIVE)


def find_youngest_seconds(conn: Connection, hosts: Sequence[Host]) -> float | None:
    """Return how long ago the last of these hosts' toolstacks started, each by its own host's clock; None if unknown.

    One call for each host.
    """
    ages = [_find_age_seconds(conn, host) for host in hosts]
    known = [age for age in ages if age is not None]
    return min(known) if known and len(known) == len(ages) else None


def _find_age_seconds(conn: Connection, host: Host) -> float | None:
    try:
        started = float(host.agent_start_time)
        ref = conn.read("host.get_by_uuid", host.uuid)
        now = _TIME.search(str(conn.read("host.get_servertime", ref)))
    except (ValueError, XapiFailureError):
        return None
    if now is None:
        return None
    read = datetime.datetime.strptime(" ".join(now.groups()), "%Y%m%d %H:%M:%S")
    return read.replace(tzinfo=datetime.UTC).timestamp() - started
