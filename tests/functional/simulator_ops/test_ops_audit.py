"""Which calls the audit log counts as having had an effect, and those that the pool makes by itself."""

from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator import control
from lmflow.simulator.audit import INTERNAL, Entry
from lmflow.simulator.failures import ConnectionDrop
from lmflow.simulator.migrations import migration
from lmflow.simulator.operations import vm_suspend
from tests.support.moves import NULL, Moves

Make = Callable[..., Moves]


def entry_of(moves: Moves, method: str) -> Entry:
    return [entry for entry in moves.pool.audit.entries() if entry.method == method][-1]


def send(moves: Moves, sr: str) -> dict[str, Any]:
    """Move v with its disks and give the record of the ended task."""
    call = moves.client.call
    place = call("host.migrate_receive", moves.ref("host", "h2"), moves.ref("network", "lan"), {})
    disks = {ref: moves.ref("SR", sr) for ref in moves.pool.store.refs("VDI")}
    arguments = (moves.ref("VM", "v"), place, True, disks, {}, {"live": "true"})
    return moves.client.wait_for_task(str(call("Async.VM.migrate_send", *arguments)))


def evacuate(moves: Moves) -> dict[str, Any]:
    task = moves.client.call("Async.host.evacuate", moves.ref("host", "h1"), NULL, "0")
    return moves.client.wait_for_task(str(task))


def test_a_move_that_fails_before_anything_is_copied_had_no_effect(moves: Moves) -> None:
    moves.fault(phase="setup", kind="fail")
    assert send(moves, "nfs")["status"] == "failure"
    assert entry_of(moves, "Async.VM.migrate_send").effect is False
    assert send(moves, "nfs")["status"] == "success"
    assert entry_of(moves, "Async.VM.migrate_send").effect is True


def test_moves_of_an_evacuation_are_counted(moves: Moves) -> None:
    moves.fault(phase="setup", kind="fail")
    assert evacuate(moves)["status"] == "failure"
    whole, move = entry_of(moves, "Async.host.evacuate"), entry_of(moves, "Async.VM.pool_migrate")
    assert (whole.effect, move.effect, move.host) == (False, False, INTERNAL)
    assert evacuate(moves)["status"] == "success"
    whole, move = entry_of(moves, "Async.host.evacuate"), entry_of(moves, "Async.VM.pool_migrate")
    assert (whole.effect, move.effect, move.outcome) == (True, True, "ok")
    v, h2 = moves.ref("VM", "v"), moves.ref("host", "h2")
    assert (move.params, move.session) == (["SESSION", v, h2, {"live": "true"}], whole.session)


def test_a_move_of_an_evacuation_that_breaks_ends_its_task(
    moves: Moves, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("by mistake")

    monkeypatch.setattr(migration.network_rules, "check_way", fail)
    ended = evacuate(moves)
    assert (ended["status"], ended["error_info"]) == ("failure", ["INTERNAL_ERROR", "KeyError: 'by mistake'"])
    assert "KeyError" in capsys.readouterr().err


def test_a_suspension_counts_even_if_nobody_could_tell_its_end(moves: Moves, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise ConnectionDrop

    client, nfs = moves.client, moves.ref("SR", "nfs")
    client.call("pool.set_suspend_image_SR", client.call("pool.get_all")[0], nfs)
    monkeypatch.setattr(vm_suspend.messages, "announce_done", die)
    with pytest.raises(OSError, match="closed connection"):
        client.call("VM.suspend", moves.ref("VM", "v"))
    entry = entry_of(moves, "VM.suspend")
    assert (entry.effect, entry.outcome) == (True, "closed")


def test_the_view_of_the_pool_has_no_session_in_it(moves: Moves) -> None:
    call = moves.client.call
    task = str(call("Async.host.migrate_receive", moves.ref("host", "h2"), moves.ref("network", "lan"), {}))
    made = moves.client.wait_for_task(task)["result"]
    call("secret.create", {"value": "pw-secret", "other_config": {}})
    view = str(control.OWN_ROUTES["GET", "/state"](moves.pool, {}))
    assert any(ref in made for ref in moves.pool.sessions.issued)
    assert not [ref for ref in moves.pool.sessions.issued if ref.removeprefix("OpaqueRef:") in view]
    assert "pw-secret" not in view
