"""What the records of a VM show when its domain begins, sleeps and ends, as a real pool's did."""

from __future__ import annotations

import json
from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import EPOCH, NULL
from lmflow.simulator.hosts import resync
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.rules import allowed, memory
from lmflow.simulator.worlds import world_vm_defaults

NEVER_BOOTED = frozenset({"", "0:0"})
DEVICE_MODEL = "qemu-upstream-compat"
NO_TOOLS = "vm-data/no-tools"
"""A VM whose xenstore_data holds this boots without drivers."""
_FEATURES_OF = {"pv": "features_pv"}


def make_generation_id(store: Store) -> str:
    """Make the identity by which a guest notices that it was copied or set back."""
    return ":".join(str(store.random.getrandbits(63)) for _ in range(2))


def write_booted(ctx: Context, vm_ref: str, host_ref: str) -> None:
    """Write that a VM has a new domain on a host; nothing when there is none. The lock must be held."""
    store = ctx.store
    domain = ctx.pool.part(Xenops).find_running(host_ref, store.value("VM", vm_ref, "uuid"))
    if domain is None:
        return
    _name_devices(store, vm_ref)
    vm = store.record("VM", vm_ref)
    fresh = vm["generation_id"] in NEVER_BOOTED
    guest_ref = _make_guest_metrics(ctx, vm)
    store.update(
        "VM",
        vm_ref,
        last_boot_CPU_flags=_cpu_flags(store, vm, host_ref),
        memory_target=vm["memory_dynamic_max"],
        platform=vm["platform"] if vm["domain_type"] == "pv" else {"device-model": DEVICE_MODEL, **vm["platform"]},
        generation_id=make_generation_id(store) if fresh else vm["generation_id"],
        guest_metrics=guest_ref,
    )
    _replace_guest_metrics(store, vm["guest_metrics"], guest_ref)
    write_metrics(ctx, vm_ref, running=True)
    resync.write_running(store, vm_ref, host_ref, domain)


def _cpu_flags(store: Store, vm: dict[str, Any], host_ref: str) -> dict[str, str]:
    cpu = store.value("host", host_ref, "cpu_info")
    features = cpu.get(_FEATURES_OF.get(vm["domain_type"], "features_hvm")) or cpu.get("features", "")
    return {"vendor": cpu.get("vendor", ""), "features": features}


def _name_devices(store: Store, vm_ref: str) -> None:
    """Give every disk the name that the guest sees."""
    for vbd_ref in store.value("VM", vm_ref, "VBDs"):
        vbd = store.record("VBD", vbd_ref)
        if vbd["VDI"] != NULL and vbd["userdevice"].isdigit():
            store.update("VBD", vbd_ref, device=world_vm_defaults.device_name(int(vbd["userdevice"])))


def _make_guest_metrics(ctx: Context, vm: dict[str, Any]) -> str:
    """Create what the guest reports once it is up: what it last reported, in a new object."""
    store, stamp = ctx.store, ctx.clock.stamp()
    before: dict[str, Any] = {}
    if store.exists("VM_guest_metrics", vm["guest_metrics"]):
        before = store.record("VM_guest_metrics", vm["guest_metrics"])
        before.pop("uuid")
    elif not _lacks_drivers(store, vm):
        before = world_vm_defaults.guest_metrics_fields(stamp, {})
    return store.create("VM_guest_metrics", {**before, "last_updated": stamp, "live": True})


def _lacks_drivers(store: Store, vm: dict[str, Any]) -> bool:
    """Tell whether a guest that reported nothing has no drivers: it was told so, or is up and silent."""
    if vm["xenstore_data"].get(NO_TOOLS) == "1":
        return True
    metrics_ref = vm["metrics"]
    return store.exists("VM_metrics", metrics_ref) and store.value("VM_metrics", metrics_ref, "start_time") > EPOCH


def _replace_guest_metrics(store: Store, before: str, after: str) -> None:
    if before not in {NULL, after} and store.exists("VM_guest_metrics", before):
        store.destroy("VM_guest_metrics", before)


def write_metrics(ctx: Context, vm_ref: str, *, running: bool) -> None:
    """Write a VM's metrics: those of a domain that begins, or of none."""
    store = ctx.store
    vm = store.record("VM", vm_ref)
    if not store.exists("VM_metrics", vm["metrics"]):
        return
    changes: dict[str, Any] = {"VCPUs_number": 0, "VCPUs_utilisation": {}, "memory_actual": 0, "hvm": False}
    changes["current_domain_type"] = "unspecified"
    if running:
        changes = {
            "VCPUs_number": vm["VCPUs_at_startup"],
            "VCPUs_utilisation": {},
            "memory_actual": vm["memory_target"],
            "current_domain_type": vm["domain_type"],
            "hvm": vm["domain_type"] != "pv",
            "start_time": ctx.clock.stamp(),
        }
    store.update("VM_metrics", vm["metrics"], **changes)


def write_stopped(ctx: Context, vm_ref: str) -> None:
    """Write that a VM was shut down through the API. The lock must be held."""
    store = ctx.store
    flags = store.value("VM", vm_ref, "last_boot_CPU_flags")
    if flags:
        flags = {**flags, "features": ""}
    store.update("VM", vm_ref, memory_target=0, last_boot_CPU_flags=flags)
    resync.force_halted(store, vm_ref)
    write_metrics(ctx, vm_ref, running=False)


def write_suspended(ctx: Context, vm_ref: str, domid: int, image_ref: str) -> None:
    """Write that a VM sleeps in an image; its devices stay as they are in the database. The lock must be held."""
    vm = ctx.store.record("VM", vm_ref)
    allowed.update_vm(
        ctx.store,
        vm_ref,
        power_state="Suspended",
        resident_on=NULL,
        domid=-1,
        suspend_VDI=image_ref,
        last_booted_record=_make_booted_record(ctx, vm, domid),
    )


def _make_booted_record(ctx: Context, vm: dict[str, Any], domid: int) -> str:
    """Write what xenopsd keeps of a domain while it sleeps."""
    record = {
        "last_create_time": ctx.clock.now(),
        "xsdata": vm["xenstore_data"],
        **{kind: [] for kind in ("vusbs", "vgpus", "pcis", "vifs", "vbds")},
        "suspended": True,
        "qemu_created": False,
        "memory_dynamic_max": vm["memory_dynamic_max"],
        "memory_dynamic_min": vm["memory_dynamic_min"],
        "shadow_multiplier": vm["HVM_shadow_multiplier"],
        "vcpus": vm["VCPUs_at_startup"],
        "built": True,
        "paused": True,
        "hvm": vm["domain_type"] != "pv",
        "uuid": vm["uuid"],
        "domid": domid,
    }
    return json.dumps(record, separators=(",", ":"))


def image_bytes(vm: dict[str, Any]) -> int:
    """Give the size of the image in which a VM sleeps: its memory and what lies beside it. Assumed."""
    return int(vm["memory_static_max"]) + memory.overhead_of(int(vm["memory_static_max"]))
