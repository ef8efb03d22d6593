"""Two pools in which the same parts are played under other names, in another order, with more hosts and objects.

``src`` and ``dst`` are hosts, ``vm`` a guest on ``src`` that can move; what else there is stands in ``describe``.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from lmflow.simulator.kernel import Options
from lmflow.simulator.migrations import migration
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import world
from tests.support.wire import WireClient

NULL = "OpaqueRef:NULL"
SECOND = {
    "src": "oak", "dst": "elm", "vm": "web 7", "neighbour": "web 8", "stopped": "attic", "image": "golden",
    "bound": "scanner", "inner": "ledger", "bare": "printer", "guest": "mail", "nfs": "vault", "disk": "scratch",
    "lan": "office", "hidden": "cellar",
}  # fmt: skip
SCALE = 200.0


def _vm(name: str, **more: Any) -> dict[str, Any]:
    made = {"name": name, "host": "src", "memory": "1 GiB", "disks": [{"sr": "nfs"}], "vifs": ["lan"]}
    return {**made, "vcpus": 1, "copy_seconds": 2, **more}


def describe() -> dict[str, Any]:
    """Describe the pool in which the parts have their own names."""
    return {
        "name": "twin",
        "networks": [{"name": "lan"}, {"name": "hidden"}, {"name": "src only"}],
        "hosts": [
            {"name": "src", "coordinator": True, "memory": "32 GiB", "cpus": 4, "networks": ["lan", "src only"]},
            {"name": "dst", "memory": "32 GiB", "cpus": 4, "networks": ["lan"]},
        ],
        "storage": [
            {"name": "nfs", "shared": True, "default": True, "hosts": ["src", "dst"]},
            {"name": "second nfs", "shared": True, "hosts": ["src", "dst"]},
            {"name": "disk", "hosts": ["src"]},
        ],
        "vms": [
            _vm("vm"),
            _vm("neighbour"),
            _vm("stopped", host=None),
            _vm("image", host=None, is_a_template=True),
            _vm("bound", disks=[{"sr": "nfs"}, {"sr": "disk"}]),
            _vm("inner", vifs=["lan", "hidden"]),
            _vm("bare", drivers=False),
            _vm("guest", host="dst"),
        ],
    }


def describe_second() -> dict[str, Any]:
    """Describe the second pool: its coordinator is the destination, a third host is disabled, all stands reversed."""
    made = _renamed(describe())
    made["hosts"][0].pop("coordinator")
    made["hosts"][1]["coordinator"] = True
    made["networks"].insert(0, {"name": "quay"})
    made["hosts"].insert(
        0, {"name": "ash", "memory": "64 GiB", "cpus": 2, "networks": ["office", "quay"], "enabled": False}
    )
    made["storage"].append({"name": "loft", "hosts": ["ash"]})
    made["vms"] = [_renamed(_vm("idle", host=None, vifs=[])), *reversed(made["vms"])]
    return made


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    return SECOND.get(value, value) if isinstance(value, str) else value


@dataclasses.dataclass
class Twin:
    """One of the two pools and a client of it."""

    pool: SimulatedPool
    names: dict[str, str]

    def __post_init__(self) -> None:
        self.client = WireClient(self.pool)
        self.client.login()

    def ref(self, cls: str, part: str) -> str:
        return self.client.ref(cls, self.names.get(part, part))

    def vm(self, part: str = "vm") -> str:
        return self.ref("VM", part)

    def host(self, part: str = "dst") -> str:
        return self.ref("host", part)

    def call(self, method: str, *params: Any) -> Any:
        return self.client.call(method, *params)

    def refuse(self, method: str, *params: Any) -> list[str]:
        return self.client.refuse(method, *params)

    def migrate(self, part: str = "vm", host: str = "dst", **options: str) -> Any:
        return self.call("VM.pool_migrate", self.vm(part), self.host(host), options)

    def refuse_migrate(self, part: str = "vm", host: str = "dst", **options: str) -> list[str]:
        """Give the refusal of a migration; afterwards nothing is reserved and no operation is left."""
        refusal = self.refuse("VM.pool_migrate", self.vm(part), self.host(host), options)
        store = self.pool.store
        assert store.value("VM", self.vm(part), "scheduled_to_be_resident_on") == NULL
        return refusal

    def start(self, method: str, *params: Any) -> str:
        """Begin an Async call; gives its task."""
        return str(self.call(f"Async.{method}", *params))

    def end(self, task_ref: str) -> dict[str, Any]:
        """Wait for a task's end and give its record."""
        self.wait(lambda: self.pool.store.value("task", task_ref, "status") != "pending")
        return dict(self.call("task.get_record", task_ref))

    def wait(self, met: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait, in real seconds, for a state of the database."""
        with self.pool.store.changed:
            assert self.pool.store.changed.wait_for(met, seconds), "it never came to that"

    def set_copy(self, part: str, seconds: float) -> None:
        migration.set_copy_seconds(self.pool, self.pool.store.value("VM", self.vm(part), "uuid"), seconds)

    @contextlib.contextmanager
    def edited(self, cls: str, ref: str, **fields: Any) -> Iterator[None]:
        """Let an object have other fields for a while."""
        store = self.pool.store
        before = {name: store.value(cls, ref, name) for name in fields}
        store.update(cls, ref, **fields)
        try:
            yield
        finally:
            if store.exists(cls, ref):
                store.update(cls, ref, **before)

    @contextlib.contextmanager
    def having(self, cls: str, **fields: Any) -> Iterator[str]:
        """Let there be an object more for a while."""
        ref = self.pool.store.create(cls, fields)
        try:
            yield ref
        finally:
            if self.pool.store.exists(cls, ref):
                self.pool.store.destroy(cls, ref)


@contextlib.contextmanager
def raise_twin(which: str, **options: Any) -> Iterator[Twin]:
    """Start the first or the second pool."""
    description, names = (describe(), {}) if which == "first" else (describe_second(), SECOND)
    with SimulatedPool(Options(**{"time_scale": SCALE, **options}), world=world.load(description)) as pool:
        yield Twin(pool, dict(names))
