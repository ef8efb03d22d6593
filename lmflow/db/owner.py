"""Who holds a lease: a process, named so that its death can be proved on the same boot of the same machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from lmflow.models import Owner

MACHINE_ID = Path("/etc/machine-id")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")


def current_owner() -> Owner:
    """Return this process as an owner; call it in the process that will own, not before a fork."""
    pid = os.getpid()
    return Owner(machine=_machine(), boot_id=_boot(), pid=pid, started=_started(pid) or "")


def is_dead(owner: Owner, me: Owner) -> bool:
    """Say whether the owner is proved to be gone; False means only that this cannot be proved from here.

    ``me`` is the process that asks: another machine, boot or PID namespace proves nothing.
    """
    if not is_beside(owner, me):
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass  # it exists and is another user's; or the number is no pid, and proves nothing
    started = _started(owner.pid)
    if started is None:  # /proc may be mounted with hidepid, so that a living process of another user is not seen
        return False
    return started == "" or owner.started not in ("", started)


def is_beside(owner: Owner, me: Owner) -> bool:
    """Say whether both are of one boot of one machine, so that the one can see whether the other lives."""
    return bool(owner.boot_id) and owner.boot_id == me.boot_id and _machine_id(owner) == _machine_id(me)


def is_of_former_boot(owner: Owner, me: Owner) -> bool:
    """Say whether the owner calls itself a process of this machine, of another boot: gone if nobody shares our id."""
    other = owner.boot_id.partition("/")[0]
    return bool(other) and other != me.boot_id.partition("/")[0] and _machine_id(owner) == _machine_id(me)


def describe(owner: Owner) -> str:
    """Return the owner in words for a person."""
    return f"pid {owner.pid} on {owner.machine.partition('/')[0]}"


def _machine() -> str:
    """Return ``hostname/machine-id``: the first part is for people, the second is compared."""
    hostname = socket.gethostname()
    return f"{hostname}/{_read(MACHINE_ID) or hostname}"


def _machine_id(owner: Owner) -> str:
    return owner.machine.rpartition("/")[2]


def _boot() -> str:
    """Return the boot and the PID namespace, or '' when they cannot be told.

    Two containers made from one image share machine id and boot id; without the namespace the one would take
    the other's living process for gone, because a pid means nothing across namespaces.
    """
    boot_id = _read(BOOT_ID)
    try:
        namespace = PID_NAMESPACE.readlink()
    except OSError:
        return ""
    return f"{boot_id}/{namespace}" if boot_id else ""


def _started(pid: int) -> str | None:
    """Return field 22 of /proc/PID/stat (clock ticks since boot), '' for a zombie, None when it cannot be read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may itself hold spaces and parentheses
    return "" if fields[0] in ("Z", "X", "x") else fields[19]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
