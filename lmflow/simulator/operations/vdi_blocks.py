"""Disks whose changed blocks are written down, and disks of which only that is left."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.database.values import EPOCH, NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.operations.vdi import check_vdi, copy_vdi
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed_storage

_BLOCK_BYTES = 64 * 1024


def _set_tracking(ctx: Context, vdi_ref: str, *, enabled: bool) -> str:
    with ctx.store.lock:
        if ctx.store.value("VDI", vdi_ref, "is_a_snapshot"):
            raise ApiFailure("OPERATION_NOT_ALLOWED", f"VDI is a snapshot: {vdi_ref}")
        ctx.store.update("VDI", vdi_ref, cbt_enabled=enabled)
    return ""


@operation("VDI.enable_cbt", effect=True)
def enable_cbt(ctx: Context, vdi_ref: str) -> str:
    """Write down from now on which blocks of a disk change."""
    return _set_tracking(ctx, vdi_ref, enabled=True)


@operation("VDI.disable_cbt", effect=True)
def disable_cbt(ctx: Context, vdi_ref: str) -> str:
    """Write down no longer which blocks of a disk change."""
    return _set_tracking(ctx, vdi_ref, enabled=False)


@operation("VDI.data_destroy", effect=True)
def data_destroy(ctx: Context, vdi_ref: str) -> str:
    """Remove a snapshot's data and keep what was written down of its blocks: VDI_NO_CBT_METADATA."""
    store = ctx.store
    with store.lock:
        vdi = store.record("VDI", vdi_ref)
        if not vdi["is_a_snapshot"]:
            raise ApiFailure("OPERATION_NOT_ALLOWED", f"VDI is not a snapshot: {vdi_ref}")
        if not vdi["cbt_enabled"]:
            raise ApiFailure("VDI_NO_CBT_METADATA", vdi_ref)
        check_vdi(ctx, vdi_ref, "destroy")
        store.update("VDI", vdi_ref, type="cbt_metadata", physical_utilisation=0)
    return ""


@operation("VDI.list_changed_blocks")
def list_changed_blocks(ctx: Context, from_ref: str, to_ref: str) -> str:
    """List the blocks that differ between two snapshots, as base64 of a bitmap: none of a simulated disk does."""
    store = ctx.store
    with store.lock:
        for ref in (from_ref, to_ref):
            if not store.value("VDI", ref, "cbt_enabled"):
                raise ApiFailure("VDI_NO_CBT_METADATA", ref)
        bits = -(-int(store.value("VDI", to_ref, "virtual_size")) // _BLOCK_BYTES)
    return _zeros(-(-bits // 8))


def _zeros(count: int) -> str:
    whole, rest = divmod(count, 3)
    return "AAAA" * whole + {0: "", 1: "AA==", 2: "AAA="}[rest]


@operation("VDI.get_nbd_info")
def get_nbd_info(ctx: Context, vdi_ref: str) -> list[dict[str, Any]]:
    """List where a disk can be read over the network: nowhere, as no network is for that."""
    ctx.store.value("VDI", vdi_ref, "uuid")
    return []


@operation("VDI.revert", effect=True)
def set_back(ctx: Context, snapshot_ref: str) -> str:
    """Set a disk that nobody holds back to one of its snapshots."""
    store = ctx.store
    with store.lock:
        snapshot = store.record("VDI", snapshot_ref)
        if not snapshot["is_a_snapshot"] or not store.exists("VDI", snapshot["snapshot_of"]):
            raise ApiFailure("OPERATION_NOT_ALLOWED", f"VDI is not a snapshot: {snapshot_ref}")
        vdi_ref = snapshot["snapshot_of"]
        check_vdi(ctx, vdi_ref, "destroy")
        new_ref = copy_vdi(store, snapshot_ref, now=EPOCH)
        for vbd_ref in store.value("VDI", vdi_ref, "VBDs"):
            store.update("VBD", vbd_ref, VDI=new_ref)
        for ref in store.value("VDI", vdi_ref, "snapshots"):
            store.update("VDI", ref, snapshot_of=new_ref)
        store.update("VDI", new_ref, is_a_snapshot=False, snapshot_of=NULL)
        store.destroy("VDI", vdi_ref)
        allowed_storage.refresh(store, "VDI", new_ref)
    return ""
