"""Suspending and resuming of VMs."""

from __future__ import annotations

from lmflow.simulator import gate, messages, vm_records
from lmflow.simulator.context import Context
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import domains, resync
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.migrations import reservation
from lmflow.simulator.operations.vdi import make_vdi
from lmflow.simulator.operations.vm_power import choose_host
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import placement

SUSPEND_SECONDS = 0.1
RESUME_SECONDS = 0.3


def choose_suspend_sr(ctx: Context, vm_ref: str) -> str:
    """Choose the SR of the VM, the pool or the VM's host for its image; VM_NO_SUSPEND_SR. The default SR is none."""
    store = ctx.store
    choices = [store.value("VM", vm_ref, "suspend_SR"), store.value("pool", ctx.pool.pool_ref, "suspend_image_SR")]
    host_ref = store.value("VM", vm_ref, "resident_on")
    if store.exists("host", host_ref):
        choices.append(store.value("host", host_ref, "suspend_image_sr"))
    found = next((ref for ref in choices if store.exists("SR", ref)), None)
    if found is None:
        raise ApiFailure("VM_NO_SUSPEND_SR", vm_ref)
    return str(found)


def suspend_domain(ctx: Context, vm_ref: str, sr_ref: str) -> str:
    """Write a domain's memory to a new image and end it; returns the image."""
    with domains.held_domain(ctx, vm_ref) as (host_ref, domain):
        gate.pause(ctx, SUSPEND_SECONDS)
        with gate.writing(ctx):
            vm = ctx.store.record("VM", vm_ref)
            fields = {"name_label": "Suspend image", "name_description": "Suspend image", "type": "suspend"}
            image_ref = make_vdi(ctx.store, sr_ref, {**fields, "virtual_size": vm_records.image_bytes(vm)})
            ctx.took_effect()
            ctx.pool.part(Xenops).destroy(host_ref, vm["uuid"])
            vm_records.write_suspended(ctx, vm_ref, domain.domid, image_ref)
        return image_ref


def resume_domain(ctx: Context, vm_ref: str, host_ref: str, *, paused: bool) -> None:
    """Build a domain from a VM's image on a host, and let the image go."""
    with domains.in_turn(ctx, vm_ref):
        domains.refuse_second(ctx, vm_ref, host_ref)
        domains.let_build(ctx, host_ref, RESUME_SECONDS)
        with gate.writing(ctx):
            store, xenops = ctx.store, ctx.pool.part(Xenops)
            vm = store.record("VM", vm_ref)
            xenops.boot(host_ref, vm["uuid"], "Paused" if paused else "Running")
            ctx.took_effect()
            domain = xenops.find_running(host_ref, vm["uuid"])
            if domain is not None:
                resync.write_running(store, vm_ref, host_ref, domain)
            store.update("VM", vm_ref, suspend_VDI=NULL)
            if store.exists("VDI", vm["suspend_VDI"]):
                store.destroy("VDI", vm["suspend_VDI"])


@operation("VM.suspend", effect=True)
def suspend(ctx: Context, vm_ref: str) -> str:
    """Write a running VM to an image; where to is looked at before anything else."""
    if not ctx.store.exists("VM", vm_ref):
        raise ApiFailure("HANDLE_INVALID", "VM", vm_ref)
    sr_ref = choose_suspend_sr(ctx, vm_ref)
    with gate.checked_operation(ctx, vm_ref, "suspend"):
        gate.task_of(ctx).show_cancel()
        suspend_domain(ctx, vm_ref, sr_ref)
        with gate.writing(ctx):
            messages.announce_done(ctx, "VM_SUSPENDED", vm_ref, "suspended")
    return ""


def _resume(ctx: Context, vm_ref: str, name: str, wanted_ref: str, *, paused: bool, force: bool) -> str:
    with gate.checked_operation(ctx, vm_ref, name, {"scheduled_to_be_resident_on": NULL}):
        store = ctx.store
        with gate.writing(ctx):
            if not store.exists("VDI", store.value("VM", vm_ref, "suspend_VDI")):
                raise ApiFailure("VM_HAS_NO_SUSPEND_VDI", vm_ref)
            host_ref = wanted_ref or choose_host(ctx, vm_ref)
            reservation.reserve(ctx, vm_ref, host_ref, "vm_resume", with_cpu=not force)
        with reservation.held(ctx, host_ref):
            resume_domain(ctx, vm_ref, host_ref, paused=paused)
            with gate.writing(ctx):
                messages.announce_resume(ctx, vm_ref, host_ref)
    return ""


@operation("VM.resume", effect=True)
def resume(ctx: Context, vm_ref: str, start_paused: bool, force: bool) -> str:
    """Wake a suspended VM on a host of XAPI's choice: NO_HOSTS_AVAILABLE when there is none."""
    return _resume(ctx, vm_ref, "resume", "", paused=start_paused, force=force)


@operation("VM.resume_on", effect=True)
def resume_on(ctx: Context, vm_ref: str, host_ref: str, start_paused: bool, force: bool) -> str:
    """Wake a suspended VM on a host."""
    placement.check_handles(ctx.store, vm_ref, host_ref)
    return _resume(ctx, vm_ref, "resume_on", host_ref, paused=start_paused, force=force)
