"""What was asked of the real pool when a run had settled, asked of a simulated one, and the answers compared."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tests.support import probes
from tests.support.moves import NULL, Moves
from tests.support.probes import MASKS, power_state
from tests.support.replays import Cast, Recording, Watcher

RECORDED = {
    "OpaqueRef:03a547de-d0f1-3a15-2a3c-38d13cfd3b23": "h1",
    "OpaqueRef:dd425feb-ee34-da4a-3dc0-dc434f4603c6": "h2",
    NULL: "NULL",
}
"""The hosts of the recorded pool."""


class Aftermath:
    """The settled pool after one run."""

    def __init__(self, moves: Moves, recording: Recording, cast: Cast) -> None:
        self.moves = moves
        self.cast = cast
        self.vm = cast.vm(recording.source)
        self.ref = moves.ref("VM", self.vm)
        self.hosts = {"h1": moves.ref("host", cast.h1), "h2": moves.ref("host", cast.h2)}
        self.roles = {ref: role for role, ref in self.hosts.items()} | {NULL: "NULL"}

    @property
    def member(self) -> str:
        """The address of h2."""
        return str(self.moves.pool.store.value("host", self.hosts["h2"], "address"))

    @functools.cached_property
    def local_session(self) -> str:
        """A session of h2 alone."""
        options = self.moves.pool.options
        login = ("session.slave_local_login_with_password", options.username, options.password)
        return str(self.moves.client.raw(*login, address=self.member).value)

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


def check_probes(after: Aftermath, told: dict[str, Any]) -> None:
    """Hold every probe against the same question asked here; a probe that nobody knows fails."""
    for key, value in told.items():
        if key not in MASKS:
            name, role = probes.split(key)
            expected = probes.expect(name, recorded(value), RECORDED)
            assert probes.QUESTIONS[name](after, role) == expected, key


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
