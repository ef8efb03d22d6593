"""High availability as flags and a plan; nothing fences, and nothing is started by it.

Source: xapi_ha.ml, xapi_pool.ml, xapi_vm.ml; no pool with high availability was watched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import failover, placement

STATE_FILE_BYTES = 4 * 1024 * 1024
CLUSTER_STACK = "xhad"


def _host_state_srs(ctx: Context, wanted: Sequence[str]) -> list[str]:
    """List the SRs that can hold the state: shared, and plugged on every host."""
    store = ctx.store
    candidates = list(wanted) or [ref for ref in store.refs("SR") if store.value("SR", ref, "shared")]
    hosts = store.refs("host")
    return [ref for ref in candidates if all(ref in placement.reached_srs(store, host) for host in hosts)]


@operation("pool.enable_ha", effect=True)
def enable_ha(ctx: Context, heartbeat_srs: list[str], configuration: Mapping[str, str]) -> str:
    """Turn high availability on. HA_IS_ENABLED, HOST_OFFLINE, CANNOT_CREATE_STATE_FILE."""
    store, pool_ref = ctx.store, ctx.pool.pool_ref
    with store.lock:
        if failover.is_on(store):
            raise ApiFailure("HA_IS_ENABLED")
        for ref in heartbeat_srs:
            store.value("SR", ref, "uuid")
        for host_ref in store.refs("host"):
            if not placement.is_live(store, host_ref):
                raise ApiFailure("HOST_OFFLINE", host_ref)
        srs = _host_state_srs(ctx, heartbeat_srs)
        if not srs:
            raise ApiFailure("CANNOT_CREATE_STATE_FILE")
        files = [_make_state_file(ctx, sr_ref) for sr_ref in srs[:1]]
        peers = [store.value("host", ref, "uuid") for ref in store.refs("host")]
        for host_ref in store.refs("host"):
            store.update("host", host_ref, ha_statefiles=files, ha_network_peers=peers)
        store.update(
            "pool",
            pool_ref,
            ha_enabled=True,
            ha_configuration=dict(configuration),
            ha_statefiles=files,
            ha_cluster_stack=CLUSTER_STACK,
        )
        failover.update_pool(store)
    return ""


def _make_state_file(ctx: Context, sr_ref: str) -> str:
    fields = {
        "name_label": "Statefile for HA",
        "name_description": "Used for storage heartbeating",
        "SR": sr_ref,
        "virtual_size": STATE_FILE_BYTES,
        "physical_utilisation": STATE_FILE_BYTES,
        "type": "ha_statefile",
        "sharable": True,
        "managed": True,
        "location": ctx.store.make_uuid(),
    }
    return str(ctx.store.value("VDI", ctx.store.create("VDI", fields), "uuid"))


@operation("pool.disable_ha", effect=True)
def disable_ha(ctx: Context) -> str:
    """Turn high availability off. HA_NOT_ENABLED."""
    store, pool_ref = ctx.store, ctx.pool.pool_ref
    with store.lock:
        if not failover.is_on(store):
            raise ApiFailure("HA_NOT_ENABLED")
        for uuid in store.value("pool", pool_ref, "ha_statefiles"):
            for vdi_ref in store.find("VDI", uuid=uuid):
                store.destroy("VDI", vdi_ref)
        for host_ref in store.refs("host"):
            store.update("host", host_ref, ha_statefiles=[], ha_network_peers=[])
        cleared = {"ha_configuration": {}, "ha_statefiles": [], "ha_cluster_stack": "", "ha_overcommitted": False}
        store.update("pool", pool_ref, ha_enabled=False, ha_plan_exists_for=0, **cleared)
    return ""


@operation("pool.set_ha_host_failures_to_tolerate", effect=True)
def set_failures_to_tolerate(ctx: Context, pool_ref: str, value: int) -> str:
    """Say how many hosts may fail. INVALID_VALUE, HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN when there is no plan."""
    with ctx.store.lock:
        ctx.store.value("pool", pool_ref, "uuid")
        if value < 0:
            raise ApiFailure("INVALID_VALUE", "ha_host_failures_to_tolerate", str(value))
        failover.check_preserves_plan(ctx.store, failover.NOTHING, value)
        ctx.store.update("pool", pool_ref, ha_host_failures_to_tolerate=value)
        failover.update_pool(ctx.store)
    return ""


@operation("pool.ha_failover_plan_exists")
def failover_plan_exists(ctx: Context, failures: int) -> bool:
    """Tell whether all protected VMs could be started again whichever so many hosts failed."""
    return failover.plan(ctx.store, max(0, failures)) is failover.Answer.FOR_ALL


@operation("pool.ha_compute_max_host_failures_to_tolerate")
def compute_max_failures(ctx: Context) -> int:
    """Give how many hosts may fail with the VMs that are protected now."""
    return failover.most_failures(ctx.store)


@operation("pool.ha_compute_hypothetical_max_host_failures_to_tolerate")
def compute_hypothetical_max_failures(ctx: Context, configuration: Mapping[str, str]) -> int:
    """Give how many hosts may fail if these VMs had these priorities; other VMs are not protected then."""
    for vm_ref, priority in configuration.items():
        ctx.store.value("VM", vm_ref, "uuid")
        _check_priority(priority)
    protected = [vm_ref for vm_ref, priority in configuration.items() if priority == failover.RESTART]
    return failover.most_failures(ctx.store, protected)


@operation("pool.ha_compute_vm_failover_plan")
def compute_failover_plan(ctx: Context, failed_hosts: list[str], failed_vms: list[str]) -> dict[str, dict[str, str]]:
    """Say for each protected VM that would be lost where it would run, or that there is no place: HA_NO_PLAN."""
    store = ctx.store
    with store.lock:
        lost = [r for r in failover.protected_vms(store) if store.value("VM", r, "resident_on") in failed_hosts]
        places = failover.plan_restarts(store, failed_hosts, failed_vms)
        wanted = dict.fromkeys([*lost, *failed_vms])
    return {ref: {"host": places[ref]} if ref in places else {"error_code": "HA_NO_PLAN"} for ref in wanted}


@operation("pool.ha_prevent_restarts_for", effect=True)
def prevent_restarts_for(ctx: Context, _seconds: int) -> str:
    """Put off what nobody does here. HA_NOT_ENABLED."""
    if not failover.is_on(ctx.store):
        raise ApiFailure("HA_NOT_ENABLED")
    return ""


def _check_priority(value: str) -> None:
    if value not in failover.PRIORITIES:
        raise ApiFailure("INVALID_VALUE", "ha_restart_priority", value)


@operation("VM.set_ha_restart_priority", effect=True)
def set_restart_priority(ctx: Context, vm_ref: str, value: str) -> str:
    """Say whether a VM is started again after a failure; one that runs is to run always from then on."""
    store = ctx.store
    with store.lock:
        vm = store.record("VM", vm_ref)
        _check_priority(value)
        runs = vm["power_state"] != "Halted"
        if value == failover.RESTART != vm["ha_restart_priority"] and runs:
            failover.check_preserves_plan(store, failover.Change(protected=(vm_ref,)))
        always = value != "" if runs else vm["ha_always_run"]
        store.update("VM", vm_ref, ha_restart_priority=value, ha_always_run=always)
        failover.update_pool(store)
    return ""


@operation("VM.set_ha_always_run", effect=True)
def set_always_run(ctx: Context, vm_ref: str, value: bool) -> str:
    """Say whether a VM is to run always; deprecated since long and still there."""
    store = ctx.store
    with store.lock:
        vm = store.record("VM", vm_ref)
        if value and vm["ha_restart_priority"] == failover.RESTART:
            failover.check_preserves_plan(store, failover.Change(protected=(vm_ref,)))
        store.update("VM", vm_ref, ha_always_run=value)
        failover.update_pool(store)
    return ""


@operation("VM.assert_agile")
def assert_agile(ctx: Context, vm_ref: str) -> str:
    """Refuse a VM that not every host could run."""
    ctx.store.value("VM", vm_ref, "uuid")
    with ctx.store.lock:
        failover.check_agile(ctx.store, vm_ref)
    return ""
