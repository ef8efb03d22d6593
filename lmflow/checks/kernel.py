"""Rules on a kernel kept in dom0: the guest arrives without it, and does not survive its next reboot there."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Final

from lmflow.checks.rule import Rule
from lmflow.models import VM, Finding, Host, Snapshot

FOLDER: Final = "/var/lib/xcp/guest/"
"""The only place that XAPI takes such files from, and that lmflow's plugin touches. Source: xapi_xenops.ml of xapi."""

_PLUGIN = (
    "install lmflow's plugin there (guest-files.md), then xe host-param-set uuid={} other-config:lmflow-guest-files=1;"
    " or let the VM boot from its disk (PV-bootloader)"
)


def check_source(snapshot: Snapshot) -> Iterator[Finding]:
    """Can kernel and ramdisk be read from the source's dom0: lmflow's plugin there, files below its folder?"""
    paths, source = find_files(snapshot.vm), snapshot.host(snapshot.source_uuid)
    if not paths or source is None:
        return
    outside = [path for path in paths if not _is_inside(path)]
    name = snapshot.vm.name_label
    if outside:
        yield SOURCE.object_to(
            f"{name} boots from {outside[0]} in its host's dom0, which is not below {FOLDER}",
            remedy=f"put the file below {FOLDER}, or let the VM boot from its disk (PV-bootloader)",
        )
    elif not source.guest_files:
        yield SOURCE.object_to(_tell(name, paths, source), remedy=_PLUGIN.format(source.uuid))


def check_destination(snapshot: Snapshot) -> Iterator[Finding]:
    """Can kernel and ramdisk be written to the destination's dom0: is lmflow's plugin there?"""
    paths, destination = find_files(snapshot.vm), snapshot.host(snapshot.destination_uuid)
    if paths and destination is not None and not destination.guest_files:
        yield DESTINATION.object_to(
            _tell(snapshot.vm.name_label, paths, destination), remedy=_PLUGIN.format(destination.uuid)
        )


def find_files(vm: VM) -> tuple[str, ...]:
    """Return the paths in its host's dom0 that a VM boots from; none for one that boots from its own disk.

    A record of an old release does not say what kind of domain it is: then the paths alone decide.
    """
    if vm.pv_bootloader or vm.domain_type == "hvm":
        return ()
    return tuple(path for path in (vm.pv_kernel, vm.pv_ramdisk) if path)


def _is_inside(path: str) -> bool:
    return path.startswith(FOLDER) and path == posixpath.normpath(path)


def _tell(name: str, paths: tuple[str, ...], host: Host) -> str:
    return f"{name} boots from {' and '.join(paths)} in its host's dom0, and {host.name_label} has not lmflow's plugin"


SOURCE = Rule(
    name="vm.kernel",
    group="vm",
    order=610,
    codes=("VM_REQUIRES_KERNEL",),
    needs=("vm", "hosts"),
    remedy="install lmflow's plugin on both hosts (guest-files.md), or let the VM boot from its disk (PV-bootloader)",
    elsewhere=False,
    check=check_source,
)
DESTINATION = Rule(
    name="host.kernel",
    group="host",
    order=615,
    codes=("VM_REQUIRES_KERNEL",),
    needs=("vm", "hosts"),
    remedy="install lmflow's plugin on that host (guest-files.md), or choose one that has it",
    check=check_destination,
)
