"""The door to each host's xenopsd: what really runs, whatever the database says."""

import urllib.parse
import xmlrpc.client
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.hosts.xenops import Xenops
from tests.support.moves import Moves
from tests.support.wire import Reply, in_background

HEAD = '<?xml version="1.0"?><methodResponse><params><param>'
STATUS = "<value><struct><member><name>Status</name><value>{}</value></member><member><name>{}</name>"
TAIL = "</member></struct></value></param></params></methodResponse>"
ADDRESSES = {"h1": "127.0.0.1", "h2": "127.0.0.2"}


def ask(moves: Moves, host: str, method: str, session: str | None = None, **arguments: str) -> Reply:
    chosen = moves.client.session if session is None else session
    path = "/services/xenops" + (f"?session_id={urllib.parse.quote(chosen)}" if chosen else "")
    body = xmlrpc.client.dumps(({"debug_info": "test", **arguments},), method).encode()
    return moves.client.post(body, address=ADDRESSES[host], path=path)


def power_state(moves: Moves, host: str, vm: str) -> str:
    parsed = ask(moves, host, "VM.stat", id=moves.uuid(vm)).parsed
    return str(parsed["Value"][1]["power_state"]) if parsed["Status"] == "Success" else "no"


def tasks(moves: Moves, host: str) -> list[tuple[str, list[Any]]]:
    return [(task["dbg"], task["state"]) for task in ask(moves, host, "Task.list").value]


def temporary(moves: Moves, vm: str) -> str:
    return moves.uuid(vm)[:-12] + "000000000001"


def test_the_bytes_of_its_answers(moves: Moves) -> None:
    vm_uuid, nobody = moves.uuid("v"), "00000000-0000-0000-0000-000000000000"
    there = ask(moves, "h1", "VM.exists", id=vm_uuid)
    assert (
        there.body.decode() == HEAD + STATUS.format("Success", "Value") + "<value><boolean>1</boolean></value>" + TAIL
    )
    assert [name for name, _ in there.headers] == ["content-length", "connection", "cache-control"]
    missing = (
        "<value><array><data><value>Does_not_exist</value><value><array><data><value>VM</value>"
        f"<value>{nobody}/config</value></data></array></value></data></array></value>"
    )
    assert ask(moves, "h1", "VM.stat", id=nobody).body.decode() == (
        HEAD + STATUS.format("Failure", "ErrorDescription") + missing + TAIL
    )
    error = ask(moves, "h1", "VM.list").failure
    assert error == ["Internal_error", "Idl.MarshalError(\"Expecting named argument 'unit'\")"]
    config, state = ask(moves, "h1", "VM.stat", id=vm_uuid).value
    assert (config["id"], config["name"], state["power_state"]) == (vm_uuid, "v", "Running")
    assert state["domids"] == [moves.vm("v")["domid"]]


def test_it_answers_on_members_too_and_each_for_its_own_host(moves: Moves) -> None:
    answers = {(host, vm): ask(moves, host, "VM.exists", id=moves.uuid(vm)).value for host in ADDRESSES for vm in "vw"}
    assert answers == {("h1", "v"): True, ("h1", "w"): False, ("h2", "v"): False, ("h2", "w"): True}


def test_whom_it_does_not_answer(moves: Moves) -> None:
    assert ask(moves, "h1", "VM.exists", session="", id=moves.uuid("v")).status == 401
    refused = ask(moves, "h2", "VM.exists", session="OpaqueRef:dead", id=moves.uuid("v"))
    assert refused.status == 401
    assert "WWW-Authenticate" in dict(refused.headers)
    options = moves.pool.options
    login = ("session.slave_local_login_with_password", options.username, options.password)
    local = str(moves.client.raw(*login, address=ADDRESSES["h2"]).value)
    assert ask(moves, "h2", "VM.exists", session=local, id=moves.uuid("v")).status == 401
    unknown = ask(moves, "h1", "VM.nosuch")
    assert unknown.status == 500
    assert b"Failed to read HTTP response from" in unknown.body


def test_an_option_makes_it_unwilling(make_moves: Callable[..., Moves]) -> None:
    moves = make_moves(refuse_witness=True)
    assert ask(moves, "h1", "VM.exists", id=moves.uuid("v")).status == 401


def test_a_copy_in_flight(moves: Moves) -> None:
    moves.set_copy("v", 400)
    observer = moves.observe("v")
    assert not ask(moves, "h2", "VM.exists", id=temporary(moves, "v")).value
    digits = moves.start("v", "h2").removeprefix("OpaqueRef:").replace("-", "")[:12]
    observer.wait_for_copy()
    assert ask(moves, "h2", "VM.exists", id=temporary(moves, "v")).value
    assert not ask(moves, "h1", "VM.exists", id=temporary(moves, "v")).value
    assert not ask(moves, "h2", "VM.exists", id=moves.uuid("v")).value
    ((source_dbg, source_state),) = tasks(moves, "h1")
    assert source_dbg == f"Async.VM.pool_migrate R:{digits}"
    assert source_state[0] == "Pending"
    assert 0 < source_state[1] < 1
    assert tasks(moves, "h2") == [(source_dbg, ["Pending", 1.0])]


def test_tasks_outlive_their_end_and_the_coordinator(moves: Moves) -> None:
    moves.set_copy("v", 12)
    moves.fault(phase="copy", kind="hold", at=0.9)  # the copy outlives the restart, however slow the machine is
    observer = moves.observe("v")
    task = moves.start("v", "h2")
    observer.wait_for_copy()
    moves.restart("h1")
    observer.wait_until_back()
    moves.pool.part(Xenops).released.set()
    moves.client.login()
    observer.wait_for("real", (False, True))
    dbg = f"Async.VM.pool_migrate R:{task.removeprefix('OpaqueRef:').replace('-', '')[:12]}"
    for host in ADDRESSES:
        states = [state for name, state in tasks(moves, host) if name == dbg]
        while states[0][0] == "Pending":
            states = [state for name, state in tasks(moves, host) if name == dbg]
        assert states[0][0] == "Completed"
        assert states[0][1]["duration"] >= 12
    assert not ask(moves, "h2", "VM.exists", id=temporary(moves, "v")).value
    # The copy outlived the restart: a record stays on the source, and only VM.stat tells that nothing runs there.
    assert (power_state(moves, "h1", "v"), power_state(moves, "h2", "v")) == ("Halted", "Running")
    assert ask(moves, "h1", "VM.exists", id=moves.uuid("v")).value
    assert moves.vm("v")["resident_on"] == moves.ref("host", "h1")


def test_a_member_waits_for_the_coordinator_that_checks_the_session(moves: Moves) -> None:
    moves.restart("h1")
    with in_background(lambda: ask(moves, "h2", "VM.exists", id=moves.uuid("w"))) as asked:
        pass
    assert asked.error is None
    assert asked.result.status == 401, "the session went with the coordinator"
    moves.pool.toolstack.stop(moves.ref("host", "h1"))
    with pytest.raises(OSError, match="refused"):
        ask(moves, "h1", "VM.exists", id=moves.uuid("v"))
    assert ask(moves, "h2", "VM.exists", id=moves.uuid("v")).status == 500, "nobody came back to check"


def test_the_door_of_a_killed_member_is_closed_until_its_toolstack_is_back(moves: Moves) -> None:
    moves.restart("h2")
    with pytest.raises(OSError, match="refused"):
        ask(moves, "h2", "VM.exists", id=moves.uuid("w"))
    observer = moves.observe("v")
    observer.wait_for("hosts", (True, False))
    assert ask(moves, "h2", "VM.exists", id=moves.uuid("w")).value


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("VCPUs_params", {"weight": "abc", "cap": "9" * 5000, "mask": "1,x"}),
        ("platform", {"videoram": "x"}),
    ],
)
def test_what_cannot_be_read_is_as_if_it_were_not_there(moves: Moves, field: str, given: dict[str, str]) -> None:
    v = moves.ref("VM", "v")
    moves.client.call(f"VM.set_{field}", v, {})
    (plain, _) = ask(moves, "h1", "VM.stat", id=moves.uuid("v")).value
    moves.client.call(f"VM.set_{field}", v, given)
    (config, _) = ask(moves, "h1", "VM.stat", id=moves.uuid("v")).value
    assert (config["scheduler_params"], config["ty"]) == (plain["scheduler_params"], plain["ty"])
