"""What must stay true of a pool however its threads race: nobody acts for another, and nobody is left behind."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import power_cut
from lmflow.simulator.hosts.toolstack import DOWN, READY, STARTING, Toolstack
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.migrations import transfer
from lmflow.simulator.rules import network_rules
from lmflow.simulator.wire.http_reader import Limits
from lmflow.simulator.wire.server import Listener
from lmflow.simulator.wire.silence import SilentPort
from tests.support.moves import Moves
from tests.support.wire import Background, in_background

PATIENCE_SECONDS = 30.0


def wait_for_state(moves: Moves, host: str, state: str) -> None:
    toolstack, ref = moves.pool.part(Toolstack), moves.ref("host", host)
    with toolstack.changed:
        assert toolstack.changed.wait_for(lambda: toolstack.on(ref).state == state, PATIENCE_SECONDS)


def threads_of(moves: Moves, vm: str) -> list[threading.Thread]:
    """Give the threads that carry the VM; the pool starts them some time after it has answered the call."""
    name, until = f"transfer-{moves.uuid(vm)[:8]}", time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found = [thread for thread in threading.enumerate() if thread.name == name and thread.ident is not None]
        if found:
            return found
        threading.Event().wait(0.002)
    raise AssertionError(f"nothing carries {vm}")


def wait_for_end(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def leave_orphan(moves: Moves, vm: str, host: str) -> list[threading.Thread]:
    """Hold a migration in mid-copy and let its coordinator forget it; gives the threads that carry it on."""
    moves.client.call("pool.sync_database")
    moves.set_copy(vm, 2)
    moves.fault(phase="copy", kind="hold", at=0.5)
    observer = moves.observe(vm)
    moves.start(vm, host)
    observer.wait_for_copy()
    moves.restart("h1")
    wait_for_state(moves, "h1", STARTING)
    wait_for_state(moves, "h1", READY)
    moves.client.login()
    return threads_of(moves, vm)


def wait_until_busy(moves: Moves, vm: str) -> None:
    store, ref = moves.pool.store, moves.ref("VM", vm)
    with store.changed:
        found = store.changed.wait_for(lambda: store.value("VM", ref, "current_operations"), PATIENCE_SECONDS)
    assert found


# -- one operation at a time touches a domain


@pytest.mark.parametrize("call", ["hard_shutdown", "hard_reboot", "clean_shutdown", "suspend", "pause"])
def test_what_is_done_to_a_vm_waits_for_the_copy_that_nobody_follows(moves: Moves, call: str) -> None:
    vm = moves.ref("VM", "v")
    pool_ref = moves.pool.pool_ref
    moves.client.call("pool.set_suspend_image_SR", pool_ref, moves.ref("SR", "nfs"))
    orphans = leave_orphan(moves, "v", "h2")
    asked = Background(lambda: moves.client.refuse(f"VM.{call}", vm))
    wait_until_busy(moves, "v")
    assert moves.runs_on("v") == ["h1"]
    moves.pool.part(Xenops).released.set()
    asked.join()
    wait_for_end(orphans)
    assert asked.error is None
    assert asked.result[0] == "INTERNAL_ERROR"
    assert moves.runs_on("v") == ["h2"]
    assert moves.vm("v")["power_state"] == "Halted"


def test_a_copy_that_nobody_follows_moves_no_other_domain(moves: Moves) -> None:
    orphans = leave_orphan(moves, "v", "h2")
    xenops, h1 = moves.pool.part(Xenops), moves.ref("host", "h1")
    xenops.destroy(h1, moves.uuid("v"))  # below XAPI, as by hand on the host
    domid = xenops.boot(h1, moves.uuid("v"))
    xenops.released.set()
    wait_for_end(orphans)
    assert moves.runs_on("v") == ["h1"]
    found = xenops.find_running(h1, moves.uuid("v"))
    assert found is not None
    assert found.domid == domid


# -- hosts without power


def test_a_host_without_power_builds_no_domain(moves: Moves) -> None:
    xenops, h1, h2 = moves.pool.part(Xenops), moves.ref("host", "h1"), moves.ref("host", "h2")
    power_cut.cut(moves.pool, h2)
    with pytest.raises(ApiFailure, match="CANNOT_CONTACT_HOST"):
        xenops.boot(h2, moves.uuid("v"))
    with pytest.raises(ApiFailure, match="CANNOT_CONTACT_HOST"):
        xenops.move(h1, h2, moves.uuid("v"), keep_record=False)
    assert moves.runs_on("v") == ["h1"]
    power_cut.restore(moves.pool, h2)
    assert xenops.boot(h2, moves.uuid("v")) > 0


def test_a_guest_does_not_reboot_on_a_host_without_power(moves: Moves) -> None:
    moves.set_copy("w", 4)
    moves.fault(phase="copy", kind="power_cut", host="source", at=0.2)
    moves.fault(phase="copy", kind="guest", at=0.5)
    moves.start("w", "h1")
    orphans = threads_of(moves, "w")
    wait_for_end(orphans)
    assert moves.runs_on("w") == []


def test_nothing_arrives_on_a_host_that_has_just_lost_its_power(moves: Moves, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive = transfer.Transfer._arrive

    def cut_and_arrive(self: transfer.Transfer) -> None:
        power_cut.cut(self.pool, self.destination_ref)
        arrive(self)

    monkeypatch.setattr(transfer.Transfer, "_arrive", cut_and_arrive)
    moves.set_copy("v", 1)
    moves.start("v", "h2")
    orphans = threads_of(moves, "v")
    wait_for_state(moves, "h2", DOWN)
    power_cut.restore(moves.pool, moves.ref("host", "h2"))
    wait_for_end(orphans)
    assert moves.runs_on("v") == []


def test_a_start_on_a_host_that_loses_its_power_meanwhile_fails(
    make_moves: Callable[..., Moves], monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = make_moves(host_assumed_dead_seconds=40.0)
    vm, h2, xenops = moves.ref("VM", "v"), moves.ref("host", "h2"), moves.pool.part(Xenops)
    moves.client.call("VM.hard_shutdown", vm)
    queue = xenops.queue_of(moves.uuid("v"))
    with queue:
        start = Background(lambda: moves.client.refuse("VM.start_on", vm, h2, False, False))
        wait_until_busy(moves, "v")
        power_cut.cut(moves.pool, h2)
    start.join()
    assert start.result == ["CANNOT_CONTACT_HOST", h2]
    assert (moves.vm("v")["power_state"], moves.runs_on("v")) == ("Halted", [])


def test_a_client_that_knocks_first_does_not_hold_up_a_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent port that is full already, because somebody came before, is silent as well, and at once."""
    listen = socket.socket.listen
    knocking: list[socket.socket] = []

    class Knocked(socket.socket):
        def listen(self, *backlog: int) -> None:
            listen(self, *backlog)
            for _ in range(2):
                guest = socket.socket()
                guest.setblocking(False)
                guest.connect_ex(self.getsockname())
                knocking.append(guest)

    monkeypatch.setattr("lmflow.simulator.wire.silence.socket.socket", Knocked)
    made: list[SilentPort] = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with in_background(lambda: made.append(SilentPort("127.0.0.1", port))) as cut:
        pass
    assert cut.error is None
    (silent,) = made
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.2)
    silent.close()
    for guest in knocking:
        guest.close()


def test_the_database_is_free_while_a_host_falls_silent(moves: Moves, monkeypatch: pytest.MonkeyPatch) -> None:
    silence = moves.pool.server.fall_silent

    def fall_silent(host_ref: str) -> None:
        with in_background(lambda: moves.client.call("VM.get_all")) as asked:
            pass
        assert asked.error is None
        silence(host_ref)

    monkeypatch.setattr(moves.pool.server, "fall_silent", fall_silent)
    power_cut.cut(moves.pool, moves.ref("host", "h2"))
    assert not moves.pool.toolstack.on(moves.ref("host", "h2")).is_powered


# -- the dead do not work


def wait_for_setter(moves: Moves) -> None:
    """Wait until a setter has asked and waits for its turn."""
    while not any(entry.method == "VM.set_memory_dynamic_min" for entry in moves.pool.audit.entries()):
        moves.pool.clock.wait(1.0)


def test_a_setter_that_waits_goes_with_its_coordinator(moves: Moves) -> None:
    vm, store = moves.ref("VM", "v"), moves.pool.store
    before = store.value("VM", vm, "memory_dynamic_min")
    moves.client.call("pool.sync_database")
    moves.set_copy("v", 2000)
    moves.start("v", "h2")
    wait_until_busy(moves, "v")
    asked = Background(lambda: moves.client.call("VM.set_memory_dynamic_min", vm, before - 2**20))
    wait_for_setter(moves)
    moves.restart("h1")
    asked.join()
    assert asked.error is not None
    wait_for_state(moves, "h1", READY)
    assert store.value("VM", vm, "memory_dynamic_min") == before
    (entry,) = [entry for entry in moves.pool.audit.entries() if entry.method == "VM.set_memory_dynamic_min"]
    assert not entry.effect


@pytest.mark.parametrize("host", ["h1", "h2"])
def test_an_older_start_does_not_undo_a_newer_stop(moves: Moves, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    toolstack, ref = moves.pool.part(Toolstack), moves.ref("host", host)
    sleep = toolstack._sleep
    orders = [toolstack.stop]

    def overtaken(host_ref: str, seconds: float, generation: int) -> bool:
        is_newest = sleep(host_ref, seconds, generation)
        if host_ref == ref and orders:
            orders.pop()(ref)
        return is_newest

    monkeypatch.setattr(toolstack, "_sleep", overtaken)
    toolstack.restart(ref)
    generation = toolstack.on(ref).generation
    for thread in threading.enumerate():
        if thread.name == f"toolstack-{ref[-6:]}-{generation}":
            thread.join(PATIENCE_SECONDS)
    assert (orders, toolstack.on(ref).state, moves.pool.server.is_up(ref)) == ([], DOWN, False)


def test_an_older_start_does_not_open_the_door_of_a_host_without_power(
    moves: Moves, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolstack, ref = moves.pool.part(Toolstack), moves.ref("host", "h2")
    enter = toolstack._enter
    cuts = [power_cut.cut]

    def overtaken(host_ref: str, state: str, *rest: Any) -> bool:
        entered = enter(host_ref, state, *rest)
        if state == STARTING and cuts:
            cuts.pop()(moves.pool, host_ref)
        return entered

    monkeypatch.setattr(toolstack, "_enter", overtaken)
    toolstack.restart(ref)
    generation = toolstack.on(ref).generation
    for thread in threading.enumerate():
        if thread.name == f"toolstack-{ref[-6:]}-{generation}":
            thread.join(PATIENCE_SECONDS)
    assert (cuts, toolstack.on(ref).state, moves.pool.server.is_up(ref)) == ([], DOWN, False)


# -- nothing is pending for ever


def test_a_fault_on_a_host_that_an_earlier_one_darkened_changes_nothing(make_moves: Callable[..., Moves]) -> None:
    moves = make_moves(host_assumed_dead_seconds=40.0)
    moves.set_copy("v", 5)
    moves.fault(phase="copy", kind="power_cut", host="destination", at=0.2)
    moves.fault(phase="copy", kind="restart", host="destination", at=0.4)
    task = moves.finish("v", "h2")
    assert task["error_info"][0] == "INTERNAL_ERROR"
    assert "EPIPE" in task["error_info"][1]


def test_an_error_of_the_simulator_ends_a_copy(
    moves: Moves, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_self: transfer.Transfer) -> None:
        raise KeyError("lost in the copy")

    monkeypatch.setattr(transfer.Transfer, "_copy", fail)
    task = moves.finish("v", "h2")
    assert task["error_info"] == ["INTERNAL_ERROR", "KeyError: 'lost in the copy'"]
    assert "lost in the copy" in capfd.readouterr().err
    assert (moves.runs_on("v"), moves.vm("v")["current_operations"]) == (["h1"], {})
    assert moves.client.call("host.get_current_operations", moves.ref("host", "h2")) == {}


def test_an_error_of_the_simulator_gives_the_destination_back(moves: Moves, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("no way")

    monkeypatch.setattr(network_rules, "check_way", fail)
    assert moves.finish("v", "h2")["error_info"] == ["INTERNAL_ERROR", "KeyError: 'no way'"]
    assert moves.client.call("host.get_current_operations", moves.ref("host", "h2")) == {}
    monkeypatch.undo()
    assert moves.finish("v", "h2")["status"] == "success"


@pytest.mark.parametrize("text", ["abc", "inf", "nan", "9" * 400, "", "1e400", "-1"])
def test_a_coordinator_starts_whatever_its_last_start_time_says(moves: Moves, text: str) -> None:
    h1 = moves.ref("host", "h1")
    config = moves.client.call("host.get_other_config", h1)
    moves.client.call("host.set_other_config", h1, {**config, "agent_start_time": text})
    moves.client.call("pool.sync_database")
    moves.restart("h1")
    wait_for_state(moves, "h1", READY)
    moves.client.login()
    told = moves.client.call("host.get_other_config", h1)["agent_start_time"]
    assert abs(float(told) - moves.pool.clock.now()) < 3600


# -- the end of a pool


@pytest.mark.parametrize("kind", ["hold", ""])
def test_a_copy_ends_with_its_pool(make_moves: Callable[..., Moves], kind: str) -> None:
    moves = make_moves()
    moves.set_copy("v", 36_000)
    if kind:
        moves.fault(phase="setup", kind=kind)
    moves.start("v", "h2")
    left = threads_of(moves, "v")
    moves.pool.stop()
    wait_for_end(left)


def test_who_waits_for_a_turn_ends_with_the_pool(make_moves: Callable[..., Moves]) -> None:
    moves = make_moves()
    vm = moves.ref("VM", "v")
    before = threading.enumerate()
    moves.set_copy("v", 36_000)
    moves.start("v", "h2")
    wait_until_busy(moves, "v")
    asked = Background(lambda: moves.client.call("VM.set_memory_dynamic_min", vm, 2**20))
    wait_for_setter(moves)
    left = [thread for thread in threading.enumerate() if thread.name == "connection" and thread not in before]
    moves.pool.stop()
    asked.join()
    wait_for_end(left)
    assert asked.error is not None


def test_a_listener_that_goes_down_while_its_pool_stops_keeps_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: Any) -> Any:
        raise AssertionError("nobody asks")

    listener = Listener("h", "127.0.0.1", answer, None, Limits())
    listener.bind(0)
    listener.listen()
    drop = listener._drop_connections

    def overtaken() -> None:
        drop()
        monkeypatch.undo()
        listener.close(reserve=False)

    monkeypatch.setattr(listener, "_drop_connections", overtaken)
    listener.close(reserve=True)
    with socket.create_server((listener.address, listener.port), reuse_port=False):
        pass
    assert listener._socket is None
    listener.fall_silent()
    assert listener._silent is None
