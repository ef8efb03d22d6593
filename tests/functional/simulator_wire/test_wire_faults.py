"""Faults of calls, holds, and the audit log that has seen every delivery."""

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.audit import Entry
from lmflow.simulator.context import Context
from lmflow.simulator.pool import SimulatedPool
from tests.support.wire import WireClient, in_background

CALL = "VM.set_name_description"


def _entries(wire: WireClient, method: str) -> list[Entry]:
    return [entry for entry in wire.pool.audit.entries() if entry.method == method]


def _describe(wire: WireClient) -> str:
    (vm,) = wire.pool.store.refs("VM")
    return str(wire.pool.store.value("VM", vm, "name_description"))


def test_closed_before_the_effect(wire: WireClient) -> None:
    wire.pool.faults.add(CALL, "close_before")
    with pytest.raises(http.client.RemoteDisconnected):
        wire.call(CALL, wire.ref("VM", "vm"), "x")
    assert _describe(wire) == ""
    (entry,) = _entries(wire, CALL)
    assert (entry.effect, entry.outcome) == (False, "closed")
    wire.call(CALL, wire.ref("VM", "vm"), "y")
    assert _describe(wire) == "y"


def test_reply_lost_after_the_effect(wire: WireClient) -> None:
    wire.pool.faults.add(CALL, "close_after")
    with pytest.raises(http.client.RemoteDisconnected):
        wire.call(CALL, wire.ref("VM", "vm"), "x")
    assert _describe(wire) == "x"
    (entry,) = _entries(wire, CALL)
    assert (entry.effect, entry.outcome) == (True, "ok, reply lost")


def test_reply_of_an_async_call_lost_leaves_its_task(wire: WireClient, operation: Callable[..., None]) -> None:
    operation("VM.pool_migrate", lambda *_: None)
    wire.pool.faults.add("VM.pool_migrate", "close_after")
    with pytest.raises(http.client.RemoteDisconnected):
        wire.call("Async.VM.pool_migrate", "v", "h", {})
    (task,) = wire.call("task.get_all")
    assert _entries(wire, "Async.VM.pool_migrate")[0].task == task


def test_only_the_nth_delivery_is_befallen(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    wire.pool.faults.add(CALL, "close_before", nth=3)
    wire.call(CALL, vm, "1")
    wire.call(CALL, vm, "2")
    with pytest.raises(http.client.RemoteDisconnected):
        wire.call(CALL, vm, "3")
    wire.call(CALL, vm, "4")
    assert [e.outcome for e in _entries(wire, CALL)] == ["ok", "ok", "closed", "ok"]


def test_delay_comes_before_the_effect(make_pool: Callable[..., SimulatedPool]) -> None:
    wire = WireClient(make_pool(time_scale=10.0))
    wire.login()
    wire.pool.faults.add(CALL, "delay", seconds=3.0)
    start = wire.pool.clock.now()
    wire.call(CALL, wire.ref("VM", "vm"), "x")
    assert wire.pool.clock.now() - start >= 3.0


def test_hang_answers_nothing_and_takes_no_effect(wire: WireClient) -> None:
    wire.pool.faults.add(CALL, "hang", seconds=5.0)
    with pytest.raises(http.client.RemoteDisconnected):
        wire.call(CALL, wire.ref("VM", "vm"), "x")
    assert _describe(wire) == ""


def test_hang_without_end_lasts_until_the_listener_goes(wire: WireClient) -> None:
    wire.pool.faults.add(CALL, "hang")
    with in_background(lambda: wire.call(CALL, wire.ref("VM", "vm"), "x")) as call:
        _wait_for(lambda: _entries(wire, CALL) != [])
        assert call.is_running
        wire.pool.server.take_down(wire.ref("host", "h1"))
    assert isinstance(call.error, http.client.RemoteDisconnected)
    _wait_for(lambda: _entries(wire, CALL)[0].outcome == "closed")


def test_session_invalid_really_ends_the_session(wire: WireClient) -> None:
    wire.pool.faults.add(CALL, "session_invalid")
    assert wire.refuse(CALL, wire.ref("VM", "vm"), "x") == ["SESSION_INVALID", wire.session]
    assert wire.refuse("VM.get_all") == ["SESSION_INVALID", wire.session]
    assert _entries(wire, CALL)[0].effect is False


def test_http_500_takes_no_effect(wire: WireClient) -> None:
    wire.pool.faults.add(CALL, "http_500")
    assert wire.raw(CALL, wire.session, wire.ref("VM", "vm"), "x").status == 500
    assert _describe(wire) == ""


def test_http_503_takes_no_effect(wire: WireClient) -> None:
    wire.pool.faults.add(CALL, "http_503")
    reply = wire.raw(CALL, wire.session, wire.ref("VM", "vm"), "x")
    assert (reply.status, b"503" in reply.body) == (503, True)
    assert (_describe(wire), _entries(wire, CALL)[0].outcome) == ("", "http_503")


@pytest.mark.parametrize(("kind", "described"), [("reset_before", ""), ("reset_after", "x")])
def test_the_connection_is_reset(wire: WireClient, kind: str, described: str) -> None:
    wire.pool.faults.add(CALL, kind)
    with pytest.raises(ConnectionResetError):
        wire.call(CALL, wire.ref("VM", "vm"), "x")
    assert _describe(wire) == described
    assert _entries(wire, CALL)[0].effect is (kind == "reset_after")


def test_a_reset_reaches_a_client_over_tls(make_pool: Callable[..., SimulatedPool]) -> None:
    pool = make_pool(https=True)
    pool.faults.add("session.login_with_password", "reset_before")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", pool.server.port, timeout=30, context=context)
    connection.request("POST", "/", xmlrpc.client.dumps(("root", "x"), "session.login_with_password"))
    with pytest.raises(ConnectionResetError):
        connection.getresponse()
    connection.close()


def test_half_of_the_body_comes_and_the_effect_is_there(wire: WireClient) -> None:
    wire.pool.faults.add(CALL, "truncated")
    with pytest.raises(http.client.IncompleteRead) as cut:
        wire.call(CALL, wire.ref("VM", "vm"), "x")
    assert len(cut.value.partial) - 1 <= (cut.value.expected or 0) <= len(cut.value.partial) + 1
    assert (_describe(wire), _entries(wire, CALL)[0].outcome) == ("x", "ok, reply lost")


def test_a_slow_reply_comes_whole_and_in_pieces(make_pool: Callable[..., SimulatedPool]) -> None:
    wire = WireClient(make_pool(time_scale=10.0))
    wire.login()
    wire.pool.faults.add("VM.get_record", "slow_reply", seconds=2.0)
    body = xmlrpc.client.dumps((wire.session, wire.ref("VM", "vm")), "VM.get_record").encode()
    head = f"POST / HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    pieces = []
    with socket.create_connection(("127.0.0.1", wire.port), timeout=30) as connection:
        connection.sendall(head + body)
        while piece := connection.recv(1 << 20):
            pieces.append(piece)
    assert len(pieces) > 1
    reply = b"".join(pieces).partition(b"\r\n\r\n")
    assert f"content-length: {len(reply[2])}".encode() in reply[0]
    assert b"connection: close" in reply[0]


def test_a_slow_reply_ends_with_the_listener(wire: WireClient) -> None:
    wire.pool.faults.add(CALL, "slow_reply", seconds=1e6)
    body = xmlrpc.client.dumps((wire.session, wire.ref("VM", "vm"), "x"), CALL).encode()
    head = f"POST / HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", wire.port), timeout=30) as connection:
        connection.sendall(head + body)
        found = connection.recv(1 << 20)
        wire.pool.server.take_down(wire.ref("host", "h1"))
        while piece := connection.recv(1 << 20):
            found += piece
    assert found.startswith(b"HTTP/1.1 200")
    assert not found.endswith(b"</methodResponse>")


def _progressing(reached: threading.Event, go_on: threading.Event) -> Callable[..., Any]:
    def operation(ctx: Context, *_: Any) -> str:
        assert ctx.task is not None
        for progress in (0.1, 0.4, 0.6):
            ctx.task.set_progress(progress)
        reached.set()
        go_on.wait(10)
        ctx.took_effect()
        return ""

    return operation


def test_a_task_is_stuck_at_its_progress_while_its_work_goes_on(
    wire: WireClient, operation: Callable[..., None]
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    operation("VM.pool_migrate", _progressing(reached, go_on))
    wire.pool.faults.add("VM.pool_migrate", "task_stuck", progress=0.3)
    task = wire.call("Async.VM.pool_migrate", "v", "h", {})
    assert reached.wait(10)
    assert wire.call("task.get_progress", task) == 0.3
    go_on.set()
    (entry,) = _entries(wire, "Async.VM.pool_migrate")
    _wait_for(lambda: entry.effect)
    record = wire.call("task.get_record", task)
    assert (record["status"], record["progress"], record["error_info"]) == ("pending", 0.3, [])
    other = wire.call("Async.VM.pool_migrate", "v", "h", {})
    assert wire.wait_for_task(other)["status"] == "success"


def test_a_task_vanishes_at_its_progress_while_its_work_goes_on(
    wire: WireClient, operation: Callable[..., None]
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    operation("VM.pool_migrate", _progressing(reached, go_on))
    wire.pool.faults.add("VM.pool_migrate", "task_vanishes", progress=0.5)
    task = wire.call("Async.VM.pool_migrate", "v", "h", {})
    assert reached.wait(10)
    assert wire.refuse("task.get_record", task) == ["HANDLE_INVALID", "task", task]
    go_on.set()
    (entry,) = _entries(wire, "Async.VM.pool_migrate")
    _wait_for(lambda: entry.effect)


@pytest.mark.parametrize(("kind", "left"), [("task_stuck", ["pending"]), ("task_vanishes", [])])
def test_a_task_without_progress_meets_its_fault_at_its_end(
    wire: WireClient, operation: Callable[..., None], kind: str, left: list[str]
) -> None:
    operation("VM.pool_migrate", lambda *_: None)
    wire.pool.faults.add("VM.pool_migrate", kind, progress=0.5)
    wire.call("Async.VM.pool_migrate", "v", "h", {})
    (entry,) = _entries(wire, "Async.VM.pool_migrate")
    _wait_for(lambda: entry.effect)
    _wait_for(lambda: [t["status"] for t in wire.call("task.get_all_records").values()] == left)


def test_only_one_host_is_befallen(wire: WireClient) -> None:
    h2 = wire.ref("host", "h2")
    wire.pool.faults.add("VM.get_all", "close_before", nth=2, host=h2)
    wire.call("VM.get_all")
    wire.call("VM.get_all")
    assert wire.raw("VM.get_all", wire.session, address="127.0.0.2").failure[0] == "HOST_IS_SLAVE"
    with pytest.raises(http.client.RemoteDisconnected):
        wire.raw("VM.get_all", wire.session, address="127.0.0.2")
    hold = wire.pool.faults.hold("VM.get_all", "request_read", host=h2)
    wire.call("VM.get_all")
    assert not hold.there.is_set()


def test_a_fault_of_a_call_means_its_async_form_too_but_not_the_reverse(
    wire: WireClient, operation: Callable[..., None]
) -> None:
    operation("VM.pool_migrate", lambda *_: None)
    wire.pool.faults.add("Async.VM.pool_migrate", "http_500")
    wire.call("VM.pool_migrate", "v", "h", {})
    assert wire.raw("Async.VM.pool_migrate", wire.session, "v", "h", {}).status == 500


def test_an_unknown_kind_or_point_is_refused(wire: WireClient) -> None:
    with pytest.raises(ValueError, match="known: close_after"):
        wire.pool.faults.add(CALL, "explode")
    with pytest.raises(ValueError, match="known: reply_written"):
        wire.pool.faults.hold(CALL, "somewhere")


def test_a_call_is_in_the_audit_log_before_anything_is_checked(wire: WireClient) -> None:
    hold = wire.pool.faults.hold("VM.get_record", "request_read")
    with in_background(lambda: wire.raw("VM.get_record", "no session", "x").failure) as call:
        assert hold.there.wait(10)
        (entry,) = _entries(wire, "VM.get_record")
        assert (entry.effect, entry.outcome) == (None, "")
        wire.pool.faults.release()
    assert call.result == ["SESSION_INVALID", "no session"]
    assert (entry.effect, entry.outcome) == (False, "SESSION_INVALID")


def test_held_before_the_reply_the_effect_is_there(wire: WireClient) -> None:
    hold = wire.pool.faults.hold(CALL, "reply_written")
    with in_background(lambda: wire.call(CALL, wire.ref("VM", "vm"), "x")) as call:
        assert hold.there.wait(10)
        assert _describe(wire) == "x"
        assert call.is_running
        wire.pool.faults.release()
    assert call.result == ""


CLIENT = """
import sys, xmlrpc.client
port, session, vm = sys.argv[1:]
xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}").VM.set_name_description(session, vm, "x")
"""


@pytest.mark.parametrize("point", ["request_read", "reply_written"])
def test_a_client_can_be_killed_exactly_there(wire: WireClient, point: str) -> None:
    hold = wire.pool.faults.hold(CALL, point)
    arguments = [str(wire.port), wire.session, wire.ref("VM", "vm")]
    client = subprocess.Popen([sys.executable, "-c", CLIENT, *arguments])
    try:
        assert hold.there.wait(30)
    finally:
        os.kill(client.pid, signal.SIGKILL)
        client.wait()
    assert _describe(wire) == ("x" if point == "reply_written" else "")
    wire.pool.faults.release()
    _wait_for(lambda: _describe(wire) == "x")


def test_no_secret_gets_into_the_audit_log(wire: WireClient) -> None:
    other = wire.login(keep=False)
    wire.call("session.get_record", other)
    wire.raw("session.logout", other)
    wire.raw("VM.get_all", "OpaqueRef:a-session-that-is-over")
    wire.raw("session.login_with_password", "root", "a wrong one")
    wire.raw("session.slave_local_login_with_password", "root", wire.pool.options.password)
    text = repr(wire.pool.audit.to_json())
    for secret in (wire.session, other, wire.pool.options.password, "a wrong one", "a-session-that-is-over"):
        assert secret not in text
    assert {e.params[0] for e in _entries(wire, "VM.get_all")} == {"SESSION"}


def test_the_audit_log_tells_sessions_apart_by_uuid(wire: WireClient) -> None:
    uuid = wire.call("session.get_uuid", wire.session)
    assert {e.session for e in _entries(wire, "session.get_uuid")} == {uuid}


def test_host_and_time_are_in_the_audit_log(wire: WireClient) -> None:
    before = wire.pool.clock.now()
    wire.raw("VM.get_all", wire.session, address="127.0.0.2")
    entry = wire.pool.audit.entries()[-1]
    assert (entry.host, entry.outcome) == ("h2", "HOST_IS_SLAVE")
    assert before <= entry.at <= wire.pool.clock.now()


def _wait_for(condition: Callable[[], Any]) -> None:
    limit = time.monotonic() + 10
    while not condition():
        if time.monotonic() > limit:
            pytest.fail("did not happen")
        time.sleep(0.002)
