"""Toolstacks that end and hosts that lose their power, against what was noted of a real pool; in two worlds."""

import re
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.moves import NULL
from tests.support.notes import Note, get_items, get_note
from tests.support.replays import CASTS
from tests.support.stage import Stage
from tests.support.wire import Reply, in_background

MASKS = {
    "before: uuid, created, resident_on": "of another pool; the same moment is in the timelines, field by field",
    "final: event_token": "generations of another database; events after a restart are tested with the events",
    "final: relogin_after": "told by the history, and compared there",
    "history: PARSE_ERROR, SESSION_INVALID": "the coordinator was away, or had forgotten the session: asked directly",
    "hard_shutdown: its answer": "not noted; ours is what conformance cases and traces say of that power state",
    "12, 20: power_state_reset's DOMAIN_EXISTS parameter": "a reference without its record; ours has to be the VM's",
    "15: header content-length": "follows from the body",
    "15: times": "half to double",
    "15 timeline: hosts and va but in the last row": "nothing changed until the last row, which is compared",
    "15 timeline: va NULL in the last row": "read while it was being reset, half before and half after",
}
"""What is not compared, and why."""

Make = Callable[..., Stage]


@pytest.fixture
def make_stage() -> Iterator[Make]:
    made: list[Stage] = []

    def make(cast: str, role: str = "h1", **options: Any) -> Stage:
        made.append(Stage(CASTS[cast], role, **options))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


def run_note(
    make_stage: Make, cast: str, trace: str, label: str, host: str, how: str, source: str
) -> tuple[Stage, Note]:
    """Move for 6 s and let a toolstack end after 1.5, as was done; wait for the noted end."""
    stage, note = make_stage(cast, source), Note(trace, label)
    destination = "h2" if source == "h1" else "h1"
    stage.moves.set_copy(stage.vm, 6.0)
    stage.moves.fault(phase="copy", kind="restart", host=stage.cast.host(host), how=how, at=0.25)
    if how == "TERM":
        stage.outlast_the_coordinator()
    stage.moves.start(stage.vm, stage.cast.host(destination))
    stage.watcher.wait_for("real", lambda state: state == note.columns["real"][-1][1])
    stage.watcher.wait_for("vm", lambda state: (state[0], state[1], list(state[3])) == note.columns["vm"][-1][1])
    stage.wait_for_state(host, "ready")
    note.check(stage.watcher)
    return stage, note


def check_final(stage: Stage, note: Note) -> None:
    """What was read when all had settled."""
    final, client = note.final, stage.moves.client
    if final["old_session_works"] != "still valid":
        assert client.refuse("VM.get_all") == ["SESSION_INVALID", client.session]
        client.login()
    task = client.raw("task.get_record", client.session, stage.moves.task_ref).parsed
    if isinstance(final["task"], list):
        assert task["ErrorDescription"] == ["HANDLE_INVALID", "task", stage.moves.task_ref]
    else:
        for field in ("name_label", "status", "progress", "type", "result", "allowed_operations", "current_operations"):
            assert task["Value"][field] == final["task"][field], field
        assert task["Value"]["error_info"] == [final["task"]["error_info"][0], stage.host("h2")]
    vm = stage.moves.vm(stage.vm)
    assert (vm["power_state"], vm["current_operations"]) == (final["vm_power"], final["ops"])
    assert vm["resident_on"] == (NULL if final["resident"] == "NULL" else stage.host(final["resident"]))
    assert vm["allowed_operations"] == final["allowed"]
    for role, (enabled, live) in final["hosts"].items():
        host = client.call("host.get_record", stage.host(role))
        assert (host["enabled"], client.call("host_metrics.get_live", host["metrics"])) == (enabled, live)
    check_real(stage, final["real"]["h1"], final["real"]["h2"])


def check_real(stage: Stage, *wanted: str) -> None:
    assert stage.runs_on() == [role for role, real in zip(("h1", "h2"), wanted, strict=True) if real == "RUNNING"]


def check_reset_and_shutdown(stage: Stage, note: Note) -> None:
    """What a reset and a hard shutdown did then."""
    client, final = stage.moves.client, note.final
    reset = client.raw("VM.power_state_reset", client.session, stage.ref).parsed
    told = final["after_reset"]["power_state_reset"]
    roles = {"DOMAIN_EXISTS": stage.ref, "HOST_IS_LIVE": stage.host("h2")}
    assert reset.get("ErrorDescription", reset.get("Value")) == ([told[0], roles[told[0]]] if told else "")
    power_state, resident_on, real = final["after_reset"]["after_reset"]
    assert stage.place() == (power_state, resident_on)
    check_real(stage, real["h1"], real["h2"])
    was_halted = power_state == "Halted"
    shutdown = client.raw("VM.hard_shutdown", client.session, stage.ref).parsed
    refusal = ["VM_BAD_POWER_STATE", stage.ref, "paused, suspended, running", "halted"]
    power_state, real = final["after_hard_shutdown"]
    assert shutdown.get("ErrorDescription", shutdown.get("Value")) == (refusal if was_halted else "")
    assert stage.place()[0] == power_state
    check_real(stage, real["h1"], real["h2"])


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize(
    ("trace", "label", "host", "how", "source"),
    [
        ("12b", "F", "h1", "TERM", "h1"),
        ("12c", "A", "h1", "KILL", "h1"),
        ("12c", "C", "h2", "KILL", "h2"),
        ("12c", "D", "h2", "KILL", "h1"),
    ],
)
def test_a_toolstack_ends_in_mid_copy(
    make_stage: Make, cast: str, trace: str, label: str, host: str, how: str, source: str
) -> None:
    arrivals = label != "D"  # the race that C05 won was lost there
    stage = None

    def make(*arguments: str) -> Stage:
        nonlocal stage
        stage = make_stage(*arguments)
        stage.pool.toolstack.arrivals_survive = arrivals
        return stage

    stage, note = run_note(make, cast, trace, label, host, how, source)
    check_final(stage, note)
    check_reset_and_shutdown(stage, note)


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("label", ["F1", "F2"])
def test_a_vm_is_started_that_runs_elsewhere(make_stage: Make, cast: str, label: str) -> None:
    stage, note = run_note(make_stage, cast, "20", label, "h1", "TERM", "h1")
    check_final(stage, note)
    (name,) = (key for key in note.final if key.startswith("start_on"))
    answer, power_state, resident_on, real = note.final[name]
    reply = stage.moves.client.raw(
        "VM.start_on", stage.moves.client.session, stage.ref, stage.host(name.removeprefix("start_on ")), False, False
    ).parsed
    wanted = [stage.ref if text.startswith("OpaqueRef:") else text for text in answer]
    assert reply.get("ErrorDescription", reply.get("Value")) == (wanted or "")
    assert stage.place() == (power_state, resident_on)
    check_real(stage, real["h1"], real["h2"])
    check_reset_and_shutdown(stage, note)


class HostDeath:
    """The requests of the recorded power cut, sent again with the names of another pool."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        cast = stage.cast
        self.items = [item for item in get_items("15") if "request" in item]
        vms = {"ac58db4b": cast.on_h1, "781ceb88": cast.halted, "18567ae6": cast.on_h2}
        self._ours = {"03a547de": stage.host("h1"), "dd425feb": stage.host("h2")}
        self._ours |= {start: stage.moves.ref("VM", name) for start, name in vms.items()}

    def _named(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._named(item) for item in value]
        found = re.match(r"OpaqueRef:([0-9a-f]{8})", value) if isinstance(value, str) else None
        return self._ours.get(found.group(1), value) if found else value

    def send(self, item: dict[str, Any]) -> Any:
        """Send a recorded request and give what came back."""
        params, method = xmlrpc.client.loads(item["request"]["body"])
        client = self.stage.moves.client
        reply = client.raw(method, client.session, *(self._named(param) for param in params[1:]))
        _check_envelope(item, reply)
        return reply.parsed

    def check(self, item: dict[str, Any], reply: Any) -> None:
        wanted = {key: self._named(value) for key, value in item["parsed"].items()}
        if item["label"] == "get_possible_hosts":  # of the two hosts that played
            reply["Value"] = [ref for ref in reply["Value"] if ref in self._ours.values()]
        assert reply == wanted, item["label"]


def _check_envelope(item: dict[str, Any], reply: Reply) -> None:
    """Hold status and headers against the recorded ones; the length follows from the body."""
    response = item["response"]
    assert reply.status == response["status"], item["label"]
    recorded, seen = (
        [h for h in map(tuple, hs) if h[0] != "content-length"] for hs in (response["headers"], reply.headers)
    )
    assert seen == recorded, item["label"]


@pytest.mark.parametrize("cast", CASTS)
def test_the_destination_loses_its_power(make_stage: Make, cast: str) -> None:
    stage = make_stage(cast, host_assumed_dead_seconds=40.0)
    death = HostDeath(stage)
    stage.moves.set_copy(stage.vm, 8.0)
    stage.moves.fault(phase="copy", kind="power_cut", host="destination", at=0.25)
    first, start, *rest = death.items
    stage.moves.task_ref = death.send(first)["Value"]
    stage.watcher.until(2.0 + 21.8)
    begun = stage.watcher.seconds
    reply = death.send(start)
    assert start["seconds"] / 2 <= stage.watcher.seconds - begun <= start["seconds"] * 2
    death.check(start, reply)
    stage.watcher.wait_for("task", lambda state: state[0] == "failure")
    check_host_death(stage)
    for item in rest:
        death.check(item, death.send(item))


def check_host_death(stage: Stage) -> None:
    """The history of the recorded power cut: it begins with the cut, 2 s after the submit."""
    history = get_note("15", "timeline")["history"]
    at, (status, progress, error), power_state, resident_on, real, operations, hosts, _ = history[-1]
    moves, client = stage.moves, stage.moves.client
    task = client.call("task.get_record", moves.task_ref)
    assert [task["status"], task["progress"], task["error_info"]] == [status, progress, error]
    failed_at = next(when for when, state in stage.watcher.seen["task"] if state[0] == "failure")
    assert (at + 2) / 2 <= failed_at <= (at + 2) * 2
    stage.watcher.wait_for("vm", lambda state: list(state[3]) == operations)
    assert stage.place() == (power_state, resident_on)
    assert stage.runs_on() == [role for role, said in real.items() if said == "RUNNING"]
    gone_at = next(when for when, state in stage.watcher.seen["real"] if state == (False, False))
    assert (history[-2][0] + 2) / 2 <= gone_at <= (history[-2][0] + 2) * 2
    for role, (enabled, live) in hosts.items():
        host = client.call("host.get_record", stage.host(role))
        assert (host["enabled"], client.call("host_metrics.get_live", host["metrics"])) == (enabled, live)
    assert moves.vm(stage.cast.on_h2)["power_state"] == "Running"
    assert moves.vm(stage.cast.on_h2)["resident_on"] == stage.host("h2")


def test_a_host_without_power_neither_answers_nor_refuses(make_stage: Make) -> None:
    stage = make_stage("other")
    stage.pool.parts["power"].cut(stage.host("h2"))
    port, address = stage.pool.server.port, stage.address("h2")
    ended = threading.Event()

    def knock() -> None:
        stage.moves.client.raw("session.login_with_password", "a", "b", "1", "c", address=address)
        ended.set()

    with in_background(knock) as asked:
        assert not ended.wait(0.3)
        stage.pool.parts["power"].restore(stage.host("h2"))
    assert asked.error is not None or ended.is_set()
    assert stage.pool.server.port == port
