"""The questions that a recorder asked of a settled pool, each asked here and told in the recorder's words."""

from __future__ import annotations

import contextlib
import http.client
import urllib.parse
import xmlrpc.client
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tests.support.moves import NULL, Moves
from tests.support.wire import Reply

if TYPE_CHECKING:
    from tests.support.aftermath import Aftermath

MASKS = {
    "compute_free_memory h1": "the memory of another pool's hosts",
    "compute_free_memory h2": "the memory of another pool's hosts",
    "tasks on coordinator": "a recorded pool kept those of the runs before",
    "member local: VM.start? not run": "the recorder did not ask",
    "xenops Task.list h1": "the recorder failed to read it; Task.list is compared in C15",
    "xenops Task.list h2": "the recorder failed to read it; Task.list is compared in C15",
    "xenops VM.list h2": "the recorder failed to read it",
}
"""Probes that are not compared, and why."""

PARTS = {
    "VM.get_record": ("power_state", "domarch", "current_operations", "allowed_operations", "resident_on",
                      "scheduled_to_be_resident_on"),
    "VM_metrics": ("VCPUs_number", "hvm", "current_domain_type", "state"),
    "VM_guest_metrics": ("PV_drivers_detected",),
}  # fmt: skip
"""What is compared of a record: the rest is of an instant, of a hypervisor without memory, or told by a guest."""

_SPECIAL = {
    "audit_log h1 contains": ("audit_log", "h1"),
    "host.call_plugin h2 (nonexistent)": ("host.call_plugin", "h2"),
    "member local: host.get_resident_VMs h2": ("member local: host.get_resident_VMs", "h2"),
    "xenops h2 with member-local session": ("xenops with member-local session", "h2"),
}


def ask(moves: Moves, host: str, method: str, session: str = "", **arguments: str) -> Reply:
    """Ask the xenopsd of a host."""
    path = "/services/xenops?session_id=" + urllib.parse.quote(session or moves.client.session)
    body = xmlrpc.client.dumps(({"debug_info": "test", **arguments},), method).encode()
    address = str(moves.pool.store.value("host", moves.ref("host", host), "address"))
    return moves.client.post(body, address=address, path=path)


def power_state(moves: Moves, host: str, vm: str) -> str:
    """What the xenopsd of a host says of a VM: its power state, or no."""
    parsed = ask(moves, host, "VM.stat", id=moves.uuid(vm)).parsed
    return str(parsed["Value"][1]["power_state"]) if parsed["Status"] == "Success" else "no"


def split(key: str) -> tuple[str, str]:
    """Take a probe's key apart: what was asked, and of which host."""
    if key in _SPECIAL:
        return _SPECIAL[key]
    name, _, role = key.rpartition(" ")
    return (name, role) if role in {"h1", "h2"} else (key, "")


def expect(name: str, told: Any, hosts: Mapping[str, str]) -> Any:
    """Say what has to come here where the recorder told it so; ``hosts``: recorded reference -> role."""
    if name in PARTS:
        return {field: hosts.get(str(told[field]), told[field]) for field in PARTS[name]}
    if name == "VM.get_possible_hosts":
        return sorted(told)
    if name == "member local: VM.get_record":
        return [*told[:2], told[2] == "-1"]
    return None if name == "member local: tasks" else told


def _read(cls: str, field: str = "") -> Callable[[Aftermath, str], Any]:
    """Make the question for those fields of a VM's record, or of its metrics, that are compared."""

    def read(after: Aftermath, _: str) -> Any:
        record = after.moves.vm(after.vm)
        if field:
            record = after.moves.client.call(f"{cls}.get_record", record[field])
        compared = PARTS[cls if field else "VM.get_record"]
        return {name: after.roles.get(str(record[name]), record[name]) for name in compared}

    return read


def _disks(after: Aftermath) -> list[dict[str, Any]]:
    call = after.moves.client.call
    found = [call("VBD.get_record", ref) for ref in after.moves.vm(after.vm)["VBDs"]]
    return [vbd for vbd in found if vbd["VDI"] != NULL]


def _attached_vifs(after: Aftermath, _: str) -> list[bool]:
    vifs = after.moves.vm(after.vm)["VIFs"]
    return [after.moves.client.call("VIF.get_currently_attached", ref) for ref in vifs]


def _event(after: Aftermath, _: str) -> Any:
    (event,) = after.moves.client.events([f"vm/{after.ref}"], "", 0.0)["events"]
    place = after.roles[event["snapshot"]["resident_on"]]
    return [[event["operation"], event["snapshot"]["power_state"], place]]


def _devices(after: Aftermath, _: str) -> Any:
    """The recorded VM had one disk, and no drive: here the drive's number is put back."""
    taken = {vbd["userdevice"] for vbd in map(_vbd(after), after.moves.vm(after.vm)["VBDs"]) if vbd["type"] == "CD"}
    free = set(after.tell("VM.get_allowed_VBD_devices", after.ref)) | taken
    return sorted(free, key=int)


def _vbd(after: Aftermath) -> Callable[[str], dict[str, Any]]:
    return lambda ref: dict(after.moves.client.call("VBD.get_record", ref))


def _has_booted(after: Aftermath, _: str) -> bool:
    """The recorder wrote yes or no; what it looked at is taken to be the power state in the record."""
    return bool(after.tell("VM.get_boot_record", after.ref)["power_state"] == "Running")


def _possible_hosts(after: Aftermath, _: str) -> list[str]:
    found = {after.roles.get(ref) for ref in after.moves.client.call("VM.get_possible_hosts", after.ref)}
    return sorted(role for role in found if role)


def _get(path: str) -> Callable[[Aftermath, str], Any]:
    """Make the question for a download: status, length, whether the VM is named in it, its beginning."""

    def get(after: Aftermath, role: str) -> list[Any]:
        client, uuid = after.moves.client, after.moves.uuid(after.vm)
        address = after.moves.pool.store.value("host", after.hosts[role], "address")
        query = urllib.parse.urlencode({"session_id": client.session, "uuid": uuid, "start": 0})
        connection = http.client.HTTPConnection(address, client.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", f"{path}?{query}")
            reply = connection.getresponse()
            body = reply.read().decode()
        found = [reply.status, len(body), uuid in body]
        return found if path == "/audit_log" else [*found, body[:40]]

    return get


def _local(method: str, *, of_host: bool = False) -> Callable[[Aftermath, str], Any]:
    """Make the question that the member h2 answers to who logged in there."""

    def read(after: Aftermath, _: str) -> Any:
        parameters = [after.hosts["h2"] if of_host else after.ref] if method != "task.get_all_records" else []
        return after.moves.client.raw(method, after.local_session, *parameters, address=after.member).value

    return read


def _local_vm(after: Aftermath, role: str) -> list[Any]:
    vm = _local("VM.get_record")(after, role)
    return [vm["power_state"], after.roles[vm["resident_on"]], vm["domid"] == "-1"]


def _local_tasks(after: Aftermath, role: str) -> None:
    """Which tasks there are differs, as on the coordinator; but the member knows the same ones."""
    assert _local("task.get_all_records")(after, role) == after.moves.client.call("task.get_all_records")


def _tell(method: str, *rest: Any) -> Callable[[Aftermath, str], Any]:
    return lambda after, _: after.tell(method, after.ref, *rest)


def _xenops_exists(after: Aftermath, role: str) -> Any:
    return ask(after.moves, after.cast.host(role), "VM.exists", id=after.moves.uuid(after.vm)).value


def _xenops_with_local_session(after: Aftermath, role: str) -> list[Any]:
    asked = ask(after.moves, after.cast.host(role), "VM.exists", after.local_session, id=after.moves.uuid(after.vm))
    return ["HTTP", asked.status]


QUESTIONS: dict[str, Callable[[Aftermath, str], Any]] = {
    "VM.get_record": _read("VM"),
    "VM_metrics": _read("VM_metrics", "metrics"),
    "VM_guest_metrics": _read("VM_guest_metrics", "guest_metrics"),
    "VBD.currently_attached": lambda after, _: [vbd["currently_attached"] for vbd in _disks(after)],
    "VIF.currently_attached": _attached_vifs,
    "VDI.sm_config": lambda a, _: [a.moves.client.call("VDI.get_sm_config", vbd["VDI"]) for vbd in _disks(a)],
    "host.get_resident_VMs": lambda after, role: after.ref in after.tell("host.get_resident_VMs", after.hosts[role]),
    "host.get_data_sources": lambda after, role: after.tell("host.get_data_sources", after.hosts[role]),
    "assert_can_boot_here": lambda a, role: a.tell("VM.assert_can_boot_here", a.ref, a.hosts[role]),
    "VM.get_possible_hosts": _possible_hosts,
    "VM.get_data_sources": _tell("VM.get_data_sources"),
    "VM.query_data_source": _tell("VM.query_data_source", "memory"),
    "VM.get_allowed_VBD_devices": _devices,
    "VM.get_boot_record": _has_booted,
    "VM.call_plugin": _tell("VM.call_plugin", "guest-agent-operation", "x", {}),
    "VM.retrieve_wlb": _tell("VM.retrieve_wlb_recommendations"),
    "host.call_plugin": lambda a, role: a.tell("host.call_plugin", a.hosts[role], "nosuch", "main", {}),
    "event.from fresh": _event,
    "member local: VM.get_record": _local_vm,
    "member local: tasks": _local_tasks,
    "member local: host.get_resident_VMs": lambda a, r: a.ref in _local("host.get_resident_VMs", of_host=True)(a, r),
    "member local: VM.get_data_sources": _local("VM.get_data_sources"),
    "member local: host.get_data_sources": lambda a, r: str(_local("host.get_data_sources", of_host=True)(a, r)),
    "GET /rrd_updates": _get("/rrd_updates"),
    "GET /vm_rrd": _get("/vm_rrd"),
    "GET /host_rrd": _get("/host_rrd"),
    "audit_log": _get("/audit_log"),
    "xenops VM.exists": _xenops_exists,
    "xenops VM.stat": lambda after, role: power_state(after.moves, after.cast.host(role), after.vm),
    "xenops with member-local session": _xenops_with_local_session,
    "real": lambda after, _: after.state()[2],
}
"""What was asked -> how it is asked here, given the role of the host that was asked."""
