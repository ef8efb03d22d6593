"""Recordings of a real pool, the same run on a simulated one, and the comparison of the two, state by state.

The recordings were sampled each 0.2 s; a state that lasted no longer than that can be missing on either side.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.pool import SimulatedPool
from tests.support.moves import NULL, TWO_HOSTS
from tests.support.noticing import notice

TIMELINES = Path(__file__).parent.parent / "data" / "timelines"
SCALE = 10.0
"""A tick of the steady clock is 0.05 s of the pool then, a tenth of what any order of two states here depends on.

Faster would be short of the 30 ms that a busy machine makes a thread wait; slower takes long: a run is 5 to 30 s."""
BRIEF_SECONDS = 0.45
BRIEF_HERE_SECONDS = 0.5
"""A state that one of the two shows for no longer may be missing in the other: between two samples, and between two
writes of a simulated pool, whose threads wait for each other on a busy machine."""
SLACK_SECONDS = 0.7
"""One sample, the way of a call, and the first look: what the clock of a recording can be off by."""
_TICK_SECONDS = 0.005
_TURN_SECONDS = 2.0
_COLUMNS = ("vm", "task", "hosts h1", "hosts h2", "xenops h1", "xenops h2", "real", "api")

States = list[tuple[float, Any]]


@dataclasses.dataclass(frozen=True)
class Cast:
    """A world and who plays h1 (the coordinator), h2, and the VM on each of them."""

    description: dict[str, Any]
    h1: str
    h2: str
    on_h1: str
    on_h2: str
    halted: str

    def host(self, role: str) -> str:
        return {"h1": self.h1, "h2": self.h2}[role]

    def vm(self, role: str) -> str:
        """The VM that starts on this host."""
        return {"h1": self.on_h1, "h2": self.on_h2}[role]


def _vm(name: str, host: str | None, **fields: Any) -> dict[str, Any]:
    place = {"host": host} if host else {}
    return {
        "name": name,
        "memory": "512 MiB",
        "vcpus": 1,
        "disks": [{"sr": "shelf"}],
        "vifs": ["wire"],
        **place,
        **fields,
    }


OTHER: dict[str, Any] = {
    "name": "other",
    "networks": [{"name": "spare"}, {"name": "wire"}],
    "hosts": [
        {"name": name, "memory": "24 GiB", "networks": ["wire"], **extra}
        for name, extra in (("bergen", {}), ("oslo", {"coordinator": True}), ("tromso", {}), ("moss", {}))
    ],
    "storage": [{"name": "shelf", "shared": True, "default": True, "hosts": ["moss", "tromso", "oslo", "bergen"]}],
    "vms": [
        _vm("hake", "bergen"),
        _vm("torsk", "tromso"),
        _vm("sei", None),
        _vm("laks", "oslo", memory="1 GiB"),
        _vm("fisk", "oslo"),
        _vm("brosme", "tromso"),
    ],
}


def _plain() -> dict[str, Any]:
    made = copy.deepcopy(TWO_HOSTS)
    for vm in made["vms"]:
        vm["vcpus"] = 1
    made["vms"].append({"name": "z", "memory": "512 MiB", "disks": [{"sr": "nfs"}], "vifs": ["lan"]})
    return made


CASTS = {
    "one": Cast(_plain(), "h1", "h2", "v", "w", "z"),
    "other": Cast(OTHER, "oslo", "tromso", "fisk", "torsk", "sei"),
}


def steady(pool: SimulatedPool) -> None:
    """Let the pool's time stand still while the machine, or one thread of the pool, has not kept up with it.

    It goes on when every thread that was to wake up has done so, and has come back to wait or ended; one that waits
    for something else holds it up for ``_TURN_SECONDS``. A stall then delays everything, and reorders nothing.
    """
    clock, state = pool.clock, {"now": pool.clock.now(), "seen": time.monotonic()}
    turn = threading.Condition()
    waiting: dict[threading.Thread, float] = {}
    awake: dict[threading.Thread, float] = {}

    def is_behind(real: float) -> bool:
        for thread, since in list(awake.items()):
            if not thread.is_alive() or real - since > _TURN_SECONDS:
                del awake[thread]
        return bool(awake) or any(until <= state["now"] for until in waiting.values())

    def tick() -> None:
        while not pool.stopped.is_set():
            time.sleep(_TICK_SECONDS)
            with turn:
                real = time.monotonic()
                if not is_behind(real):
                    state["now"] += min(real - state["seen"], 1.5 * _TICK_SECONDS) * clock.scale
                state["seen"] = real
                turn.notify_all()

    def wait(pool_seconds: float, event: threading.Event | None = None) -> bool:
        me = threading.current_thread()
        with turn:
            awake.pop(me, None)
            until = waiting[me] = state["now"] + pool_seconds
            while state["now"] < until and not (event is not None and event.is_set()) and not pool.stopped.is_set():
                turn.wait(0.1)
            del waiting[me]
            awake[me] = time.monotonic()
        return event is not None and event.is_set()

    clock.now = lambda: state["now"]  # type: ignore[method-assign]
    clock.wait = wait  # type: ignore[method-assign]
    threading.Thread(target=tick, name="steady-clock", daemon=True).start()


class Watcher:
    """Notes what a client, the witness and the machine room would see of a VM, after every single change.

    ``seen`` maps a column to (pool seconds since the migration was accepted, state); the database is out of sight
    while its coordinator's toolstack is down.
    """

    def __init__(self, pool: SimulatedPool, cast: Cast, role: str) -> None:
        self.seen: dict[str, States] = {column: [] for column in _COLUMNS}
        self.vm_ref = _find(pool, cast.vm(role))
        self._pool = pool
        self._vm_uuid = pool.store.value("VM", self.vm_ref, "uuid")
        self._roles = {pool.find_host(cast.h1): "h1", pool.find_host(cast.h2): "h2", NULL: "NULL"}
        self._hosts = {role: ref for ref, role in self._roles.items() if ref != NULL}
        self._starts: dict[str, list[str]] = {"h1": [], "h2": []}
        self._domids: list[Any] = [-1]
        self._task_ref = ""
        self._start = pool.clock.now()
        self._is_accepted = False
        self._changed = threading.Condition()
        changing = (
            (pool.store, ("create", "update", "destroy")),
            (pool.part(Xenops), ("move", "destroy", "boot", "lose")),
            (pool.part(Toolstack), ("_enter",)),
        )
        notice(pool, changing, self._note)
        self._note()

    @property
    def seconds(self) -> float:
        return self._pool.clock.now() - self._start

    def _note(self) -> None:
        xenops, toolstack = self._pool.part(Xenops), self._pool.part(Toolstack)
        is_up = toolstack.is_up(self._hosts["h1"])
        self._add("api", "up" if is_up else "down")
        self._add("real", tuple(xenops.find_running(ref, self._vm_uuid) is not None for ref in self._hosts.values()))
        for role, ref in self._hosts.items():
            domain = xenops.find(ref, self._vm_uuid)
            answers = is_up and toolstack.is_up(ref)
            self._add(f"xenops {role}", (domain.power_state if domain else "no") if answers else "silent")
        if is_up:
            self._note_database()
        with self._changed:
            self._changed.notify_all()

    def _note_database(self) -> None:
        store = self._pool.store
        vm = store.record("VM", self.vm_ref)
        if vm["domid"] not in self._domids:
            self._domids.append(vm["domid"])
        place = (self._name(vm["resident_on"]), self._name(vm["scheduled_to_be_resident_on"]))
        operations = sorted(vm["current_operations"].values())
        if operations == ["pool_migrate"] and not self._is_accepted:
            self._begin_anew()
        domid = self._domids.index(vm["domid"])
        self._add("vm", (vm["power_state"], *place, operations, len(vm["allowed_operations"]), domid))
        for role, ref in self._hosts.items():
            host = store.record("host", ref)
            start = host["other_config"].get("agent_start_time", "")
            if start not in self._starts[role]:
                self._starts[role].append(start)
            state = (host["enabled"], sorted(host["current_operations"].values()), self._starts[role].index(start))
            self._add(f"hosts {role}", state)
        self._note_task()

    def _begin_anew(self) -> None:
        self._is_accepted = True
        self._start = self._pool.clock.now()
        self.seen = {column: [(0.0, state) for _, state in states] for column, states in self.seen.items()}

    def _note_task(self) -> None:
        store = self._pool.store
        if not self._task_ref:
            found = [r for r in store.refs("task") if store.value("task", r, "name_label") == "Async.VM.pool_migrate"]
            self._task_ref = found[0] if found else ""
        if not self._task_ref:
            return
        if not store.exists("task", self._task_ref):
            self._add("task", "lost")
            return
        task = store.record("task", self._task_ref)
        error = [self._roles.get(part, part).replace(self._vm_uuid[:-12], "VM") for part in task["error_info"]]
        marks = sorted(task["current_operations"].values())
        place = self._name(task["resident_on"])
        self._add("task", (task["status"], task["allowed_operations"], marks, place, error, task["result"]))

    def _name(self, ref: str) -> str:
        return self._roles.get(ref, "another")

    def _add(self, column: str, state: Any) -> None:
        states = self.seen[column]
        if not states or states[-1][1] != state:
            states.append((self.seconds, state))

    def wait_for(self, column: str, wanted: Callable[[Any], bool], seconds: float = 60.0) -> None:
        """Wait, in real seconds, until the newest state of a column is as wanted."""
        with self._changed:
            met = self._changed.wait_for(lambda: bool(self.seen[column]) and wanted(self.seen[column][-1][1]), seconds)
        assert met, f"{column} never became as wanted: {self.seen[column]}"

    def until(self, seconds: float) -> None:
        """Wait until so many pool seconds have passed since the start."""
        self._pool.clock.wait(max(0.0, seconds - self.seconds))


def _find(pool: SimulatedPool, name: str) -> str:
    (ref,) = pool.store.find("VM", name_label=name)
    return ref


class Recording:
    """A run on a real pool, in the terms of ``Watcher``; ``late`` is until when a row can have been read."""

    def __init__(self, name: str) -> None:
        (path,) = TIMELINES.glob(f"{name}_*.json")
        data = json.loads(path.read_text(encoding="utf-8"))
        self.name = name
        self.source, self.destination = data["src"], data["dst"]
        self.copy_seconds = float(data["copy_seconds"])
        self.actions = [(float(at), str(what)) for at, what, _ in data["actions"]]
        self.after: dict[str, Any] = data.get("after", {})
        self.messages = [text.split("|")[:2] for text in data["messages"]]
        self.rows: list[tuple[float, dict[str, Any]]] = [(at, row) for at, row in data["timeline"]]
        self.late = {at: self._late(index) for index, (at, _) in enumerate(self.rows)}
        self._domids, self._starts = ["-1"], {"h1": [""], "h2": [""]}
        self.columns = {column: self._column(column) for column in _COLUMNS}

    def _late(self, index: int) -> float:
        """A sample in which a call hung was read until the next one began."""
        at, row = self.rows[index]
        hung = "api" in row or any("Error" in part or "Disconnected" in part for part in row.get("xenops", ()))
        hung = hung or row.get("task", [""])[0] == "EXC"
        return self.rows[index + 1][0] if hung and index + 1 < len(self.rows) else at

    def _column(self, column: str) -> States:
        states: States = []
        for at, row in self.rows:
            found = self._read(column, row)
            if found is not None and (not states or states[-1][1] != found):
                states.append((at, found))
        return states

    def _read(self, column: str, row: dict[str, Any]) -> Any:
        kind, _, role = column.partition(" ")
        if kind == "api":
            return self._read_api(row)
        if kind == "real":
            return tuple(row["real"][host] == "RUN" for host in ("h1", "h2")) if "real" in row else None
        if kind == "xenops":
            return self._read_xenops(row["xenops"][("h1", "h2").index(role)]) if "xenops" in row else None
        if kind == "hosts":
            return self._read_host(role, row["hosts"][role]) if row.get("hosts") else None
        if kind == "task":
            return self._read_task(row["task"]) if "task" in row else None
        return self._read_vm(row) if "vm" in row else None

    @staticmethod
    def _read_api(row: dict[str, Any]) -> str | None:
        if "api" in row:
            return "up" if row["api"] == ["ERR", "SESSION_INVALID"] else "down"
        hung = row["task"][0] == "EXC" or Recording._read_xenops(row["xenops"][0]) == "silent"
        return "down" if hung else "up"

    @staticmethod
    def _read_xenops(said: str) -> str:
        return said if said in {"Running", "Halted", "no"} else "silent"

    def _read_host(self, role: str, host: list[Any]) -> Any:
        if host[2] not in self._starts[role]:
            self._starts[role].append(host[2])
        return (host[0], sorted(host[1]), self._starts[role].index(host[2]) - 1)

    @staticmethod
    def _read_task(task: list[Any]) -> Any:
        if task[0] == "EXC":
            return None
        if task[0] == "ERR":
            return "lost"
        error = [text if not text.startswith("OpaqueRef:") else "h2" for text in task[5]]
        return (task[0], task[2], sorted(task[3]), task[4], [mask_uuid(text) for text in error], task[6])

    def _read_vm(self, row: dict[str, Any]) -> Any:
        vm = row["vm"]
        if vm[4] not in self._domids:
            self._domids.append(vm[4])
        return (*vm[:3], sorted(vm[3]), row["vm_allowed_n"], self._domids.index(vm[4]))


def mask_uuid(text: str) -> str:
    """Leave out which VM an error text names."""
    head, found, tail = text.partition("000000000001/config")
    return f"{head[:-24]}VM{found}{tail}" if found else text
