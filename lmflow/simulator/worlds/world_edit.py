"""Changes an object of a pool as if the pool had always been so: what hangs on it follows, or nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import EPOCH, NULL
from lmflow.simulator.hosts import resync
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.rules import allowed
from lmflow.simulator.worlds import world_vm_defaults
from lmflow.simulator.worlds.world_rules import ImpossibleWorldError, find_problems

_PLACED = frozenset({"Running", "Paused"})
_PLACE_FIELDS = frozenset({"power_state", "resident_on"})
_MADE_HERE = {"edited": "true"}
"""other_config of a task that exists only because an edit named it."""


class _Changes:
    """Changes that can be taken back."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._back: list[Callable[[], object]] = []

    def update(self, cls: str, ref: str, **fields: Any) -> None:
        before = {name: self.store.value(cls, ref, name) for name in fields}
        self.store.update(cls, ref, **fields)
        self._back.append(lambda: self.store.update(cls, ref, **before))

    def create(self, cls: str, fields: dict[str, Any], ref: str | None = None) -> str:
        made = self.store.create(cls, fields, ref)
        self._back.append(lambda: self.store.destroy(cls, made))
        return made

    def destroy(self, cls: str, ref: str) -> None:
        record = self.store.record(cls, ref)
        self.store.destroy(cls, ref)
        self._back.append(lambda: self.store.create(cls, record, ref))

    def take_back(self) -> None:
        for step in reversed(self._back):
            step()


def edit(pool: Kernel, cls: str, ref: str, fields: dict[str, Any]) -> None:
    """Change fields of an object; ImpossibleWorldError, and nothing is changed, when no pool could be so.

    A VM's domain, devices and suspend image follow its power state and place; a task that nobody knows is made for
    an operation. What was impossible before, as after a death it may be, is not counted.
    """
    store = pool.store
    with store.lock:
        known = set(find_problems(store))
        changes = _Changes(store)
        if "current_operations" in fields:
            _let_tasks_follow(changes, store.value(cls, ref, "current_operations"), fields["current_operations"])
        changes.update(cls, ref, **fields)
        moves = cls == "VM" and bool(_PLACE_FIELDS & set(fields))
        if moves:
            _let_devices_follow(pool, changes, ref)
        found = [problem for problem in find_problems(store) if problem not in known]
        if found:
            changes.take_back()
            raise ImpossibleWorldError(" ".join(found))
        if moves:
            _let_domain_follow(pool, ref)
        if cls == "VM":
            allowed.update_vm(store, ref)


def _let_tasks_follow(changes: _Changes, before: dict[str, str], after: dict[str, str]) -> None:
    store = changes.store
    for task_ref, operation in after.items():
        if not store.exists("task", task_ref):
            task = {"name_label": operation, "status": "pending", "finished": EPOCH, "other_config": _MADE_HERE}
            changes.create("task", {**task, "type": "<none/>"}, task_ref)
    for task_ref in set(before) - set(after):
        if store.exists("task", task_ref) and store.value("task", task_ref, "other_config") == _MADE_HERE:
            changes.destroy("task", task_ref)


def _let_devices_follow(pool: Kernel, changes: _Changes, vm_ref: str) -> None:
    """Attach a VM's devices or detach them, and give it the number of a domain and an image as its state needs."""
    store = changes.store
    vm = store.record("VM", vm_ref)
    state, attached = vm["power_state"], vm["power_state"] != "Halted"
    for vbd_ref in vm["VBDs"]:
        filled = store.value("VBD", vbd_ref, "VDI") != NULL
        changes.update("VBD", vbd_ref, currently_attached=attached and filled)
    for vif_ref in vm["VIFs"]:
        changes.update("VIF", vif_ref, currently_attached=attached)
    placed = state in _PLACED and vm["resident_on"] != NULL
    changes.update("VM", vm_ref, domid=pool.part(Xenops).on(vm["resident_on"]).next_domid if placed else -1)
    if state == "Suspended" and vm["suspend_VDI"] == NULL:
        changes.update("VM", vm_ref, suspend_VDI=_make_image(changes, vm))
    elif state != "Suspended" and vm["suspend_VDI"] != NULL:
        changes.update("VM", vm_ref, suspend_VDI=NULL)
        changes.destroy("VDI", vm["suspend_VDI"])


def _make_image(changes: _Changes, vm: dict[str, Any]) -> str:
    """Create a suspend image on the VM's own SR, the pool's or that of a disk; the null reference if there is none."""
    store = changes.store
    disks = [store.value("VBD", ref, "VDI") for ref in vm["VBDs"]]
    choices = [vm["suspend_SR"], store.value("pool", store.refs("pool")[0], "default_SR")]
    choices += [store.value("VDI", ref, "SR") for ref in disks if ref != NULL]
    sr_ref = next((ref for ref in choices if store.exists("SR", ref)), "")
    if not sr_ref:
        return NULL
    uuid = store.make_uuid()
    fields = world_vm_defaults.vdi_fields("Suspend image", vm["memory_static_max"], uuid, attached=False)
    return changes.create("VDI", {"uuid": uuid, **fields, "SR": sr_ref, "type": "suspend"})


def _let_domain_follow(pool: Kernel, vm_ref: str) -> None:
    store, xenops = pool.store, pool.part(Xenops)
    vm = store.record("VM", vm_ref)
    for host_ref in store.refs("host"):
        xenops.destroy(host_ref, vm["uuid"])
    if vm["power_state"] in _PLACED:
        xenops.boot(vm["resident_on"], vm["uuid"], vm["power_state"])
        resync.set_attached(store, vm_ref, attached=True)
