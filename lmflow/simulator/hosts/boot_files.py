"""The files of each host's control domain, as far as VMs boot from them.

Source: xapi_xenops.ml: a kernel or ramdisk of a VM's own is a file below one directory, and has to be there when the
VM boots.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import control_route, part

DIRECTORIES = ("/var/lib/xcp/guest", "/boot/guest")
"""Where a VM's own kernel may be: today, and where an old plugin puts it."""
_OWN_KERNEL = frozenset({"pv", "pv_in_pvh", "pvh"})


@part("boot_files")
class BootFiles:
    """Text by host and absolute path. Deaths of toolstacks and hosts do not touch it."""

    def __init__(self, pool: Kernel) -> None:
        self._pool = pool
        self._files: dict[str, dict[str, str]] = {}

    def on(self, host_ref: str) -> dict[str, str]:
        """Give a host's files, to be read and changed."""
        with self._pool.store.lock:
            return self._files.setdefault(host_ref, {})

    def describe(self, description: Mapping[str, Any]) -> None:
        """Take ``files`` ({path: text}) of described hosts; what VMs run from is there in any case."""
        for item in description.get("hosts", ()):
            self.on(self._pool.find_host(str(item["name"]))).update(item.get("files", {}))
        store = self._pool.store
        for vm_ref in store.refs("VM"):
            vm = store.record("VM", vm_ref)
            if vm["resident_on"] != NULL:
                for _, path in _paths_of(vm):
                    self.on(vm["resident_on"]).setdefault(path, f"what {vm['name_label']} booted from")

    def dump(self) -> dict[str, Any]:
        """Give all files as JSON-able data."""
        with self._pool.store.lock:
            return {ref: dict(files) for ref, files in self._files.items()}

    def load(self, data: Mapping[str, Any]) -> None:
        """Replace all files by what ``dump`` gave."""
        with self._pool.store.lock:
            self._files = {ref: dict(files) for ref, files in data.items()}


def _paths_of(vm: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List (kind, path) of the files that a VM boots from; none when a boot loader looks into its disk."""
    if vm["domain_type"] not in _OWN_KERNEL or vm["PV_bootloader"]:
        return []
    return [(kind, vm[field]) for kind, field in (("kernel", "PV_kernel"), ("ramdisk", "PV_ramdisk")) if vm[field]]


def is_guest_path(path: str) -> bool:
    """Tell whether a path is below a directory for guests' files, however it is written."""
    return any(posixpath.normpath(path).startswith(f"{directory}/") for directory in DIRECTORIES)


def check_kernel(pool: Kernel, vm_ref: str, host_ref: str) -> None:
    """Refuse a host where the files are missing that a VM boots from: INVALID_VALUE [kind, path, reason]."""
    files = pool.part(BootFiles).on(host_ref)
    for kind, path in _paths_of(pool.store.record("VM", vm_ref)):
        if not is_guest_path(path):
            raise ApiFailure("INVALID_VALUE", kind, path, f"File is not below {DIRECTORIES[0]}")
        if path not in files:
            raise ApiFailure("INVALID_VALUE", kind, path, "File does not exist")


@control_route("POST", "/files")
def write_file(pool: Kernel, body: dict[str, Any]) -> dict[str, Any]:
    """Write a file into a host's control domain, ``{"host", "path", "text"}``; no text removes it."""
    files = pool.part(BootFiles).on(pool.find_host(str(body["host"])))
    path = str(body["path"])
    if body.get("text") is None:
        files.pop(path, None)
    else:
        files[path] = str(body["text"])
    return {}


@control_route("GET", "/files")
def list_files(pool: Kernel, _body: dict[str, Any]) -> dict[str, Any]:
    """Give the files of every host's control domain, by the host's name."""
    store, files = pool.store, pool.part(BootFiles)
    return {str(store.value("host", ref, "name_label")): dict(files.on(ref)) for ref in store.refs("host")}
