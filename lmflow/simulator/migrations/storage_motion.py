"""Moving of disks to another SR, together with their VM: the checks, the copying, and the new disks in the database.

Source: xapi_vm_migrate.ml. The checks are as a real pool answered VM.assert_can_migrate; no disk was ever moved there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from lmflow.simulator import gate
from lmflow.simulator.context import Context
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure, TaskCancelled
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import part
from lmflow.simulator.rules import cpu_rules, placement, upgrade_order

AT_A_TIME = 3
"""How many of these one host carries out at a time; more are refused."""
BYTES_PER_SECOND = 1024**3
"""How fast a disk is copied. Assumed."""
_STEPS = 10
_LOOK_SECONDS = 1.0
_NEEDED = ("VDI_MIRROR", "VDI_SNAPSHOT")
_KEYS = ("master", "xenops", "session_id", "host", "SM")
NO_VIF_MAP = "VIF mapping is not allowed for intra-pool migration"
NO_COPY = "Copy mode is disallowed on intra pool storage migration, try efficient alternatives e.g. VM.copy/clone."


@part("storage_motion")
class StorageMotion:
    """Counts what each host carries out."""

    def __init__(self, _pool: Kernel) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    @contextmanager
    def on(self, host_ref: str) -> Iterator[None]:
        """Count one more on a host while the block runs: TOO_MANY_STORAGE_MIGRATES."""
        with self._lock:
            if self._counts.get(host_ref, 0) >= AT_A_TIME:
                raise ApiFailure("TOO_MANY_STORAGE_MIGRATES", str(AT_A_TIME))
            self._counts[host_ref] = self._counts.get(host_ref, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[host_ref] -= 1


@dataclass(frozen=True, slots=True)
class Target:
    """What ``host.migrate_receive`` gave to whoever asks: where a VM is to go."""

    host_ref: str
    master: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller wants besides: disk -> SR, interface -> network, and options."""

    vdi_map: Mapping[str, str]
    vif_map: Mapping[str, str]
    options: Mapping[str, str]


def read_target(dest: Mapping[str, str]) -> Target:
    """Read what the caller brings; INTERNAL_ERROR Not_found where a key is missing, as in XAPI."""
    if any(key not in dest for key in _KEYS):
        raise ApiFailure("INTERNAL_ERROR", "Not_found")
    return Target(dest["host"], dest["master"])


@dataclass(slots=True)
class Disks:
    """The disks of a VM and where each goes: ``own`` are the VM's, ``older`` those of its snapshots."""

    vm_ref: str
    own: dict[str, str]
    older: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    """Old disk -> new one."""


def disks_of(store: Store, vm_ref: str) -> list[str]:
    """List a VM's disks; CDs are no disks."""
    vbds = [store.record("VBD", ref) for ref in store.value("VM", vm_ref, "VBDs")]
    return [vbd["VDI"] for vbd in vbds if vbd["type"] != "CD" and store.exists("VDI", vbd["VDI"])]


def check(store: Store, vm_ref: str, target: Target, wish: Wish) -> None:
    """Refuse what VM.assert_can_migrate refuses, in its order; the lock must be held.

    LICENCE_RESTRICTION, VDI_NOT_IN_MAP, VDI_CBT_ENABLED, CANNOT_CONTACT_HOST for another pool,
    NOT_SUPPORTED_DURING_UPGRADE, HANDLE_INVALID or SR_DOES_NOT_SUPPORT_MIGRATION for an SR, the CPU, what
    VM.assert_can_boot_here refuses but for the storage, OPERATION_NOT_ALLOWED for interfaces.
    """
    pool_ref = store.refs("pool")[0]
    if store.value("pool", pool_ref, "restrictions").get("restrict_storage_xen_motion") == "true":
        raise ApiFailure("LICENCE_RESTRICTION", "Storage_motion")
    for vdi_ref in disks_of(store, vm_ref):
        if vdi_ref not in wish.vdi_map:
            raise ApiFailure("VDI_NOT_IN_MAP", vdi_ref)
    for vdi_ref in disks_of(store, vm_ref):
        if store.value("VDI", vdi_ref, "cbt_enabled"):
            raise ApiFailure("VDI_CBT_ENABLED", vdi_ref)
    if not store.exists("host", target.host_ref):
        raise ApiFailure("CANNOT_CONTACT_HOST", target.master.rpartition("/")[2])
    resident = store.value("VM", vm_ref, "resident_on")
    source_ref = resident if resident != NULL else store.value("pool", pool_ref, "master")
    upgrade_order.check_way(store, source_ref, target.host_ref)
    for vdi_ref, sr_ref in wish.vdi_map.items():
        _check_srs(store, vdi_ref, sr_ref)
    if wish.options.get("force") != "true":
        cpu_rules.check_cpu(store, vm_ref, target.host_ref)
    placement.check_can_be_here(store, vm_ref, target.host_ref, with_storage=False)
    if wish.vif_map:
        raise ApiFailure("OPERATION_NOT_ALLOWED", NO_VIF_MAP)


def _check_srs(store: Store, vdi_ref: str, sr_ref: str) -> None:
    source_ref = store.value("VDI", vdi_ref, "SR")
    if source_ref == sr_ref:
        return
    for ref in (source_ref, sr_ref):
        kind = store.value("SR", ref, "type")
        drivers = [store.record("SM", sm_ref) for sm_ref in store.find("SM", type=kind)]
        # A pool that was described without its drivers is taken to have good ones.
        missing = [name for name in _NEEDED if drivers and name not in drivers[0]["features"]]
        if missing:
            raise ApiFailure("SR_DOES_NOT_SUPPORT_MIGRATION", ref, ", ".join(missing))


def check_reached(store: Store, host_ref: str, vdi_map: Mapping[str, str]) -> None:
    """Refuse a destination that does not reach an SR to which a disk is to go."""
    reached = placement.reached_srs(store, host_ref)
    for sr_ref in vdi_map.values():
        if sr_ref not in reached:
            raise ApiFailure("SR_HAS_NO_PBDS", sr_ref)


def plan_disks(store: Store, vm_ref: str, vdi_map: Mapping[str, str]) -> Disks:
    """Say which disks are to be copied where; those of snapshots follow the disk that they are of."""
    disks = Disks(vm_ref, {})
    for vdi_ref in disks_of(store, vm_ref):
        if store.value("VDI", vdi_ref, "on_boot") == "reset":
            raise ApiFailure("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", vdi_ref)
        if vdi_map[vdi_ref] != store.value("VDI", vdi_ref, "SR"):
            disks.own[vdi_ref] = vdi_map[vdi_ref]
    for snapshot_ref in store.value("VM", vm_ref, "snapshots"):
        for vdi_ref in disks_of(store, snapshot_ref):
            sr_ref = vdi_map.get(vdi_ref) or vdi_map.get(store.value("VDI", vdi_ref, "snapshot_of"))
            if sr_ref and sr_ref != store.value("VDI", vdi_ref, "SR"):
                disks.older[vdi_ref] = sr_ref
    return disks


def copy(ctx: Context, disks: Disks) -> None:
    """Make new disks and copy into them; cancellable. When it is cancelled or fails, the new ones are removed."""
    wanted = disks.own | disks.older
    size = sum(int(ctx.store.value("VDI", ref, "virtual_size")) for ref in wanted)
    task = gate.task_of(ctx)
    task.show_cancel()
    try:
        with gate.writing(ctx):
            for vdi_ref, sr_ref in wanted.items():
                disks.made[vdi_ref] = _make_copy(ctx.store, vdi_ref, sr_ref)
        _pass(ctx, size / BYTES_PER_SECOND)
    except (ApiFailure, TaskCancelled):
        drop(ctx, disks)
        raise


def _pass(ctx: Context, seconds: float) -> None:
    """Let the time of a copy pass, with its progress on the task; TaskCancelled as soon as somebody cancels."""
    task, began = gate.task_of(ctx), ctx.clock.now()
    while (left := began + seconds - ctx.clock.now()) > 0:
        gate.check_not_abandoned(ctx)
        task.raise_if_cancelled()
        task.set_progress(int(_STEPS * (1 - left / seconds)) / _STEPS * 0.9)
        ctx.clock.wait(min(left, _LOOK_SECONDS), task.cancelled)
    gate.check_not_abandoned(ctx)


def _make_copy(store: Store, vdi_ref: str, sr_ref: str) -> str:
    fields = store.record("VDI", vdi_ref)
    lists = {name for (_, _), (cls, name) in store.schema.listed_by.items() if cls == "VDI"}
    kept = {name: value for name, value in fields.items() if name not in lists and name != "uuid"}
    new = {"SR": sr_ref, "location": store.make_uuid(), "current_operations": {}, "snapshot_of": NULL}
    return store.create("VDI", kept | new)


def drop(ctx: Context, disks: Disks) -> None:
    """Remove the new disks; nothing refers to them yet."""
    with ctx.store.lock:
        for vdi_ref in disks.made.values():
            if ctx.store.exists("VDI", vdi_ref):
                ctx.store.destroy("VDI", vdi_ref)
        disks.made.clear()


def switch(store: Store, disks: Disks, vdi_map: Mapping[str, str]) -> None:
    """Let the VM and its snapshots use the new disks and remove the old ones; CDs are taken out. Under the lock."""
    for old_ref, new_ref in disks.made.items():
        older_ref = store.value("VDI", old_ref, "snapshot_of")
        if older_ref in disks.made:
            store.update("VDI", new_ref, snapshot_of=disks.made[older_ref])
        for vbd_ref in store.value("VDI", old_ref, "VBDs"):
            store.update("VBD", vbd_ref, VDI=new_ref)
    for vbd_ref in store.value("VM", disks.vm_ref, "VBDs"):
        vbd = store.record("VBD", vbd_ref)
        is_full = vbd["type"] == "CD" and store.exists("VDI", vbd["VDI"])
        if is_full and vdi_map.get(vbd["VDI"]) != store.value("VDI", vbd["VDI"], "SR"):
            store.update("VBD", vbd_ref, VDI=NULL, empty=True, currently_attached=False)
    for old_ref in disks.made:
        store.destroy("VDI", old_ref)
