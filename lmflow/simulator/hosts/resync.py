"""What a toolstack does with domains and database when it starts; the whole of its restart logic.

Source: xapi_xenops.ml, and the restarts watched on a real pool: a domain that the database places elsewhere is
destroyed, one that it places nowhere is written down here, and a VM that it places here but that has no domain
here becomes Halted, wherever it may run.
"""

from __future__ import annotations

from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL, Value
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts.xenops import Domain, Xenops
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.rules import allowed, allowed_storage

_CLASSES_WITH_OPERATIONS = ("host", "SR", "VDI", "VBD", "VIF", "pool")
_NO_LOCAL_STORAGE = "no_local_storage"


def run(pool: Kernel, xenops: Xenops, host_ref: str) -> None:
    """Make database and domains of a host agree, by the rule above."""
    store = pool.store
    with store.lock, xenops.lock:
        for domain in list(xenops.on(host_ref).domains.values()):
            if domain.power_state == "Halted":
                xenops.destroy(host_ref, domain.vm_uuid)
            else:
                _settle_domain(store, xenops, host_ref, domain)
        for vm_ref in store.value("host", host_ref, "resident_VMs"):
            is_guest = not store.value("VM", vm_ref, "is_control_domain")
            if is_guest and xenops.find_running(host_ref, store.value("VM", vm_ref, "uuid")) is None:
                force_halted(store, vm_ref)


def _settle_domain(store: Store, xenops: Xenops, host_ref: str, domain: Domain) -> None:
    try:
        vm_ref = store.by_uuid("VM", domain.vm_uuid)
    except ApiFailure:
        return
    if store.value("VM", vm_ref, "resident_on") in {host_ref, NULL}:
        write_running(store, vm_ref, host_ref, domain)
    else:
        xenops.destroy(host_ref, domain.vm_uuid)


def write_running(store: Store, vm_ref: str, host_ref: str, domain: Domain) -> None:
    """Write that a VM runs where its domain is."""
    with store.lock:
        place = {"resident_on": host_ref, "scheduled_to_be_resident_on": NULL, "domid": domain.domid}
        allowed.update_vm(store, vm_ref, power_state=domain.power_state, **place)
        set_attached(store, vm_ref, attached=True)
        _write_metrics(store, vm_ref, hvm=store.value("VM", vm_ref, "domain_type") != "pv")


def force_halted(store: Store, vm_ref: str) -> None:
    """Write that a VM is Halted; its metrics stay as they were, which tells such a VM from one shut down."""
    with store.lock:
        place = {"resident_on": NULL, "scheduled_to_be_resident_on": NULL, "domid": -1}
        allowed.update_vm(store, vm_ref, power_state="Halted", **place)
        set_attached(store, vm_ref, attached=False)


def tell_metrics(pool: Kernel, xenops: Xenops, host_ref: str) -> None:
    """Let a member tell of its VMs again, to a coordinator that has forgotten. Assumed of members."""
    store = pool.store
    with store.lock, xenops.lock:
        for vm_ref in store.value("host", host_ref, "resident_VMs"):
            if xenops.find_running(host_ref, store.value("VM", vm_ref, "uuid")) is not None:
                _write_metrics(store, vm_ref, hvm=store.value("VM", vm_ref, "domain_type") != "pv")


def write_guest(store: Store, vm_ref: str, domain: Domain | None) -> None:
    """Write what a guest did by itself: its new domain, or that it shut down. Its reservation stays.

    Assumed: its metrics are cleared as by a shutdown through the API; only the message is missing.
    """
    with store.lock:
        if domain is not None:
            allowed.update_vm(store, vm_ref, domid=domain.domid)
            return
        allowed.update_vm(store, vm_ref, power_state="Halted", resident_on=NULL, domid=-1)
        set_attached(store, vm_ref, attached=False)
        _write_metrics(store, vm_ref, VCPUs_number=0, memory_actual=0, current_domain_type="unspecified", hvm=False)


def _write_metrics(store: Store, vm_ref: str, **fields: Value) -> None:
    metrics_ref = store.value("VM", vm_ref, "metrics")
    if store.exists("VM_metrics", metrics_ref):
        store.update("VM_metrics", metrics_ref, **fields)


def set_attached(store: Store, vm_ref: str, *, attached: bool) -> None:
    """Write whether a VM's disks and interfaces are attached; an empty drive never is."""
    for vbd_ref in store.value("VM", vm_ref, "VBDs"):
        store.update("VBD", vbd_ref, currently_attached=attached and store.value("VBD", vbd_ref, "VDI") != NULL)
    for vif_ref in store.value("VM", vm_ref, "VIFs"):
        store.update("VIF", vif_ref, currently_attached=attached)
    allowed_storage.refresh_devices(store, vm_ref)


def forget_operations(pool: Kernel) -> None:
    """Empty what lives in the coordinator's memory: all current operations and reservations."""
    store = pool.store
    with store.lock:
        for vm_ref in store.refs("VM"):
            busy = store.value("VM", vm_ref, "current_operations")
            if busy or store.value("VM", vm_ref, "scheduled_to_be_resident_on") != NULL:
                allowed.update_vm(store, vm_ref, current_operations={}, scheduled_to_be_resident_on=NULL)
        for cls in _CLASSES_WITH_OPERATIONS:
            for ref in store.refs(cls):
                store.update(cls, ref, current_operations={})


def begin_anew(pool: Kernel) -> None:
    """Write what a coordinator that starts finds: no operations, and parts of the metrics gone.

    The metrics that a VBD or VIF names were never objects; a restart finds that out. What its control domains allow
    is computed now, too. Source: the restarts of a real pool.
    """
    store = pool.store
    with store.lock:
        for vm_ref in store.refs("VM"):
            if store.value("VM", vm_ref, "is_control_domain"):
                allowed.update_vm(store, vm_ref)
            else:
                _write_metrics(store, vm_ref, hvm=False, VCPUs_utilisation={})
        forget_operations(pool)
        for cls in ("VBD", "VIF"):
            for ref in store.refs(cls):
                if not store.exists(f"{cls}_metrics", store.value(cls, ref, "metrics")):
                    store.update(cls, ref, metrics=NULL)


def describe_host(pool: Kernel, host_ref: str) -> None:
    """Write what a host finds out about itself when its toolstack starts: its processors, as new objects, and storage.

    ``no_local_storage`` in other_config says that it has no SR of its own; with one the key goes. Source:
    dbsync_slave.ml, and the restarts of a real pool.
    """
    store = pool.store
    with store.lock:
        for cpu_ref in store.value("host", host_ref, "host_CPUs"):
            fields = {name: value for name, value in store.record("host_cpu", cpu_ref).items() if name != "uuid"}
            store.destroy("host_cpu", cpu_ref)
            store.create("host_cpu", fields)
        config = store.value("host", host_ref, "other_config")
        config.pop(_NO_LOCAL_STORAGE, None)
        if not _has_local_storage(store, host_ref):
            config[_NO_LOCAL_STORAGE] = "true"
        store.update("host", host_ref, other_config=config)


def _has_local_storage(store: Store, host_ref: str) -> bool:
    srs = [store.value("PBD", ref, "SR") for ref in store.find("PBD", host=host_ref, currently_attached=True)]
    return any(store.value("SR", ref, "content_type") != "iso" and not store.value("SR", ref, "shared") for ref in srs)
