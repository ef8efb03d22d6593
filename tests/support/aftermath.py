"""What was asked of the real pool when a run had settled, asked of a simulated one, and the answers compared."""

from __future__ import annotations

import urllib.parse
import xmlrpc.client
from collections.abc import Callable
from typing import Any

from tests.support.moves import NULL, Moves
from tests.support.replays import Cast, Recording, Watcher
from tests.support.wire import Reply

RECORDED = {
    "OpaqueRef:03a547de-d0f1-3a15-2a3c-38d13cfd3b23": "h1",
    "OpaqueRef:dd425feb-ee34-da4a-3dc0-dc434f4603c6": "h2",
    NULL: "NULL",
}
"""The hosts of the recorded pool."""

MASKS = {
    "VM.get_record consoles": "the recorded hypervisor had none",
    "VM_metrics memory_actual, start_time, last_updated": "of an instant, and of a hypervisor without memory",
    "VM_guest_metrics but PV_drivers_detected": "what a guest tells of itself",
    "compute_free_memory, host.get_data_sources, get_allowed_VBD_devices, get_boot_record": "another pool's hardware",
    "VM.get_data_sources, query_data_source, call_plugin, retrieve_wlb, host.call_plugin": "not of this area",
    "tasks on coordinator": "a recorded pool kept those of the runs before",
    "GET /rrd_updates, /vm_rrd, /host_rrd, audit_log": "daemons that the recorded pool did not have",
    "xenops Task.list, VM.list": "the recorder failed to read them; Task.list is compared in C15",
}
"""What is not compared, and why."""

State = tuple[str, str, bool, bool]


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


class Aftermath:
    """The settled pool after one run."""

    def __init__(self, moves: Moves, recording: Recording, cast: Cast) -> None:
        self.moves = moves
        self.cast = cast
        self.vm = cast.vm(recording.source)
        self.ref = moves.ref("VM", self.vm)
        self.hosts = {"h1": moves.ref("host", cast.h1), "h2": moves.ref("host", cast.h2)}
        self.roles = {ref: role for role, ref in self.hosts.items()} | {NULL: "NULL"}

    def state(self) -> list[Any]:
        vm = self.moves.vm(self.vm)
        running = self.moves.runs_on(self.vm)
        real = {role: "RUN" if self.cast.host(role) in running else "-" for role in self.hosts}
        return [vm["power_state"], self.roles[vm["resident_on"]], real]

    def xenops(self) -> list[str]:
        return [power_state(self.moves, self.cast.host(role), self.vm) for role in self.hosts]

    def tell(self, method: str, *arguments: Any) -> Any:
        """Call; a refusal is told as the recorder told it, with the VM named."""
        parsed = self.moves.client.raw(method, self.moves.client.session, *arguments).parsed
        if parsed["Status"] == "Success":
            return parsed["Value"]
        return ["ERR", *(self.named(text) for text in parsed["ErrorDescription"])]

    def named(self, text: str) -> str:
        return "VM" if text == self.ref else text.replace(self.moves.uuid(self.vm), "UUID")

    def start_on(self, role: str) -> Any:
        return self.tell("VM.start_on", self.ref, self.hosts[role], False, False)

    def migrate(self, role: str) -> Any:
        return self.tell("VM.pool_migrate", self.ref, self.hosts[role], {"live": "true"})


def recorded(answer: Any, uuid: str = "") -> Any:
    """A recorded refusal with the VM named."""
    if not isinstance(answer, list) or answer[:1] != ["ERR"]:
        return answer
    words = ["VM" if text.startswith("OpaqueRef:") else text for text in answer]
    return [text.replace(uuid, "UUID") if uuid else text for text in words]


def check_probes(after: Aftermath, probes: dict[str, Any]) -> None:
    """What was read with the API, on the coordinator and on the member, and what the witness said."""
    client, moves = after.moves.client, after.moves
    _check_records(after, probes)
    for role, ref in after.hosts.items():
        assert (after.ref in client.call("host.get_resident_VMs", ref)) == probes[f"host.get_resident_VMs {role}"]
        assert after.tell("VM.assert_can_boot_here", after.ref, ref) == probes[f"assert_can_boot_here {role}"]
        exists = ask(moves, after.cast.host(role), "VM.exists", id=moves.uuid(after.vm)).value
        assert exists == probes[f"xenops VM.exists {role}"]
        assert power_state(moves, after.cast.host(role), after.vm) == probes[f"xenops VM.stat {role}"]
    possible = {after.roles.get(ref) for ref in client.call("VM.get_possible_hosts", after.ref)} - {None}
    assert possible == set(probes["VM.get_possible_hosts"])
    (event,) = client.events([f"vm/{after.ref}"], "", 0.0)["events"]
    place = after.roles[event["snapshot"]["resident_on"]]
    assert [[event["operation"], event["snapshot"]["power_state"], place]] == probes["event.from fresh"]
    assert after.state()[2] == probes["real"]
    _check_member(after, probes)


def _check_records(after: Aftermath, probes: dict[str, Any]) -> None:
    vm, wanted = after.moves.vm(after.vm), probes["VM.get_record"]
    for field in ("power_state", "domarch", "current_operations", "allowed_operations"):
        assert vm[field] == wanted[field], field
    for field in ("resident_on", "scheduled_to_be_resident_on"):
        assert after.roles[vm[field]] == RECORDED[wanted[field]], field
    assert (vm["domid"] == "-1") == (wanted["domid"] == "-1")
    metrics = after.moves.client.call("VM_metrics.get_record", vm["metrics"])
    for field in ("VCPUs_number", "hvm", "current_domain_type", "state"):
        assert metrics[field] == probes["VM_metrics"][field], field
    guest = after.moves.client.call("VM_guest_metrics.get_record", vm["guest_metrics"])
    assert guest["PV_drivers_detected"] == probes["VM_guest_metrics"]["PV_drivers_detected"]
    store = after.moves.pool.store
    disks = [ref for ref in vm["VBDs"] if store.value("VBD", ref, "VDI") != NULL]
    assert [store.value("VBD", ref, "currently_attached") for ref in disks] == probes["VBD.currently_attached"]
    assert [store.value("VIF", ref, "currently_attached") for ref in vm["VIFs"]] == probes["VIF.currently_attached"]


def _check_member(after: Aftermath, probes: dict[str, Any]) -> None:
    """A member reads the same, to who logged in there; its witness does not answer such a session."""
    client, options = after.moves.client, after.moves.pool.options
    address = str(after.moves.pool.store.value("host", after.hosts["h2"], "address"))
    login = ("session.slave_local_login_with_password", options.username, options.password)
    session = str(client.raw(*login, address=address).value)
    vm = client.raw("VM.get_record", session, after.ref, address=address).value
    wanted = probes["member local: VM.get_record"]
    assert [vm["power_state"], after.roles[vm["resident_on"]]] == wanted[:2]
    residents = client.raw("host.get_resident_VMs", session, after.hosts["h2"], address=address).value
    assert (after.ref in residents) == probes["member local: host.get_resident_VMs h2"]
    asked = ask(after.moves, after.cast.h2, "VM.exists", session, id=after.moves.uuid(after.vm))
    assert ["HTTP", asked.status] == probes["xenops h2 with member-local session"]


def probe_only(after: Aftermath, told: dict[str, Any]) -> None:
    check_probes(after, told)


def probe_and_start(after: Aftermath, told: dict[str, Any]) -> None:
    check_probes(after, told["probes"])
    (start,) = (name for name in told if name.startswith("start_on"))
    assert after.start_on(start.removeprefix("start_on ")) == recorded(told[start])
    assert after.state() == told["state now"] == told["3s later"]


def start_somewhere(after: Aftermath, told: dict[str, Any]) -> None:
    """XAPI chose the host, the right one by chance; here it has no other choice."""
    for ref in after.moves.pool.store.refs("host"):
        if ref != after.hosts["h2"]:
            after.moves.client.call("host.disable", ref)
    assert after.tell("VM.start", after.ref, False, False) == recorded(told["VM.start"])
    assert after.state() == told["state now"] == told["2s later"]


def find_a_ghost_on_the_coordinator(after: Aftermath, told: dict[str, Any]) -> None:
    check_probes(after, told["probes"])
    assert after.start_on("h1") == recorded(told["start_on h1"])
    uuid = told["pool_migrate"][2].split("id ")[1].partition("/")[0]
    assert after.migrate("h2") == recorded(told["pool_migrate"], uuid)
    assert after.tell("VM.power_state_reset", after.ref) == told["power_state_reset"]
    assert after.tell("VM.hard_shutdown", after.ref) == recorded(told["hard_shutdown"])
    assert after.state() == told["st"]


def boot_what_was_shut_down(after: Aftermath, told: dict[str, Any]) -> None:
    check_probes(after, told["probes"])
    assert after.start_on("h2") == told["start_on h2"]
    assert after.state() == told["st"]


def submit_after_the_orphan(after: Aftermath, told: dict[str, Any]) -> None:
    assert (after.state(), after.xenops()) == (told["st"], told["xen"])
    assert after.migrate("h2") == recorded(told["pool_migrate again h2"])
    assert after.state() == told["st2"]
    assert after.start_on("h2") == recorded(told["start_on h2"])
    assert after.state() == told["st3"]


def look_again(after: Aftermath, told: dict[str, Any]) -> None:
    assert (after.state(), after.xenops()) == (told["st"], told["xen"])
    (task,) = after.moves.client.call("task.get_all_records").values()
    place = after.roles[task["resident_on"]]
    found = [task["name_label"], task["status"], task["progress"], task["error_info"], place]
    assert [found] == told["tasks"]


def repair_a_ghost_on_a_member(after: Aftermath, told: dict[str, Any]) -> None:
    """No call repairs it; a restart of the member's toolstack does."""
    assert (after.state(), after.xenops()) == (told["st"], told["xen"])
    gone = ["ERR", "INTERNAL_ERROR", "Object with type VM and id UUID/config does not exist in xenopsd"]
    assert after.tell("VM.power_state_reset", after.ref) == ["ERR", "HOST_IS_LIVE", after.hosts["h2"]]
    assert after.start_on("h2") == ["ERR", "VM_BAD_POWER_STATE", "VM", "halted", "running"]
    assert after.migrate("h1") == gone
    assert after.tell("VM.hard_shutdown", after.ref) == gone
    assert after.tell("VM.hard_reboot", after.ref) == gone
    assert after.state() == told["st"]
    watcher = Watcher(after.moves.pool, after.cast, "h2")
    after.moves.restart(after.cast.h2)
    watcher.wait_for("vm", lambda state: state[0] == "Halted")


def start_where_it_is(after: Aftermath, told: dict[str, Any]) -> None:
    (start,) = (name for name in told if name.startswith("start_on"))
    assert after.start_on(start.removeprefix("start_on ")) == recorded(told[start])
    power, _, real = after.state()
    assert [power, real] == told["st"]


_AFTER: dict[str, Callable[[Aftermath, dict[str, Any]], None]] = {
    **dict.fromkeys(("C01", "C02", "C03", "C04"), probe_and_start),
    **dict.fromkeys(("C05", "C06", "C07", "C09"), probe_only),
    "C08": start_somewhere,
    "C10": find_a_ghost_on_the_coordinator,
    "C11": boot_what_was_shut_down,
    "C12": submit_after_the_orphan,
    "C13": look_again,
    "C14": repair_a_ghost_on_a_member,
    **dict.fromkeys(("C15", "C16"), start_where_it_is),
}


def check_aftermath(moves: Moves, recording: Recording, cast: Cast) -> None:
    """Ask what was asked after this run, if anything was."""
    if recording.name in _AFTER:
        _AFTER[recording.name](Aftermath(moves, recording, cast), recording.after)
