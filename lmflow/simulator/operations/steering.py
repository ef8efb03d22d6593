"""What the control channel may do to hosts, migrations and objects of the pool."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import power_cut
from lmflow.simulator.hosts.flushing import Flushing
from lmflow.simulator.hosts.roles import Roles
from lmflow.simulator.hosts.toolstack import Toolstack, host_of_role
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.migrations import migration
from lmflow.simulator.registry import control_route
from lmflow.simulator.worlds import world_edit

Body = dict[str, Any]


@control_route("POST", "/phase_faults")
def add_phase_fault(pool: Kernel, body: Body) -> Body:
    """Let something befall the next migration in one of its phases, or the next PBD.plug or PBD.unplug."""
    fault = migration.add_phase_fault(pool, body)
    return {"phase": fault.phase, "kind": fault.kind, "host": fault.host, "at": fault.at, "end": fault.end}


@control_route("POST", "/release_phases")
def release_phases(pool: Kernel, _body: Body) -> Body:
    """Let every migration go on that stands, or will stand, at a ``hold``."""
    pool.part(Xenops).released.set()
    return {}


@control_route("POST", "/toolstack")
def steer_toolstack(pool: Kernel, body: Body) -> Body:
    """Restart or stop a host's toolstack now: ``{"host", "action": "restart|stop", "how": "KILL|TERM"}``."""
    toolstack = pool.part(Toolstack)
    actions = {"restart": toolstack.restart, "stop": toolstack.stop}
    action = str(body.get("action", "restart"))
    if action not in actions:
        raise ValueError(f"a toolstack can be restarted or stopped, not {action!r}")
    actions[action](host_of_role(pool, str(body["host"])), str(body.get("how", "KILL")))
    return {}


@control_route("GET", "/toolstack")
def show_toolstacks(pool: Kernel, _body: Body) -> Body:
    """Give the state of every host's toolstack by the host's name."""
    toolstack, store = pool.part(Toolstack), pool.store
    return {store.value("host", ref, "name_label"): toolstack.on(ref).state for ref in store.refs("host")}


@control_route("POST", "/power")
def steer_power(pool: Kernel, body: Body) -> Body:
    """Take a host's power, or give it back: ``{"host", "on": true|false}``."""
    change = power_cut.restore if body["on"] else power_cut.cut
    change(pool, host_of_role(pool, str(body["host"])))
    return {}


@control_route("GET", "/power")
def show_power(pool: Kernel, _body: Body) -> Body:
    """Tell which hosts have power, by the host's name."""
    toolstack, store = pool.part(Toolstack), pool.store
    return {store.value("host", ref, "name_label"): toolstack.on(ref).is_powered for ref in store.refs("host")}


@control_route("POST", "/coordinator")
def steer_coordinator(pool: Kernel, body: Body) -> Body:
    """Make a member the coordinator: ``{"host", "recover": true|false}``; the other members follow it only then."""
    roles = pool.part(Roles)
    roles.take_over(host_of_role(pool, str(body["host"])))
    if body.get("recover", True):
        roles.recover()
    return {}


@control_route("POST", "/emergency")
def steer_emergency(pool: Kernel, body: Body) -> Body:
    """Put a member into emergency mode for a ``reason`` (an error code), or, without one, end that."""
    roles, host_ref = pool.part(Roles), host_of_role(pool, str(body["host"]))
    if body.get("reason"):
        roles.isolate(host_ref, str(body["reason"]))
    else:
        roles.rejoin(host_ref)
    return {}


@control_route("POST", "/flush")
def flush(pool: Kernel, _body: Body) -> Body:
    """Write the coordinator's database to disk, as ``pool.sync_database`` does."""
    pool.part(Flushing).flush()
    return {}


@control_route("POST", "/idle")
def let_sessions_idle(pool: Kernel, body: Body) -> Body:
    """Let every session have been idle for so long, ``{"seconds": n}``, and end those whose time is over by that."""
    pool.sessions.let_idle(float(body["seconds"]))
    pool.sessions.collect(pool.tasks.busy_sessions())
    return {}


@control_route("POST", "/arrivals")
def steer_arrivals(pool: Kernel, body: Body) -> Body:
    """Decide the race of a VM that arrives at a host whose toolstack restarts: ``{"survive": true|false}``."""
    pool.part(Toolstack).arrivals_survive = bool(body["survive"])
    return {}


@control_route("POST", "/copy_seconds")
def set_copy_seconds(pool: Kernel, body: Body) -> Body:
    """Set how long a VM's copy takes: ``{"vm": uuid, "seconds": n}``."""
    try:
        migration.set_copy_seconds(pool, str(body["vm"]), float(body["seconds"]))
    except ApiFailure as failure:
        raise KeyError(" ".join(failure.description)) from failure
    return {}


@control_route("POST", "/vm")
def edit_vm(pool: Kernel, body: Body) -> Body:
    """Change a VM's fields as if the pool had always been so; its domain follows. ValueError when it cannot be so."""
    return edit_object(pool, {"class": "VM", **body})


@control_route("POST", "/object")
def edit_object(pool: Kernel, body: Body) -> Body:
    """Change fields of an object, ``{"class", "uuid", "fields"}``; undone, with ValueError, when it cannot be so.

    The pool's database is flushed then: such a change was always there.
    A host's name stands for its reference in ``resident_on`` and the like.
    """
    store, cls, fields = pool.store, str(body["class"]), dict(body["fields"])
    with store.lock:
        ref = next(iter(store.find(cls, uuid=str(body["uuid"]))), None)
        if ref is None:
            raise KeyError(f"no {cls} {body['uuid']}")
        known = store.schema.classes[cls].fields
        for name, value in fields.items():
            if name not in known:
                raise KeyError(f"{cls} has no field {name}")
            if known[name].type == "host ref" and not str(value).startswith("OpaqueRef:"):
                fields[name] = pool.find_host(str(value)) if value else NULL
        world_edit.edit(pool, cls, ref, fields)
        pool.part(Flushing).flush()
    return {}
