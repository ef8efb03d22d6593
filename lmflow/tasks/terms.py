"""On which terms a migration is judged: what was asked for, what the site has set, and the VM in which we run."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from lmflow.models import MoveOptions, Site, Terms

AUTO: Final = "auto"
_SYSTEM: Final = Path("/sys")
_DOM0: Final = "00000000-0000-0000-0000-000000000000"


def make_terms(
    options: MoveOptions, site: Site, vm_uuids: Collection[str] = (), *, run_uuid: str = "", prepared: bool = False
) -> Terms:
    """Return the terms. ``vm_uuids`` are the VMs in question.

    They decide where this machine's firmware may show its UUID in either order of bytes. ``prepared``: all that is done
    before the submit has been done. ``run_uuid``: the run that asks.
    """
    found = (site.own_vm_uuid.lower(),) if site.own_vm_uuid != AUTO else find_own_vm_uuids()
    return Terms(
        force=options.force,
        network_uuid=options.network_uuid,
        eject_local_iso=options.eject_local_iso,
        own_vm_uuid=next((uuid for uuid in found if uuid in vm_uuids), found[0] if found else ""),
        prepared=prepared,
        run_uuid=run_uuid,
    )


def find_own_vm_uuids(system: Path = _SYSTEM) -> tuple[str, ...]:
    """Return the UUID of the Xen VM in which this process runs, as read below ``/sys``; () for none.

    Without the hypervisor's own word it is the firmware's: readable for root only, and in either order of bytes.
    A kernel reads the first three parts backwards from SMBIOS 2.6 on, and Xen has written them forwards since before.
    """
    told = _read(system / "hypervisor" / "uuid").lower()
    if told:
        return () if told == _DOM0 else (told,)
    firmware = system / "class" / "dmi" / "id"
    is_xen = _read(system / "hypervisor" / "type") == "xen" or _read(firmware / "product_name") == "HVM domU"
    uuid = _read(firmware / "product_uuid").lower() if is_xen else ""
    return (uuid, _swap(uuid)) if uuid else ()


def _read(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="ascii").strip()
    return ""


def _swap(uuid: str) -> str:
    """Return the UUID with the bytes of its first three parts in the other order."""
    parts = uuid.split("-")
    turned = ["".join(reversed([part[i : i + 2] for i in range(0, len(part), 2)])) for part in parts[:3]]
    return "-".join([*turned, *parts[3:]])
