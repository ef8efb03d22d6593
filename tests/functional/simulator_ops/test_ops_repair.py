"""What the calls do that a person may use on a database that has lost a VM, as tried on a real pool."""

from typing import Any

import pytest

from tests.support.moves import NULL, Moves, Observer


def lose(moves: Moves, vm: str, source: str, destination: str, *, how_long: float = 5.0) -> Observer:
    """Kill the source's toolstack in mid-copy and wait until everything has settled."""
    moves.set_copy(vm, how_long)
    observer = moves.observe(vm)
    moves.start(vm, destination)
    observer.wait_for_copy()
    moves.restart(source)
    arrived = (destination == "h1", destination == "h2")
    observer.wait_for("real", arrived)
    observer.wait_until_back()
    moves.client.login()
    return observer


def start_on(moves: Moves, vm: str, host: str) -> tuple[Any, ...]:
    return ("VM.start_on", moves.ref("VM", vm), moves.ref("host", host), False, False)


@pytest.mark.parametrize(("vm", "source", "destination"), [("v", "h1", "h2"), ("w", "h2", "h1")])
def test_start_on_the_real_place_starts_nothing_and_repairs_the_database(
    moves: Moves, vm: str, source: str, destination: str
) -> None:
    observer = lose(moves, vm, source, destination)
    observer.wait_for("vm", ("Halted", "NULL", "NULL", [], 15))
    ref = moves.ref("VM", vm)
    assert moves.client.refuse(*start_on(moves, vm, destination)) == ["VM_BAD_POWER_STATE", ref, "Halted", "Running"]
    assert (moves.vm(vm)["power_state"], moves.vm(vm)["resident_on"]) == ("Running", moves.ref("host", destination))
    assert moves.runs_on(vm) == [destination]


def test_start_on_the_source_runs_the_vm_twice(moves: Moves) -> None:
    observer = lose(moves, "v", "h1", "h2")
    observer.wait_for("vm", ("Halted", "NULL", "NULL", [], 15))
    assert moves.client.call(*start_on(moves, "v", "h1")) == ""
    assert moves.runs_on("v") == ["h1", "h2"]


def test_reset_and_shutdown_do_not_touch_the_vm_that_moved(moves: Moves) -> None:
    observer = lose(moves, "v", "h1", "h2")
    observer.wait_for("vm", ("Halted", "NULL", "NULL", [], 15))
    ref = moves.ref("VM", "v")
    assert moves.client.call("VM.power_state_reset", ref) == ""
    states = "paused, suspended, running"
    assert moves.client.refuse("VM.hard_shutdown", ref) == ["VM_BAD_POWER_STATE", ref, states, "halted"]
    assert moves.runs_on("v") == ["h2"]


def test_metrics_tell_a_lost_vm_from_one_that_was_shut_down(moves: Moves) -> None:
    observer = lose(moves, "v", "h1", "h2")
    observer.wait_for("vm", ("Halted", "NULL", "NULL", [], 15))
    moves.client.call("VM.hard_shutdown", moves.ref("VM", "w"))
    shown = {vm: moves.client.call("VM_metrics.get_record", moves.vm(vm)["metrics"]) for vm in "vw"}
    assert (shown["v"]["VCPUs_number"], shown["v"]["current_domain_type"]) == ("2", "hvm")
    assert (shown["w"]["VCPUs_number"], shown["w"]["current_domain_type"]) == ("0", "unspecified")
    messages = moves.client.call("message.get_all_records").values()
    assert {(message["name"], message["obj_uuid"]) for message in messages} == {("VM_SHUTDOWN", moves.uuid("w"))}


def test_submitting_again_after_a_copy_that_outlived_the_coordinator(moves: Moves) -> None:
    lose(moves, "v", "h1", "h2", how_long=20.0)
    assert (moves.vm("v")["power_state"], moves.vm("v")["resident_on"]) == ("Running", moves.ref("host", "h1"))
    error = ["INTERNAL_ERROR", 'xenopsd internal error: Invalid_argument("option is None")']
    assert moves.finish("v", "h2")["error_info"] == error
    assert (moves.vm("v")["power_state"], moves.vm("v")["resident_on"]) == ("Halted", NULL)
    assert moves.runs_on("v") == ["h2"]
    assert moves.client.refuse(*start_on(moves, "v", "h2"))[0] == "VM_BAD_POWER_STATE"
    assert moves.vm("v")["resident_on"] == moves.ref("host", "h2")


def test_submitting_again_while_the_orphaned_copy_runs_waits_for_it(moves: Moves) -> None:
    moves.set_copy("v", 30)
    observer = moves.observe("v")
    moves.start("v", "h2")
    observer.wait_for_copy()
    moves.restart("h1")
    observer.wait_until_back()
    moves.client.login()
    assert moves.finish("v", "h2")["error_info"][1].endswith('Invalid_argument("option is None")')
    assert (moves.vm("v")["power_state"], moves.runs_on("v")) == ("Halted", ["h2"])
    effects = [e.effect for e in moves.pool.audit.entries() if e.method == "Async.VM.pool_migrate"]
    assert effects == [True, False]


def make_ghost(moves: Moves, vm: str, destination: str) -> None:
    moves.fault(phase="finish", kind="fail", at=0.0)
    moves.set_copy(vm, 1)
    assert moves.finish(vm, destination)["status"] == "failure"
    assert moves.runs_on(vm) == []
    assert moves.vm(vm)["power_state"] == "Running"


def test_no_call_repairs_a_ghost_on_a_member_but_its_restart_does(moves: Moves) -> None:
    make_ghost(moves, "w", "h1")
    ref, call = moves.ref("VM", "w"), moves.client
    gone = ["INTERNAL_ERROR", f"Object with type VM and id {moves.uuid('w')}/config does not exist in xenopsd"]
    assert call.refuse("VM.power_state_reset", ref) == ["HOST_IS_LIVE", moves.ref("host", "h2")]
    assert call.refuse(*start_on(moves, "w", "h2")) == ["VM_BAD_POWER_STATE", ref, "halted", "running"]
    assert moves.refuse("w", "h1") == gone
    assert call.refuse("VM.hard_shutdown", ref) == gone
    assert call.refuse("VM.hard_reboot", ref) == gone
    assert moves.vm("w")["power_state"] == "Running"
    observer = moves.observe("w")
    moves.restart("h2")
    observer.wait_for("vm", ("Halted", "NULL", "NULL", [], 15))


def test_a_ghost_on_the_coordinator_is_noticed_by_a_reset(moves: Moves) -> None:
    make_ghost(moves, "v", "h2")
    assert moves.client.call("VM.power_state_reset", moves.ref("VM", "v")) == ""
    assert moves.vm("v")["power_state"] == "Halted"


def test_a_ghost_on_the_coordinator_is_noticed_by_a_migration(moves: Moves) -> None:
    make_ghost(moves, "v", "h2")
    assert moves.refuse("v", "h2")[1].endswith("/config does not exist in xenopsd")
    assert moves.vm("v")["power_state"] == "Halted"


def test_a_reset_spares_what_runs_on_the_coordinator(moves: Moves) -> None:
    assert moves.client.refuse("VM.power_state_reset", moves.ref("VM", "v")) == ["DOMAIN_EXISTS", moves.ref("VM", "v")]
    assert moves.client.refuse("VM.power_state_reset", moves.ref("VM", "w")) == [
        "HOST_IS_LIVE",
        moves.ref("host", "h2"),
    ]


def test_a_vm_that_is_really_halted_boots(moves: Moves) -> None:
    ref = moves.ref("VM", "v")
    moves.client.call("VM.hard_shutdown", ref)
    assert moves.client.call(*start_on(moves, "v", "h2")) == ""
    assert (moves.vm("v")["power_state"], moves.runs_on("v")) == ("Running", ["h2"])
    assert moves.client.refuse("VM.start", ref, False, False) == ["VM_BAD_POWER_STATE", ref, "halted", "running"]
    names = sorted(message["name"] for message in moves.client.call("message.get_all_records").values())
    assert names == ["VM_SHUTDOWN", "VM_STARTED"]


def test_no_host_can_take_it(moves: Moves) -> None:
    ref = moves.ref("VM", "v")
    moves.client.call("VM.hard_shutdown", ref)
    for host in ("h1", "h2"):
        moves.client.call("host.disable", moves.ref("host", host))
    assert moves.client.refuse("VM.start", ref, False, False) == ["NO_HOSTS_AVAILABLE"]
