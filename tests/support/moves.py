"""A pool of two hosts where VMs move, and an observer that misses no state."""

from __future__ import annotations

import copy
import dataclasses
import threading
from typing import Any

from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.migrations import migration
from lmflow.simulator.pool import SimulatedPool
from tests.support.noticing import notice
from tests.support.wire import WireClient

NULL = "OpaqueRef:NULL"

TWO_HOSTS: dict[str, Any] = {
    "name": "two",
    "networks": [{"name": "lan"}, {"name": "only-h1"}, {"name": "inside"}],
    "hosts": [
        {"name": "h1", "coordinator": True, "memory": "16 GiB", "networks": ["lan", "only-h1"]},
        {"name": "h2", "memory": "16 GiB", "networks": ["lan"]},
    ],
    "storage": [
        {"name": "nfs", "shared": True, "default": True, "hosts": ["h1", "h2"]},
        {"name": "loose", "shared": True, "hosts": {"h1": "plugged", "h2": "unplugged"}},
        {"name": "disk-of-h1", "hosts": ["h1"]},
    ],
    "vms": [
        {"name": "v", "host": "h1", "memory": "512 MiB", "disks": [{"sr": "nfs"}], "vifs": ["lan"], "cds": [{}]},
        {"name": "w", "host": "h2", "memory": "512 MiB", "disks": [{"sr": "nfs"}], "vifs": ["lan"]},
    ],
}


def world_with(*vms: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Give the two-host world with more VMs and with top-level parts replaced."""
    made = copy.deepcopy(TWO_HOSTS) | changes
    made["vms"] = [*made["vms"], *vms]
    return made


@dataclasses.dataclass
class Seen:
    """Sequences of states without repetition; ``at`` are the pool seconds since the start, per sequence."""

    vm: list[tuple[Any, ...]] = dataclasses.field(default_factory=list)
    real: list[tuple[bool, bool]] = dataclasses.field(default_factory=list)
    hosts: list[tuple[bool, bool]] = dataclasses.field(default_factory=list)
    task: list[tuple[Any, ...]] = dataclasses.field(default_factory=list)
    progress: list[float] = dataclasses.field(default_factory=list)
    at: dict[str, list[float]] = dataclasses.field(default_factory=dict)


class Observer:
    """Notes what database and xenopsd show after every single change, from the inside, so that nothing is missed."""

    def __init__(self, pool: SimulatedPool, vm_ref: str) -> None:
        self.seen = Seen()
        self._pool = pool
        self._vm_ref = vm_ref
        self._vm_uuid = pool.store.value("VM", vm_ref, "uuid")
        self._hosts = pool.store.refs("host")
        self._names = {NULL: "NULL", **{ref: pool.store.value("host", ref, "name_label") for ref in self._hosts}}
        self._start = pool.clock.now()
        self._changed = threading.Condition()
        changing = ((pool.store, ("create", "update", "destroy")), (pool.part(Xenops), ("move", "destroy")))
        notice(pool, changing, self._note)
        self._note()

    def _note(self) -> None:
        store, xenops, seen = self._pool.store, self._pool.part(Xenops), self.seen
        vm = store.record("VM", self._vm_ref)
        place = (self._names[vm["resident_on"]], self._names[vm["scheduled_to_be_resident_on"]])
        operations = sorted(vm["current_operations"].values())
        self._add("vm", seen.vm, (vm["power_state"], *place, operations, len(vm["allowed_operations"])))
        real = tuple(xenops.find_running(ref, self._vm_uuid) is not None for ref in self._hosts)
        self._add("real", seen.real, real)
        self._add("hosts", seen.hosts, tuple(store.value("host", ref, "enabled") for ref in self._hosts))
        for ref in store.refs("task"):
            if store.value("task", ref, "name_label").endswith("VM.pool_migrate"):
                task = store.record("task", ref)
                self._add("task", seen.task, (task["status"], task["error_info"][:1]))
                self._add("progress", seen.progress, round(task["progress"], 2))
        with self._changed:
            self._changed.notify_all()

    def _add(self, name: str, sequence: list[Any], state: Any) -> None:
        if not sequence or sequence[-1] != state:
            sequence.append(state)
            self.seen.at.setdefault(name, []).append(self._pool.clock.now() - self._start)

    def wait_for(self, name: str, state: Any, seconds: float = 60.0) -> None:
        """Wait, in real seconds, until a sequence ends with a state."""
        with self._changed:
            met = self._changed.wait_for(lambda: getattr(self.seen, name)[-1:] == [state], seconds)
        assert met, f"{name} never became {state}: {getattr(self.seen, name)}"

    def wait_for_copy(self, seconds: float = 60.0) -> None:
        """Wait, in real seconds, until memory is being copied."""
        with self._changed:
            met = self._changed.wait_for(lambda: any(0.0 < progress < 0.9 for progress in self.seen.progress), seconds)
        assert met, f"nothing was copied: {self.seen.progress}"

    def wait_until_back(self, seconds: float = 60.0) -> None:
        """Wait until a toolstack that was told to restart has done so, and all hosts are enabled again."""

        def is_back() -> bool:
            return len(self.seen.hosts) >= 3 and self.seen.hosts[-1] == (True, True)

        with self._changed:
            assert self._changed.wait_for(is_back, seconds), f"no restart: {self.seen.hosts}"

    def until(self, seconds: float) -> None:
        """Wait until so many pool seconds have passed since the start."""
        left = self._start + seconds - self._pool.clock.now()
        threading.Event().wait(self._pool.clock.real(left))


class Moves:
    """One embedded pool and a client; ``move`` starts an Async migration and gives an observer of it."""

    def __init__(self, pool: SimulatedPool) -> None:
        self.pool = pool
        self.client = WireClient(pool)
        self.client.login()
        self.task_ref = ""

    def ref(self, cls: str, name: str) -> str:
        return self.client.ref(cls, name)

    def uuid(self, name: str) -> str:
        return str(self.pool.store.value("VM", self.ref("VM", name), "uuid"))

    def vm(self, name: str) -> dict[str, Any]:
        record = self.client.call("VM.get_record", self.ref("VM", name))
        assert isinstance(record, dict)
        return record

    def runs_on(self, name: str) -> list[str]:
        return [host for host, uuids in self.pool.real_domains().items() if self.uuid(name) in uuids]

    def set_copy(self, name: str, seconds: float) -> None:
        migration.set_copy_seconds(self.pool, self.uuid(name), seconds)

    def fault(self, **data: Any) -> None:
        migration.add_phase_fault(self.pool, data)

    def restart(self, host: str, how: str = "KILL") -> None:
        self.pool.part(Toolstack).restart(self.ref("host", host), how)

    def observe(self, vm: str) -> Observer:
        return Observer(self.pool, self.ref("VM", vm))

    def start(self, vm: str, host: str, **options: str) -> str:
        """Start an Async migration and give the task's reference."""
        arguments = (self.ref("VM", vm), self.ref("host", host), {"live": "true", **options})
        self.task_ref = str(self.client.call("Async.VM.pool_migrate", *arguments))
        return self.task_ref

    def refuse(self, vm: str, host: str, **options: str) -> list[str]:
        """Give the refusal of a synchronous migration."""
        return self.client.refuse("VM.pool_migrate", self.ref("VM", vm), self.ref("host", host), options)

    def finish(self, vm: str, host: str, **options: str) -> dict[str, Any]:
        """Migrate and give the record of the ended task."""
        return self.client.wait_for_task(self.start(vm, host, **options))
