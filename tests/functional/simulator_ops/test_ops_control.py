"""What the control channel does to migrations, toolstacks and objects, and what it refuses."""

import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.moves import NULL, Moves, world_with


def control(moves: Moves, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", moves.pool.control.port, timeout=30)
    connection.request(method, path, None if body is None else json.dumps(body))
    reply = connection.getresponse()
    found = reply.status, json.loads(reply.read())
    connection.close()
    return found


def test_copy_seconds_and_phase_faults(moves: Moves) -> None:
    assert control(moves, "POST", "/copy_seconds", {"vm": moves.uuid("v"), "seconds": 1})[0] == 200
    status, fault = control(moves, "POST", "/phase_faults", {"phase": "copy", "kind": "fail", "vm": moves.uuid("v")})
    assert (status, fault["end"]) == (200, "source")
    assert moves.finish("v", "h2")["error_info"][0] == "INTERNAL_ERROR"
    assert moves.finish("v", "h2")["status"] == "success", "a fault befalls once"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/phase_faults", {"phase": "lunch", "kind": "fail"}),
        ("/phase_faults", {"phase": "copy", "kind": "explode"}),
        ("/phase_faults", {"phase": "copy", "kind": "fail", "end": "nowhere"}),
        ("/phase_faults", {"phase": "copy", "kind": "fail", "at": 2}),
        ("/phase_faults", {"phase": "copy", "kind": "restart", "how": "HUP"}),
        ("/phase_faults", {"phase": "copy", "kind": "restart", "host": "h9"}),
        ("/phase_faults", {"phase": "copy", "kind": "fail", "colour": "red"}),
        ("/toolstack", {"host": "h9", "how": "KILL"}),
        ("/toolstack", {"host": "h1", "how": "HUP"}),
        ("/toolstack", {"host": "h1", "action": "paint"}),
        ("/copy_seconds", {"vm": "nobody", "seconds": 1}),
        ("/vm", {"uuid": "nobody", "fields": {}}),
        ("/object", {"class": "SR", "uuid": "nobody", "fields": {}}),
    ],
)
def test_orders_that_make_no_sense(moves: Moves, path: str, body: dict[str, Any]) -> None:
    before = moves.pool.store.generation
    assert control(moves, "POST", path, body)[0] == 400
    assert moves.pool.store.generation == before


def test_a_phase_fault_restarts_a_toolstack_at_its_fraction(moves: Moves) -> None:
    moves.set_copy("v", 5)
    body = {"phase": "copy", "kind": "restart", "host": "coordinator", "how": "KILL", "at": 0.3}
    control(moves, "POST", "/phase_faults", body)
    observer = moves.observe("v")
    moves.start("v", "h2")
    observer.wait_for("vm", ("Halted", "NULL", "NULL", [], 15))
    assert max(p for p in observer.seen.progress if p < 1.0) < 0.45
    assert moves.runs_on("v") == ["h2"]


def test_a_stopped_toolstack_stays_down_until_it_is_restarted(moves: Moves) -> None:
    moves.set_copy("v", 1)
    moves.fault(phase="copy", kind="stop", host="destination")
    record = moves.finish("v", "h2")
    assert record["error_info"] == ["CANNOT_CONTACT_HOST", moves.ref("host", "h2")]
    assert control(moves, "GET", "/toolstack")[1] == {"h1": "ready", "h2": "down"}
    assert moves.finish("w", "h1")["error_info"] == ["CANNOT_CONTACT_HOST", moves.ref("host", "h2")]
    observer = moves.observe("v")
    control(moves, "POST", "/toolstack", {"host": "h2"})
    observer.wait_until_back()
    assert moves.runs_on("v") == ["h2"]


def test_a_destination_that_was_down_before_is_never_reached(moves: Moves) -> None:
    control(moves, "POST", "/toolstack", {"host": "h2", "action": "stop"})
    assert moves.finish("v", "h2")["error_info"] == ["VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED"]
    assert (moves.runs_on("v"), moves.vm("v")["power_state"]) == (["h1"], "Running")


@pytest.mark.parametrize(
    ("fault", "end", "database"),
    [
        ({"phase": "setup", "error": ["HOST_NOT_ENOUGH_FREE_MEMORY", "2", "1"]}, ["h1"], ("Running", "h1")),
        ({"phase": "suspend"}, ["h1"], ("Running", "h1")),
        ({"phase": "suspend", "end": "halted"}, [], ("Halted", "")),
        ({"phase": "finish", "end": "nowhere"}, [], ("Running", "h1")),
        ({"phase": "finish", "end": "destination"}, ["h2"], ("Running", "h2")),
    ],
    ids=["setup", "suspend", "halted", "nowhere", "failed but moved"],
)
def test_ends_of_a_failed_migration(
    moves: Moves, fault: dict[str, Any], end: list[str], database: tuple[str, str]
) -> None:
    moves.set_copy("v", 1)
    moves.fault(kind="fail", **fault)
    record = moves.finish("v", "h2")
    assert record["status"] == "failure"
    assert record["error_info"] == fault.get("error", record["error_info"])
    assert moves.runs_on("v") == end
    place = moves.ref("host", database[1]) if database[1] else NULL
    while moves.vm("v")["current_operations"]:
        pass
    assert (moves.vm("v")["power_state"], moves.vm("v")["resident_on"]) == (database[0], place)
    effects = [entry.effect for entry in moves.pool.audit.entries() if entry.method == "Async.VM.pool_migrate"]
    assert effects == [fault["phase"] != "setup"]
    assert moves.client.call("host.get_current_operations", moves.ref("host", "h2")) == {}


def test_edits_that_would_be_impossible_are_undone(moves: Moves) -> None:
    before = moves.vm("v")
    for fields in ({"power_state": "Halted"}, {"resident_on": ""}, {"memory_dynamic_min": 64 * 1024**3}):
        status, reply = control(moves, "POST", "/vm", {"uuid": moves.uuid("v"), "fields": fields})
        assert status == 400
        assert "ImpossibleWorldError" in reply["error"]
    assert moves.vm("v") == before


def test_the_domain_follows_an_edit(moves: Moves) -> None:
    control(moves, "POST", "/vm", {"uuid": moves.uuid("v"), "fields": {"power_state": "Suspended", "resident_on": ""}})
    assert moves.runs_on("v") == []
    assert "resume" in moves.vm("v")["allowed_operations"]
    control(moves, "POST", "/vm", {"uuid": moves.uuid("v"), "fields": {"power_state": "Running", "resident_on": "h2"}})
    assert moves.runs_on("v") == ["h2"]
    assert control(moves, "GET", "/state")[1]["real"]["h2"] == sorted([moves.uuid("v"), moves.uuid("w")])


def test_other_objects_can_be_edited(moves: Moves) -> None:
    uuid = moves.pool.store.value("host", moves.ref("host", "h2"), "uuid")
    control(moves, "POST", "/object", {"class": "host", "uuid": uuid, "fields": {"enabled": False}})
    assert moves.client.call("host.get_enabled", moves.ref("host", "h2")) is False


def test_plugging_and_unplugging(make_moves: Callable[..., Moves]) -> None:
    vm = {"name": "x", "host": "h1", "memory": "512 MiB", "disks": [{"sr": "loose"}]}
    moves = make_moves(world_with(vm))
    moves.set_copy("x", 1)
    pbds = moves.client.call("SR.get_PBDs", moves.ref("SR", "loose"))
    by_host = {moves.client.call("PBD.get_host", pbd): pbd for pbd in pbds}
    at_h1, at_h2 = by_host[moves.ref("host", "h1")], by_host[moves.ref("host", "h2")]
    assert moves.client.refuse("PBD.unplug", at_h1)[0] == "VDI_IN_USE"
    control(moves, "POST", "/phase_faults", {"phase": "PBD.plug", "kind": "fail", "error": ["SR_BACKEND_FAILURE_140"]})
    assert moves.client.refuse("PBD.plug", at_h2) == ["SR_BACKEND_FAILURE_140"]
    assert moves.refuse("x", "h2")[0] == "VM_REQUIRES_SR"
    task = moves.client.call("Async.PBD.plug", at_h2)
    assert moves.client.wait_for_task(task)["status"] == "success"
    assert moves.finish("x", "h2")["status"] == "success"
    assert moves.client.call("PBD.unplug", at_h1) == ""
    assert moves.client.call("PBD.get_currently_attached", at_h1) is False
    assert moves.client.call("pool.sync_database") == ""


def test_what_runs_survives_dump_and_load(moves: Moves, make_moves: Callable[..., Moves]) -> None:
    moves.set_copy("v", 1)
    moves.finish("v", "h2")
    state = json.loads(json.dumps(moves.pool.dump()))
    other = make_moves()
    other.pool.load(state)
    other.client.login()
    assert other.pool.real_domains() == moves.pool.real_domains()
    assert other.finish("v", "h1")["status"] == "success"


def test_hosts_are_enabled_again_however_often_toolstacks_restart_but_not_one_that_was_disabled(moves: Moves) -> None:
    moves.client.call("host.disable", moves.ref("host", "h2"))
    moves.client.call("pool.sync_database")
    moves.restart("h1")
    observer = moves.observe("v")
    observer.wait_for("hosts", (False, False))
    moves.restart("h1", "TERM")
    observer.wait_for("hosts", (True, False))
    moves.client.login()
    moves.client.call("host.enable", moves.ref("host", "h2"))
    moves.client.call("pool.sync_database")
    control(moves, "POST", "/toolstack", {"host": "h2", "action": "stop"})
    moves.restart("h1")
    observer.wait_for("hosts", (False, False))
    observer.wait_for("hosts", (True, False))
    moves.restart("h2")
    observer.wait_for("hosts", (True, True))
