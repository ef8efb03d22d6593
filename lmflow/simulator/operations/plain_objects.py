"""Objects that are nothing but records of the database: secrets, groups, appliances, networks, blobs."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation

_SYSTEM_NETWORK = "is_guest_installer_network"


def _register_plain(cls: str) -> None:
    @operation(f"{cls}.create", effect=True)
    def create(ctx: Context, args: dict[str, Any]) -> str:
        return ctx.store.create(cls, args)

    @operation(f"{cls}.destroy", effect=True)
    def destroy(ctx: Context, ref: str) -> None:
        ctx.store.destroy(cls, ref)


_register_plain("secret")


@operation("VM_appliance.create", effect=True)
def create_appliance(ctx: Context, args: dict[str, Any]) -> str:
    """Create an appliance; it has no VMs yet."""
    return ctx.store.create("VM_appliance", args)


@operation("VM_appliance.destroy", effect=True)
def destroy_appliance(ctx: Context, ref: str) -> None:
    """Remove an appliance; its VMs stay."""
    with ctx.store.lock:
        for vm_ref in ctx.store.value("VM_appliance", ref, "VMs"):
            ctx.store.update("VM", vm_ref, appliance=NULL)
        ctx.store.destroy("VM_appliance", ref)


@operation("VM_group.create", effect=True)
def create_group(ctx: Context, args: dict[str, Any]) -> str:
    """Create a group; it has no VMs yet."""
    return ctx.store.create("VM_group", args)


@operation("VM_group.destroy", effect=True)
def destroy_group(ctx: Context, ref: str) -> None:
    """Remove a group; its VMs stay."""
    with ctx.store.lock:
        for vm_ref in ctx.store.value("VM_group", ref, "VMs"):
            groups = [group for group in ctx.store.value("VM", vm_ref, "groups") if group != ref]
            ctx.store.update("VM", vm_ref, groups=groups)
        ctx.store.destroy("VM_group", ref)


# -- networks


@operation("network.create", effect=True)
def create_network(ctx: Context, args: dict[str, Any]) -> str:
    """Create a network that no interface of a host is on yet; its bridge gets the next free name of XAPI's own."""
    with ctx.store.lock:
        taken = {ctx.store.value("network", ref, "bridge") for ref in ctx.store.refs("network")}
        own = next(name for name in (f"xapi{n}" for n in range(len(taken) + 1)) if name not in taken)
        return ctx.store.create("network", {**args, "bridge": args["bridge"] or own})


@operation("network.destroy", effect=True)
def destroy_network(ctx: Context, ref: str) -> None:
    """Remove a network that nothing is attached to; interfaces of halted VMs on it go with it."""
    store = ctx.store
    with store.lock:
        vifs = store.value("network", ref, "VIFs")
        attached = [vif for vif in vifs if store.value("VIF", vif, "currently_attached")]
        if attached:
            raise ApiFailure("NETWORK_CONTAINS_VIF", attached[0])
        pifs = store.value("network", ref, "PIFs")
        if pifs:
            raise ApiFailure("NETWORK_CONTAINS_PIF", pifs[0])
        if store.value("network", ref, "other_config").get(_SYSTEM_NETWORK) == "true":
            raise ApiFailure("CANNOT_DESTROY_SYSTEM_NETWORK", ref)
        for vif in vifs:
            store.destroy("VIF", vif)
        store.destroy("network", ref)


@operation("network.add_purpose", effect=True)
def add_purpose(ctx: Context, ref: str, value: str) -> None:
    """Give a network a purpose; NETWORK_INCOMPATIBLE_PURPOSES for NBD with and without encryption on one."""
    with ctx.store.lock:
        present = ctx.store.value("network", ref, "purpose")
        for other in present:
            if {other, value} == {"nbd", "insecure_nbd"}:
                raise ApiFailure("NETWORK_INCOMPATIBLE_PURPOSES", value, other)
        if value not in present:
            ctx.store.update("network", ref, purpose=[*present, value])


# -- blobs


def _create_blob(ctx: Context, name: str, mime_type: str, *, public: bool) -> str:
    kind = mime_type or "application/octet-stream"
    return ctx.store.create("blob", {"name_label": name, "mime_type": kind, "public": public})


@operation("blob.create", effect=True)
def create_blob(ctx: Context, mime_type: str, public: bool) -> str:
    """Make a place for something that nobody looks into; its content is not simulated."""
    return _create_blob(ctx, "", mime_type, public=public)


@operation("blob.destroy", effect=True)
def destroy_blob(ctx: Context, ref: str) -> None:
    """Remove a blob."""
    ctx.store.destroy("blob", ref)


def _register_new_blob(cls: str) -> None:
    @operation(f"{cls}.create_new_blob", effect=True)
    def create_new_blob(ctx: Context, ref: str, name: str, mime_type: str, public: bool) -> str:
        with ctx.store.lock:
            present = ctx.store.value(cls, ref, "blobs")
            blob_ref = _create_blob(ctx, name, mime_type, public=public)
            ctx.store.update(cls, ref, blobs={**present, name: blob_ref})
            return blob_ref


for _cls in ("VM", "SR", "host", "pool", "network"):
    _register_new_blob(_cls)
