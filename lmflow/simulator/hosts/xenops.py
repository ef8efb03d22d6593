"""What really runs: each host's xenopsd with its domains and tasks, which outlive the toolstack and its database."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import part

WORKERS_PER_HOST = 4
"""Migrations that run at a time from one host. Source: xenopsd's worker-pool-size, and six measured at once."""
DEFAULT_COPY_BYTES_PER_SECOND = 0.4 * 1024**3


def temporary_uuid(vm_uuid: str) -> str:
    """Give the name under which the destination builds a VM that is being copied to it."""
    return vm_uuid[:-12] + "000000000001"


@dataclass(slots=True)
class Domain:
    """What one xenopsd knows of a VM; ``Halted`` is a record left behind without a domain."""

    vm_uuid: str
    domid: int
    power_state: str
    started: float


@dataclass(slots=True)
class XenopsTask:
    """A task of xenopsd; it is never destroyed."""

    id: int
    dbg: str
    created: float
    state: str = "Pending"
    progress: float = 0.0
    duration: float = 0.0
    error: list[str] = field(default_factory=list)


@dataclass
class HostXenops:
    """The xenopsd of one host."""

    domains: dict[str, Domain] = field(default_factory=dict)
    temporaries: dict[str, str] = field(default_factory=dict)
    tasks: list[XenopsTask] = field(default_factory=list)
    next_domid: int = 1
    next_task_id: int = 1
    is_powered: bool = True
    workers: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(WORKERS_PER_HOST))


@part("xenops")
class Xenops:
    """The xenopsd of every host; the lock guards all of them. Who needs the database's lock too takes that first."""

    def __init__(self, pool: Kernel) -> None:
        self.lock = threading.RLock()
        self.copy_seconds: dict[str, float] = {}
        self.phase_faults: list[Any] = []
        self.released = threading.Event()
        self._pool = pool
        self._hosts: dict[str, HostXenops] = {}
        self._queues: dict[str, threading.Lock] = {}
        pool.real_domains = self.real

    def on(self, host_ref: str) -> HostXenops:
        """Give the xenopsd of a host."""
        with self.lock:
            return self._hosts.setdefault(host_ref, HostXenops())

    def on_stop(self) -> None:
        """Let go of what stands still."""
        self.released.set()

    def queue_of(self, vm_uuid: str) -> threading.Lock:
        """Give the lock that lets one operation at a time touch a VM's domain.

        It is held for as long as the operation takes: nobody waits for it who holds the database.
        """
        with self.lock:
            return self._queues.setdefault(vm_uuid, threading.Lock())

    def find(self, host_ref: str, vm_uuid: str) -> Domain | None:
        """Give what a host knows of a VM, a Halted record included."""
        with self.lock:
            return self.on(host_ref).domains.get(vm_uuid)

    def find_running(self, host_ref: str, vm_uuid: str) -> Domain | None:
        """Give the domain of a VM on a host, if it has one there."""
        domain = self.find(host_ref, vm_uuid)
        return domain if domain is not None and domain.power_state != "Halted" else None

    def boot(self, host_ref: str, vm_uuid: str, power_state: str = "Running") -> int:
        """Make a domain; returns its number on that host. CANNOT_CONTACT_HOST for a host without power."""
        with self.lock:
            host = self.on(host_ref)
            if not host.is_powered:
                raise ApiFailure("CANNOT_CONTACT_HOST", host_ref)
            domid = host.next_domid
            host.next_domid += 1
            host.domains[vm_uuid] = Domain(vm_uuid, domid, power_state, self._pool.clock.now())
            return domid

    def destroy(self, host_ref: str, vm_uuid: str, *, keep_record: bool = False) -> None:
        """End a domain; ``keep_record`` leaves its Halted record behind."""
        with self.lock:
            domain = self.on(host_ref).domains.pop(vm_uuid, None)
            if domain is not None and keep_record:
                self.on(host_ref).domains[vm_uuid] = Domain(vm_uuid, -1, "Halted", domain.started)

    def lose(self, host_ref: str) -> None:
        """Forget all that ran on a host, and what its xenopsd knew: the host lost its power."""
        with self.lock:
            host = self.on(host_ref)
            self._hosts[host_ref] = HostXenops(workers=host.workers, is_powered=False)

    def give_power(self, host_ref: str) -> None:
        """Let a host build domains again."""
        with self.lock:
            self.on(host_ref).is_powered = True

    def move(self, source_ref: str, destination_ref: str, vm_uuid: str, *, keep_record: bool) -> int:
        """Let a domain end on one host and run on another in one step; returns its new number.

        CANNOT_CONTACT_HOST for a destination without power; nothing has changed then.
        """
        with self.lock:
            if not self.on(destination_ref).is_powered:
                raise ApiFailure("CANNOT_CONTACT_HOST", destination_ref)
            self.on(destination_ref).temporaries.pop(temporary_uuid(vm_uuid), None)
            self.destroy(source_ref, vm_uuid, keep_record=keep_record)
            return self.boot(destination_ref, vm_uuid)

    def begin_task(self, host_ref: str, dbg: str, progress: float = 0.0) -> XenopsTask:
        """Add a pending task to a host's list."""
        with self.lock:
            host = self.on(host_ref)
            task = XenopsTask(host.next_task_id, dbg, self._pool.clock.now(), progress=progress)
            host.next_task_id += 1
            host.tasks.append(task)
            return task

    def end_task(self, task: XenopsTask, error: list[str] | None = None) -> None:
        """End a task, well or with an error; it stays listed."""
        with self.lock:
            task.state = "Failed" if error else "Completed"
            task.error = error or []
            task.duration = self._pool.clock.now() - task.created

    def forget_task(self, host_ref: str, task: XenopsTask) -> None:
        """Take a task off a host's list."""
        with self.lock:
            tasks = self.on(host_ref).tasks
            tasks[:] = [known for known in tasks if known is not task]

    def copy_seconds_of(self, vm_uuid: str, memory_bytes: int) -> float:
        """Give the length of a VM's copy in pool seconds: as set, else from its memory."""
        with self.lock:
            return self.copy_seconds.get(vm_uuid, max(1.0, memory_bytes / DEFAULT_COPY_BYTES_PER_SECOND))

    def real(self) -> dict[str, list[str]]:
        """List the UUIDs of the VMs that really run, by the name of the host."""
        store = self._pool.store
        names = {ref: store.value("host", ref, "name_label") for ref in store.refs("host")}
        with self.lock:
            return {
                name: sorted(u for u, domain in self.on(ref).domains.items() if domain.power_state != "Halted")
                for ref, name in names.items()
            }

    def dump(self) -> dict[str, Any]:
        """Give domains, finished tasks and copy times as JSON-able data; copies in flight are not kept."""
        with self.lock:
            hosts = {
                ref: {
                    "domains": [asdict(domain) for domain in host.domains.values()],
                    "tasks": [asdict(task) for task in host.tasks],
                    "next_domid": host.next_domid,
                    "next_task_id": host.next_task_id,
                }
                for ref, host in self._hosts.items()
            }
            return {"hosts": hosts, "copy_seconds": dict(self.copy_seconds)}

    def load(self, data: Mapping[str, Any]) -> None:
        """Replace everything by what ``dump`` gave."""
        with self.lock:
            self._hosts = {
                ref: HostXenops(
                    domains={item["vm_uuid"]: Domain(**item) for item in host["domains"]},
                    tasks=[XenopsTask(**item) for item in host["tasks"]],
                    next_domid=host["next_domid"],
                    next_task_id=host["next_task_id"],
                    is_powered=self.on(ref).is_powered,
                )
                for ref, host in data["hosts"].items()
            }
            for host in self._hosts.values():
                for task in host.tasks:
                    if task.state == "Pending":
                        self.end_task(task, ["copy", "was", "not", "kept"])
            self.copy_seconds = dict(data["copy_seconds"])
