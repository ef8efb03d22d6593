"""Making, copying and removing of disks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import EPOCH, NULL, DateTime
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed_storage

COPY_SECONDS = 0.1
_OF_THE_COPIED = (
    "name_label",
    "name_description",
    "virtual_size",
    "type",
    "sharable",
    "read_only",
    "other_config",
    "xenstore_data",
    "tags",
    "allow_caching",
    "on_boot",
    "cbt_enabled",
)
_GIVEN = (*_OF_THE_COPIED, "sm_config")


def refresh_usage(store: Store, sr_ref: str) -> None:
    """Write what the disks of an SR take of it."""
    if store.exists("SR", sr_ref):
        taken = sum(int(store.value("VDI", ref, "virtual_size")) for ref in store.value("SR", sr_ref, "VDIs"))
        store.update("SR", sr_ref, virtual_allocation=taken, physical_utilisation=taken)


def make_vdi(store: Store, sr_ref: str, fields: Mapping[str, Any]) -> str:
    """Create a disk on an SR; SR_FULL when it has no room for it."""
    with store.lock:
        sr, uuid = store.record("SR", sr_ref), str(fields.get("uuid") or store.make_uuid())
        wanted = int(fields.get("virtual_size", 0))
        free = int(sr["physical_size"]) - int(sr["physical_utilisation"])
        if int(sr["physical_size"]) and wanted > free:
            raise ApiFailure("SR_FULL", str(wanted), str(free))
        own = {"SR": sr_ref, "uuid": uuid, "location": uuid, "managed": True, "metadata_of_pool": ""}
        ref = store.create("VDI", {"physical_utilisation": wanted, **own, **fields, "uuid": uuid})
        refresh_usage(store, sr_ref)
        allowed_storage.refresh(store, "VDI", ref)
        return ref


def check_vdi(ctx: Context, vdi_ref: str, name: str) -> None:
    """Refuse an operation that a disk does not allow now: VDI_IN_USE; OPERATION_NOT_ALLOWED for a disk of others."""
    vdi = ctx.store.record("VDI", vdi_ref)
    for task_ref, other in vdi["current_operations"].items():
        raise ApiFailure("OTHER_OPERATION_IN_PROGRESS", "VDI", vdi_ref, other, task_ref)
    if name not in allowed_storage.vdi_operations(ctx.store, vdi_ref):
        raise ApiFailure("VDI_IN_USE", vdi_ref, name)


def check_sr_is_attached(store: Store, sr_ref: str) -> None:
    """Refuse an SR that no host has plugged: SR_HAS_NO_PBDS, SR_NOT_ATTACHED."""
    pbds = store.value("SR", sr_ref, "PBDs")
    if not pbds:
        raise ApiFailure("SR_HAS_NO_PBDS", sr_ref)
    if not any(store.value("PBD", ref, "currently_attached") for ref in pbds):
        raise ApiFailure("SR_NOT_ATTACHED", sr_ref)


def copy_vdi(store: Store, vdi_ref: str, *, now: DateTime, snapshot: bool = False, sr_ref: str = "") -> str:
    """Make a copy of a disk on its SR or another; a ``snapshot`` knows what it was taken of."""
    vdi = store.record("VDI", vdi_ref)
    fields = {name: vdi[name] for name in _OF_THE_COPIED}
    fields |= {"snapshot_time": now, "is_a_snapshot": snapshot, "snapshot_of": vdi_ref if snapshot else NULL}
    return make_vdi(store, sr_ref or vdi["SR"], fields)


def _remove(store: Store, vdi_ref: str) -> None:
    sr_ref = store.value("VDI", vdi_ref, "SR")
    for vbd_ref in store.value("VDI", vdi_ref, "VBDs"):
        store.destroy("VBD", vbd_ref)
    store.destroy("VDI", vdi_ref)
    refresh_usage(store, sr_ref)


@operation("VDI.create", effect=True)
def create(ctx: Context, args: dict[str, Any]) -> str:
    """Make a disk."""
    store, sr_ref = ctx.store, str(args.get("SR", NULL))
    with store.lock:
        if not store.exists("SR", sr_ref):
            raise ApiFailure("HANDLE_INVALID", "SR", sr_ref)
        check_sr_is_attached(store, sr_ref)
        fields = {name: args[name] for name in _GIVEN if name in args}
        fields["virtual_size"] = int(fields.get("virtual_size", 0))
        return make_vdi(store, sr_ref, fields)


@operation("VDI.destroy", effect=True)
def destroy(ctx: Context, vdi_ref: str) -> str:
    """Remove a disk that nobody holds, and what joined it to VMs."""
    with ctx.store.lock:
        check_vdi(ctx, vdi_ref, "destroy")
        check_sr_is_attached(ctx.store, ctx.store.value("VDI", vdi_ref, "SR"))
        _remove(ctx.store, vdi_ref)
    return ""


@operation("VDI.forget", effect=True)
def forget(ctx: Context, vdi_ref: str) -> str:
    """Remove the record of a disk that nobody holds; its data stay."""
    with ctx.store.lock:
        check_vdi(ctx, vdi_ref, "forget")
        _remove(ctx.store, vdi_ref)
    return ""


def _introduce(ctx: Context, uuid: str, label: str, description: str, sr_ref: str, *given: Any) -> str:
    store = ctx.store
    names = ("type", "sharable", "read_only", "other_config", "location", "xenstore_data", "sm_config", "managed")
    more = ("virtual_size", "physical_utilisation", "metadata_of_pool", "is_a_snapshot", "snapshot_time", "snapshot_of")
    fields = dict(zip((*names, *more), given, strict=False))
    with store.lock:
        if not store.exists("SR", sr_ref):
            raise ApiFailure("HANDLE_INVALID", "SR", sr_ref)
        if store.find("VDI", uuid=uuid):
            raise ApiFailure("UUID_INVALID", "VDI", uuid)
        for vdi_ref in store.value("SR", sr_ref, "VDIs"):
            if store.value("VDI", vdi_ref, "location") == fields["location"]:
                raise ApiFailure("LOCATION_NOT_UNIQUE", sr_ref, fields["location"])
        fields = {"snapshot_time": EPOCH, **{k: v for k, v in fields.items() if v != ""}, "managed": True}
        return make_vdi(store, sr_ref, {"uuid": uuid, "name_label": label, "name_description": description, **fields})


@operation("VDI.introduce", effect=True)
def introduce(ctx: Context, *args: Any) -> str:
    """Write down a disk that is on an SR already: LOCATION_NOT_UNIQUE when its place is known."""
    return _introduce(ctx, *args)


@operation("VDI.snapshot", effect=True)
def snapshot(ctx: Context, vdi_ref: str, _driver_params: dict[str, str]) -> str:
    """Keep a disk as it is now."""
    with ctx.store.lock:
        check_vdi(ctx, vdi_ref, "snapshot")
        return copy_vdi(ctx.store, vdi_ref, now=ctx.clock.stamp(), snapshot=True)


@operation("VDI.clone", effect=True)
def clone(ctx: Context, vdi_ref: str, _driver_params: dict[str, str]) -> str:
    """Make a disk that begins as another is now."""
    with ctx.store.lock:
        check_vdi(ctx, vdi_ref, "clone")
        return copy_vdi(ctx.store, vdi_ref, now=ctx.clock.stamp())


@operation("VDI.copy", effect=True)
def copy(ctx: Context, vdi_ref: str, sr_ref: str, _base_ref: str, into_ref: str) -> str:
    """Copy a disk's data to an SR, or into a disk that is there and large enough (VDI_TOO_SMALL)."""
    ctx.clock.wait(COPY_SECONDS)
    with ctx.store.lock:
        check_vdi(ctx, vdi_ref, "copy")
        if into_ref != NULL:
            size = ctx.store.value("VDI", vdi_ref, "virtual_size")
            if int(ctx.store.value("VDI", into_ref, "virtual_size")) < int(size):
                raise ApiFailure("VDI_TOO_SMALL", into_ref, str(size))
            return into_ref
        if not ctx.store.exists("SR", sr_ref):
            raise ApiFailure("HANDLE_INVALID", "SR", sr_ref)
        check_sr_is_attached(ctx.store, sr_ref)
        return copy_vdi(ctx.store, vdi_ref, now=EPOCH, sr_ref=sr_ref)


def _resize(ctx: Context, vdi_ref: str, size: int, name: str) -> str:
    with ctx.store.lock:
        check_vdi(ctx, vdi_ref, name)
        if size < int(ctx.store.value("VDI", vdi_ref, "virtual_size")):
            raise ApiFailure("VDI_TOO_SMALL", vdi_ref, str(size))
        ctx.store.update("VDI", vdi_ref, virtual_size=size, physical_utilisation=size)
        refresh_usage(ctx.store, ctx.store.value("VDI", vdi_ref, "SR"))
    return ""


@operation("VDI.resize", effect=True)
def resize(ctx: Context, vdi_ref: str, size: int) -> str:
    """Make a disk larger that nobody holds."""
    return _resize(ctx, vdi_ref, size, "resize")


@operation("VDI.resize_online", effect=True)
def resize_online(ctx: Context, vdi_ref: str, size: int) -> str:
    """Make a disk larger, whoever holds it."""
    return _resize(ctx, vdi_ref, size, "snapshot")


@operation("VDI.update", effect=True)
def update(ctx: Context, vdi_ref: str) -> str:
    """Look at a disk again; nothing is learnt that was not known."""
    ctx.store.value("VDI", vdi_ref, "uuid")
    return ""


@operation("VDI.set_on_boot", effect=True)
def set_on_boot(ctx: Context, vdi_ref: str, value: str) -> str:
    """Say what becomes of a disk's content at boot; VM_BAD_POWER_STATE while a VM that uses it is not halted."""
    store = ctx.store
    with store.lock:
        for vbd_ref in store.value("VDI", vdi_ref, "VBDs"):
            vm_ref = store.value("VBD", vbd_ref, "VM")
            present = store.value("VM", vm_ref, "power_state") if store.exists("VM", vm_ref) else "Halted"
            if present != "Halted":
                raise ApiFailure("VM_BAD_POWER_STATE", vm_ref, "halted", present.lower())
        config = {**store.value("VDI", vdi_ref, "sm_config"), "on_boot": value}
        store.update("VDI", vdi_ref, on_boot=value, sm_config=config if value == "reset" else _without(config))
    return ""


def _without(config: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in config.items() if key != "on_boot"}
