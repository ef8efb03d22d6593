"""The pool of the kill matrix, many VMs for many kills, and the ways in which a migration may go there.

Each VM boots from a kernel of its own in A's dom0 and has its disk on a volume of its own that B is not joined to:
what comes before and after a migration has something to do, and to take back.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.kernels import BELOW, PLUGIN
from tests.support.worlds import P, get_item

DISABLED = ["HOST_DISABLED", "OpaqueRef:b"]
WAITS = {
    "lease_seconds": 120.0, "heartbeat_seconds": 30.0, "settle_seconds": 0.3, "quiet_seconds": 0.05,
    "poll_seconds": 0.05, "write_seconds": 5.0, "park_seconds": 0.0, "pool_seconds": 5.0, "operation_seconds": 10.0,
    "event_seconds": 20.0,
}  # fmt: skip
"""Owners die beside their heirs, which needs no waiting; nobody restarts unless a schedule says so.

Each wait parks, so that whatever waits is left and loaded anew. What waits to be written goes along with a step's own
writes: when it would be written by itself is chance."""
TIME_SCALE = 100.0
"""Not more: XAPI forgets a finished task after 65 minutes, and a slow machine needs its time."""
COPY_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """A way to go. ``faults`` befall the migration in the pool; a run may end in ``ends``.

    ``cancel_in``: the step at whose begin a cancel is asked for. ``since``: the first step in which it differs from the
    plain way, so that only the points from there on are of its own. ``unmarked``: how it may end besides where the pool
    does not keep our mark. ``mend``: what the command says when a toolstack may be steered so that it comes back, and
    how.
    """

    name: str
    ends: frozenset[str]
    faults: tuple[Mapping[str, Any], ...] = ()
    cancel_in: str = ""
    since: str = ""
    unmarked: frozenset[str] = frozenset()
    mend: tuple[str, Mapping[str, Any]] | None = None


SUBMIT, AWAIT = "submit_pool_migrate", "await_pool_migrate"
FLOWS = {
    flow.name: flow
    for flow in (
        Flow("moved", frozenset({"success"})),
        Flow(
            "failed",
            frozenset({"failed"}),
            faults=({"phase": "setup", "kind": "fail", "error": DISABLED},),
            since=SUBMIT,
            # With its task not to be found, what the pool refused has never begun, and is sent again.
            unmarked=frozenset({"success"}),
        ),
        # A cancel that comes too late is told, and the VM has moved.
        Flow(
            "cancelled",
            frozenset({"failed", "success"}),
            faults=({"phase": "copy", "kind": "hold"},),
            cancel_in=AWAIT,
            since=AWAIT,
        ),
    )
}
FAULTY = {
    flow.name: flow
    for flow in (
        Flow(
            "source-restarted",
            frozenset({"failed", "success"}),
            faults=({"phase": "copy", "kind": "restart", "host": "source", "at": 0.3},),
        ),
        Flow(
            "destination-restarted",
            frozenset({"failed", "success"}),
            faults=({"phase": "copy", "kind": "restart", "host": "destination", "at": 0.3},),
        ),
        # The copy fails, and the destination stays away until somebody is seen to wait for it.
        Flow(
            "destination-stopped",
            frozenset({"failed", "success"}),
            faults=(
                {"phase": "copy", "kind": "stop", "host": "destination", "at": 0.2},
                {"phase": "copy", "kind": "fail", "at": 0.4},
            ),
            mend=("the pool is settling", {"host": "B", "action": "restart"}),
        ),
    )
}
"""Not by kills alone: a toolstack dies in mid-copy. It takes a pool slow enough for the heir to look meanwhile."""
FAULTY_SCALE = 25.0
FAULTY_WAITS = {**WAITS, "settle_seconds": 1.2, "quiet_seconds": 0.2, "pool_seconds": 20.0, "event_seconds": 5.0}


def get_pace(flow: str) -> tuple[float, Mapping[str, float]]:
    """Return the time scale and the waits that a way needs."""
    return (FAULTY_SCALE, FAULTY_WAITS) if flow in FAULTY else (TIME_SCALE, WAITS)


def get_vm_uuid(number: int) -> str:
    """Return the UUID of VM ``v<number>`` of the world."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"v{number}"))


def write_world(path: Path, count: int) -> Path:
    """Write a world with VMs ``v0`` to ``v<count - 1>`` on A, with a volume ``T<n>`` each."""
    world = copy.deepcopy(P)
    pattern = world["vms"].pop()
    files = {}
    for number in range(count):
        kernel, vm_uuid = f"{BELOW}/vmlinuz-{number}", get_vm_uuid(number)
        files[kernel] = f"bits of {number}"
        sr = {"name": f"T{number}", "type": "nfs", "shared": True, "hosts": {"A": "plugged"}}
        world["storage"].append({**sr, "other_config": {"lmflow-introduced-for": vm_uuid}})
        own = {"name": f"v{number}", "uuid": vm_uuid, "pv_kernel": kernel, "domain_type": "pv"}
        disks = [{"name": "root", "sr": f"T{number}", "size": "10 GiB"}]
        world["vms"].append({**pattern, **own, "memory": "64 MiB", "copy_seconds": COPY_SECONDS, "disks": disks})
    get_item(world, "hosts", "A").update(plugins=[PLUGIN], files=files)
    get_item(world, "hosts", "B").update(plugins=[PLUGIN])
    path.write_text(json.dumps(world), encoding="utf-8")
    return path
