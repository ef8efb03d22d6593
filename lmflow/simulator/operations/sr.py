"""Making, finding and removing of storage repositories."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.database.store import Store
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import forwarding
from lmflow.simulator.operations.vdi import check_sr_is_attached, refresh_usage
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed_storage

_EMPTY_PROBE = '<?xml version="1.0" ?>\n<SRlist/>\n'


def _check_type(store: Store, kind: str) -> None:
    if kind not in get_supported_types_of(store):
        raise ApiFailure("SR_UNKNOWN_DRIVER", kind)


def get_supported_types_of(store: Store) -> set[str]:
    """Give the types that a storage driver of the pool makes; those in use where no driver is written down."""
    drivers = {str(store.value("SM", ref, "type")) for ref in store.refs("SM")}
    return drivers | {str(store.value("SR", ref, "type")) for ref in store.refs("SR")}


def _make(store: Store, fields: dict[str, Any]) -> str:
    fields["sm_config"] = dict(fields["sm_config"] or {})
    ref = store.create("SR", fields)
    allowed_storage.refresh(store, "SR", ref)
    return ref


_DESCRIBED = ("name_label", "name_description", "type", "content_type", "shared", "sm_config")


@operation("SR.create", effect=True)
def create(ctx: Context, host_ref: str, device_config: dict[str, str], physical_size: int, *described: Any) -> str:
    """Make an SR and plug it: to the given host, and a shared one to every other host that is there.

    ``described``: name, description, type, content type, whether it is shared, and the driver's own settings.
    """
    store = ctx.store
    if not store.exists("host", host_ref):
        raise ApiFailure("HANDLE_INVALID", "host", host_ref)
    forwarding.reach(ctx, host_ref)
    fields = dict(zip(_DESCRIBED, described, strict=True))
    with store.lock:
        _check_type(store, fields["type"])
        ref = _make(store, {**fields, "physical_size": physical_size})
        for other_ref in store.refs("host") if fields["shared"] else [host_ref]:
            pbd = {"host": other_ref, "SR": ref, "device_config": device_config, "currently_attached": True}
            store.create("PBD", pbd)
        allowed_storage.refresh(store, "SR", ref)
    return ref


@operation("SR.make", effect=True)
def make(_ctx: Context, *_args: Any) -> str:
    """Refuse: MESSAGE_DEPRECATED."""
    raise ApiFailure("MESSAGE_DEPRECATED")


@operation("SR.introduce", effect=True)
def introduce(ctx: Context, uuid: str, *described: Any) -> str:
    """Write down an SR that is there already, described as for ``create``; it has no PBDs yet. SR_UUID_EXISTS."""
    store, fields = ctx.store, dict(zip(_DESCRIBED, described, strict=True))
    with store.lock:
        _check_type(store, fields["type"])
        if uuid and store.find("SR", uuid=uuid):
            raise ApiFailure("SR_UUID_EXISTS", uuid)
        return _make(store, {"uuid": uuid, **fields})


def _check_unplugged(store: Store, sr_ref: str) -> None:
    if any(store.value("PBD", ref, "currently_attached") for ref in store.value("SR", sr_ref, "PBDs")):
        raise ApiFailure("SR_HAS_PBD", sr_ref)


def _remove(store: Store, sr_ref: str) -> None:
    for cls, field in (("VDI", "VDIs"), ("PBD", "PBDs")):
        for ref in store.value("SR", sr_ref, field):
            for vbd_ref in store.value("VDI", ref, "VBDs") if cls == "VDI" else ():
                store.destroy("VBD", vbd_ref)
            store.destroy(cls, ref)
    store.destroy("SR", sr_ref)


@operation("SR.forget", effect=True)
def forget(ctx: Context, sr_ref: str) -> str:
    """Remove the records of an SR that no host has plugged: SR_HAS_PBD."""
    with ctx.store.lock:
        _check_unplugged(ctx.store, sr_ref)
        _remove(ctx.store, sr_ref)
    return ""


@operation("SR.destroy", effect=True)
def destroy(ctx: Context, sr_ref: str) -> str:
    """Remove an SR with what is on it: SR_HAS_PBD, SR_HAS_NO_PBDS, SR_INDESTRUCTIBLE, SR_NOT_EMPTY."""
    store = ctx.store
    with store.lock:
        _check_unplugged(store, sr_ref)
        if not store.value("SR", sr_ref, "PBDs"):
            raise ApiFailure("SR_HAS_NO_PBDS", sr_ref)
        if store.value("SR", sr_ref, "other_config").get("indestructible") == "true":
            raise ApiFailure("SR_INDESTRUCTIBLE", sr_ref)
        if any(store.value("VDI", ref, "managed") for ref in store.value("SR", sr_ref, "VDIs")):
            raise ApiFailure("SR_NOT_EMPTY")
        _remove(store, sr_ref)
    return ""


@operation("SR.scan", effect=True)
def scan(ctx: Context, sr_ref: str) -> str:
    """Look at an SR's disks again: SR_HAS_NO_PBDS, SR_NOT_ATTACHED."""
    with ctx.store.lock:
        check_sr_is_attached(ctx.store, sr_ref)
        refresh_usage(ctx.store, sr_ref)
    return ""


@operation("SR.update", effect=True)
def update(ctx: Context, sr_ref: str) -> str:
    """Look at an SR's figures again."""
    return scan(ctx, sr_ref)


@operation("SR.set_shared", effect=True)
def set_shared(ctx: Context, sr_ref: str, value: bool) -> str:
    """Say whether hosts share an SR; one with several PBDs cannot be made local: SR_HAS_MULTIPLE_PBDS."""
    store = ctx.store
    with store.lock:
        pbds = store.value("SR", sr_ref, "PBDs")
        if not value and len(pbds) > 1:
            raise ApiFailure("SR_HAS_MULTIPLE_PBDS", pbds[0])
        store.update("SR", sr_ref, shared=value)
    return ""


@operation("SR.get_supported_types")
def get_supported_types(ctx: Context) -> list[str]:
    """List the types of SR that can be made."""
    return sorted(get_supported_types_of(ctx.store))


@operation("SR.probe")
def probe(ctx: Context, host_ref: str, _config: dict[str, str], kind: str, _sm_config: dict[str, str]) -> str:
    """Look for SRs behind a device; the simulated devices hold none."""
    forwarding.reach(ctx, host_ref)
    _check_type(ctx.store, kind)
    return _EMPTY_PROBE


@operation("SR.probe_ext")
def probe_ext(
    ctx: Context, host_ref: str, _config: dict[str, str], kind: str, _sm_config: dict[str, str]
) -> list[dict[str, Any]]:
    """Look for SRs behind a device, answered in records."""
    forwarding.reach(ctx, host_ref)
    _check_type(ctx.store, kind)
    return []
