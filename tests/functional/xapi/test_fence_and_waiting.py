"""Ending another's session, and waiting for events, against scripted hosts."""

import threading
from collections.abc import Callable

import pytest

from lmflow.exceptions import UnreachableError, XapiFailureError
from lmflow.xapi import async_tasks
from lmflow.xapi.connection import Connection
from tests.support.scripted_host import SESSION, SESSION_UUID, Act, ScriptedHost, failure, value

MakeHost = Callable[..., ScriptedHost]
Connect = Callable[..., Connection]
OTHER = "OpaqueRef:0743e800-0000-4000-8000-000000000001"
GET = "session.get_by_uuid"


def logouts(host: ScriptedHost) -> list[tuple[object, ...]]:
    return [r.params for r in host.requests if r.method == "session.logout"]


def test_ends_the_other_session_and_not_ours(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({GET: [value(OTHER)]})
    assert connect(host).end_session("uuid-of-other")
    assert logouts(host) == [(OTHER,)]


@pytest.mark.parametrize("code", ["UUID_INVALID", "HANDLE_INVALID"])
def test_unknown_session_is_over(make_host: MakeHost, connect: Connect, code: str) -> None:
    host = make_host({GET: [failure(code, "session", "uuid-of-other")]})
    assert connect(host).end_session("uuid-of-other")
    assert logouts(host) == []


@pytest.mark.parametrize("code", ["SESSION_INVALID", "HANDLE_INVALID", "UUID_INVALID"])
def test_session_that_ends_meanwhile_is_over(make_host: MakeHost, connect: Connect, code: str) -> None:
    host = make_host({GET: [value(OTHER)], "session.logout": [failure(code, OTHER), value("")]})
    assert connect(host).end_session("uuid-of-other")


def test_lost_logout_is_looked_at_again(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(
        {GET: [value(OTHER), failure("UUID_INVALID", "session", "x")], "session.logout": [Act("close"), value("")]}
    )
    assert connect(host).end_session("uuid-of-other")
    assert logouts(host) == [(OTHER,)]


def test_cannot_tell(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({GET: [value(OTHER)], "session.logout": [Act("close")]})
    with pytest.raises(UnreachableError) as caught:
        connect(host).end_session("uuid-of-other")
    assert OTHER not in str(caught.value)
    forbidden = make_host({GET: [failure("RBAC_PERMISSION_DENIED", "session.get_by_uuid", "")]})
    with pytest.raises(UnreachableError):
        connect(forbidden).end_session("uuid-of-other")


def test_never_our_own(make_host: MakeHost, connect: Connect) -> None:
    host = make_host()
    conn = connect(host)
    with pytest.raises(ValueError, match="our own"):
        conn.end_session(SESSION_UUID)
    assert conn.end_session("")
    assert logouts(host) == []


def batch(token: str) -> Act:
    return value({"events": [], "token": token, "valid_ref_counts": {}})


def event_script(*acts: Act) -> dict[str, list[Act]]:
    return {
        "task.get_by_uuid": [value("OpaqueRef:task")],
        "VM.get_by_uuid": [value("OpaqueRef:vm")],
        "event.from": list(acts),
    }


def wait(conn: Connection, seconds: float = 7.0) -> None:
    async_tasks.wait_for_change(conn, task_uuid="t", vm_uuid="v", timeout_seconds=seconds)


def asked(host: ScriptedHost) -> list[tuple[object, ...]]:
    return [r.params[1:] for r in host.requests if r.method == "event.from"]


def test_token_goes_on(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(event_script(batch("1,1"), batch("2,2")))
    conn = connect(host)
    for _ in range(3):
        wait(conn)
    classes = ["task/OpaqueRef:task", "vm/OpaqueRef:vm"]
    assert asked(host) == [(classes, "", 7.0), (classes, "1,1", 7.0), (classes, "2,2", 7.0)]


def test_negative_time_is_none(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(event_script(batch("1,1")))
    wait(connect(host), -3)
    assert asked(host)[0][2] == 0.0


@pytest.mark.parametrize("act", [failure("SESSION_INVALID", SESSION), Act("close"), Act("reset"), Act("cut")])
def test_lost_session_drops_the_token_and_returns(make_host: MakeHost, connect: Connect, act: Act) -> None:
    host = make_host(event_script(batch("1,1"), act, batch("3,3")))
    conn = connect(host)
    conn.arm()
    for _ in range(3):
        wait(conn)
    assert [params[1] for params in asked(host)] == ["", "1,1", ""]
    assert host.count("session.login_with_password") == 2
    assert not conn.armed


def test_bad_token_is_dropped(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(event_script(batch("1,1"), failure("EVENT_FROM_TOKEN_PARSE_FAILURE", "1,1"), batch("2,2")))
    conn = connect(host)
    for _ in range(3):
        wait(conn)
    assert [params[1] for params in asked(host)] == ["", "1,1", ""]
    assert host.count("session.login_with_password") == 1


def test_other_failures_are_passed_on(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(event_script(failure("RBAC_PERMISSION_DENIED", "event.from", "")))
    with pytest.raises(XapiFailureError):
        wait(connect(host))


def test_vanished_task_leaves_the_vm_to_wait_for(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({**event_script(batch("1,1")), "task.get_by_uuid": [failure("UUID_INVALID", "task", "t")]})
    wait(connect(host))
    assert asked(host)[0][0] == ["vm/OpaqueRef:vm"]


def test_others_read_while_one_waits(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({**event_script(Act("hang")), "VM.get_power_state": [value("Running")]})
    conn = connect(host)
    waiting = threading.Thread(target=wait, args=(conn, 20), daemon=True)
    waiting.start()
    host.wait_for("event.from")
    assert conn.read("VM.get_power_state", "OpaqueRef:vm") == "Running"
    assert waiting.is_alive()
    host.release()
    waiting.join(20)
    assert not waiting.is_alive()


def test_nobody_answers_a_wait(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(event_script(batch("1,1")))
    conn = connect(host)
    host.stop()
    with pytest.raises(UnreachableError):
        wait(conn)


def test_destroys_finished_records_only(make_host: MakeHost, connect: Connect) -> None:
    finished = value({"uuid": "t", "status": "failure", "error_info": ["X"]})
    pending = value({"uuid": "t", "status": "pending"})
    host = make_host(
        {
            "task.get_by_uuid": [value("OpaqueRef:t")],
            "task.get_record": [pending, finished],
            "task.destroy": [value("")],
        }
    )
    conn = connect(host)
    assert not async_tasks.destroy_task(conn, "t")
    assert host.count("task.destroy") == 0
    assert async_tasks.destroy_task(conn, "t")
    host.script["task.get_by_uuid"] = [failure("UUID_INVALID", "task", "t")]
    assert async_tasks.destroy_task(conn, "t")
    assert host.count("task.destroy") == 1
