"""VMs that boot from files in their host's dom0."""

from __future__ import annotations

from typing import Any

from tests.support.kills import query
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item

World = dict[str, Any]

PLUGIN = "lmflow-guest-files"
BELOW = "/var/lib/xcp/guest"
KERNEL, RAMDISK = f"{BELOW}/vmlinuz", f"{BELOW}/initrd.img"
FILES = {KERNEL: "kernel " * 15_000, RAMDISK: "r\u00e4mdisk"}
"""The kernel takes two pieces."""


def boot_from_dom0(world: World, **fields: Any) -> None:
    """Let v boot from files of A, and install the plugin on A and B."""
    get_item(world, "vms", "v").update(domain_type="pv", pv_kernel=KERNEL, pv_ramdisk=RAMDISK, **fields)
    get_item(world, "hosts", "A").update(plugins=[PLUGIN], files=FILES)
    get_item(world, "hosts", "B").update(plugins=[PLUGIN])


def boot_from_a_kernel(world: World) -> None:
    boot_from_dom0(world)
    get_item(world, "vms", "v")["pv_ramdisk"] = ""
    get_item(world, "hosts", "A")["files"] = {KERNEL: "bits"}


def files(pool: SimulatedPool, host: str) -> dict[str, str]:
    return dict(pool.control("GET", "/files")[host])


def asked(pool: SimulatedPool) -> list[str]:
    """The functions of the plugin that were called, in order."""
    return [str(entry["params"][3]) for entry in pool.audit("host.call_plugin")]


def kept_changes(scene: Scene) -> list[str]:
    """The book of changes to files: kind, object and last step, as the database has them."""
    fields = ("kind", "object_name", "step")
    chosen = ", ".join(f"json_extract(data, '$.{field}')" for field in fields)
    rows = query(scene, f"select {chosen} from lmflow_events where kind = 'change' order by sequence")  # noqa: S608
    last = {row[:2]: row[2] for row in rows if row[0] in ("copy_file", "remove_file")}
    return [f"{kind} {name} {step}" for (kind, name), step in last.items()]


def keep(world: World, *, name: str, **fields: Any) -> None:
    world["vms"].append({"name": name, "memory": "1 GiB", "domain_type": "pv", **fields})
