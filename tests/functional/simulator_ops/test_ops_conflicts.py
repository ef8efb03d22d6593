"""Operations on one VM queue behind each other; four migrations run from a host at a time."""

from collections.abc import Callable

from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.rules import allowed
from lmflow.simulator.turns import Turns
from tests.support.moves import NULL, Moves, world_with
from tests.support.wire import Background, in_background


def test_a_second_migration_waits_and_is_then_a_real_one_on_the_spot(moves: Moves) -> None:
    moves.set_copy("v", 8)
    observer = moves.observe("v")
    first = moves.start("v", "h2")
    observer.wait_for_copy()
    second = moves.start("v", "h2")
    assert moves.client.wait_for_task(first)["status"] == "success"
    domid = moves.vm("v")["domid"]
    assert moves.client.wait_for_task(second)["status"] == "success"
    assert moves.runs_on("v") == ["h2"]
    assert moves.vm("v")["domid"] != domid
    places = [state[1:4] for state in observer.seen.vm]
    assert ("h2", "h2", ["pool_migrate"]) in places, "a migration to the present host is a migration"
    assert len(moves.client.call("message.get_all")) == 2
    effects = [e.effect for e in moves.pool.audit.entries() if e.method == "Async.VM.pool_migrate"]
    assert effects == [True, True]


def test_hints_while_a_vm_moves(moves: Moves) -> None:
    moves.set_copy("v", 400)
    observer = moves.observe("v")
    task = moves.start("v", "h2")
    observer.wait_for_copy()
    record = moves.vm("v")
    assert record["current_operations"] == {task: "pool_migrate"}
    assert record["allowed_operations"] == ["hard_reboot", "hard_shutdown"]
    assert record["scheduled_to_be_resident_on"] == moves.ref("host", "h2")
    assert record["resident_on"] == moves.ref("host", "h1")
    assert moves.client.call("host.get_current_operations", moves.ref("host", "h2")) == {task: "vm_migrate"}
    assert moves.client.call("task.get_resident_on", task) == moves.ref("host", "h1")


def test_another_operation_blocks_instead_of_failing(moves: Moves) -> None:
    moves.set_copy("v", 8)
    observer = moves.observe("v")
    task = moves.start("v", "h2")
    observer.wait_for_copy()
    with in_background(lambda: moves.client.call("VM.clean_shutdown", moves.ref("VM", "v"))) as shutdown:
        assert moves.client.wait_for_task(task)["status"] == "success"
    assert shutdown.error is None
    assert (moves.vm("v")["power_state"], moves.runs_on("v")) == ("Halted", [])


def test_a_queued_migration_can_be_cancelled(moves: Moves) -> None:
    moves.set_copy("v", 2000)
    observer = moves.observe("v")
    first = moves.start("v", "h2")
    observer.wait_for_copy()
    second = moves.start("v", "h2")
    moves.client.call("task.cancel", second)
    assert moves.client.wait_for_task(second)["status"] == "cancelled"
    assert moves.client.call("task.get_status", first) == "pending"


def test_a_hard_shutdown_cancels_the_migration(moves: Moves) -> None:
    moves.set_copy("v", 2000)
    observer = moves.observe("v")
    task = moves.start("v", "h2")
    observer.wait_for_copy()
    moves.client.call("VM.hard_shutdown", moves.ref("VM", "v"))
    assert moves.client.call("task.get_status", task) == "cancelled"
    assert (moves.vm("v")["power_state"], moves.vm("v")["resident_on"]) == ("Halted", NULL)


def test_four_at_a_time_from_one_host(make_moves: Callable[..., Moves]) -> None:
    names = [f"m{number}" for number in range(6)]
    vms = [{"name": name, "host": "h1", "memory": "256 MiB", "disks": [{"sr": "nfs"}]} for name in names]
    moves = make_moves(world_with(*vms))
    for name in names:
        moves.set_copy(name, 20)
    tasks = [moves.start(name, "h2") for name in names]
    progresses: list[float] = []
    while sum(progress > 0 for progress in progresses) < 4:
        moves.client.events(["task"], "", 1.0)
        progresses = [moves.pool.store.value("task", task, "progress") for task in tasks]
    assert sum(progress > 0 for progress in progresses) == 4
    assert all(moves.client.wait_for_task(task)["status"] == "success" for task in tasks)
    assert all(moves.runs_on(name) == ["h2"] for name in names)


def test_who_is_next_of_those_that_wait_can_be_decided(moves: Moves) -> None:
    moves.set_copy("v", 2000)
    observer, vm, turns = moves.observe("v"), moves.ref("VM", "v"), moves.pool.part(Turns)
    task = moves.start("v", "h2")
    observer.wait_for_copy()
    turns.set_order(vm, ["pause", "clean_shutdown", "snapshot"])
    calls = {
        "clean_shutdown": Background(lambda: moves.client.refuse("VM.clean_shutdown", vm)),
        "snapshot": Background(lambda: moves.client.call("VM.snapshot", vm, "s", [])),
        "pause": Background(lambda: moves.client.call("VM.pause", vm)),
    }
    with moves.pool.store.changed:
        assert moves.pool.store.changed.wait_for(lambda: len(turns.waiting(vm)) == 3, 30)
    moves.client.call("task.cancel", task)
    for call in calls.values():
        call.join()
    assert calls["clean_shutdown"].result == ["VM_BAD_POWER_STATE", vm, "running", "paused"]
    assert calls["pause"].error is calls["snapshot"].error is None
    info = moves.client.call("VM.get_snapshot_info", calls["snapshot"].result)
    assert info["power-state-at-snapshot"] == "Paused", "the snapshot was last"
    assert turns.waiting(vm) == []


def test_while_disks_are_copied_another_copy_begins_and_a_start_waits(make_moves: Callable[..., Moves]) -> None:
    moves = make_moves(world_with({"name": "z", "disks": [{"sr": "nfs"}]}))
    vm, store, turns = moves.ref("VM", "z"), moves.pool.store, moves.pool.part(Turns)
    allowed.update_vm(store, vm, current_operations={"OpaqueRef:other": "clone"})
    assert moves.vm("z")["allowed_operations"] == ["export", "copy", "clone"]
    refusal = ["OTHER_OPERATION_IN_PROGRESS", "VM", vm, "clone", "OpaqueRef:other"]
    assert moves.client.refuse("VM.assert_operation_valid", vm, "start") == refusal
    copy = moves.client.call("VM.clone", vm, "copy")
    assert moves.client.call("VM.get_name_label", copy) == "copy"
    with in_background(lambda: moves.client.call("VM.start", vm, False, False)) as start:
        with store.changed:
            assert store.changed.wait_for(lambda: turns.waiting(vm) == ["start"], 30)
        assert moves.vm("z")["power_state"] == "Halted"
        allowed.update_vm(store, vm, current_operations={})
    assert start.error is None
    assert moves.vm("z")["power_state"] == "Running"


def test_allowed_operations_during_a_snapshot(moves: Moves) -> None:
    vm = moves.ref("VM", "v")
    allowed.update_vm(moves.pool.store, vm, current_operations={"OpaqueRef:other": "snapshot"})
    assert moves.vm("v")["allowed_operations"] == ["hard_reboot", "hard_shutdown", "checkpoint", "snapshot"]


def test_a_hard_shutdown_ends_a_reboot_by_force_that_waits(moves: Moves) -> None:
    moves.set_copy("v", 2000)
    moves.fault(phase="suspend", kind="hold", vm=moves.uuid("v"))
    moves.set_copy("v", 1)
    vm, store = moves.ref("VM", "v"), moves.pool.store
    task = moves.start("v", "h2")
    with store.changed:
        assert store.changed.wait_for(lambda: store.value("task", task, "progress") > 0.9, 30)
    reboot = moves.client.call("Async.VM.hard_reboot", vm)
    with store.changed:
        assert store.changed.wait_for(lambda: reboot in store.value("VM", vm, "current_operations"), 30)
    shutdown = moves.client.call("Async.VM.hard_shutdown", vm)
    assert moves.client.wait_for_task(reboot)["status"] == "cancelled"
    assert sorted(moves.vm("v")["current_operations"].values()) == ["hard_shutdown", "pool_migrate"]
    assert moves.vm("v")["allowed_operations"] == []
    moves.pool.part(Xenops).released.set()
    assert moves.client.wait_for_task(shutdown)["status"] == "success"
    assert (moves.vm("v")["power_state"], moves.runs_on("v")) == ("Halted", [])
