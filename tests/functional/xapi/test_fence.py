"""Ending sessions, against scripted hosts."""

from collections.abc import Callable

import pytest

from lmflow.exceptions import UnreachableError
from lmflow.xapi import async_tasks
from lmflow.xapi.connection import Connection
from tests.support.scripted_host import SESSION, Act, ScriptedHost, failure, value

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


def test_our_own_is_replaced_first(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({"session.get_uuid": [value("one"), value("two")], GET: [failure("UUID_INVALID", "session", "x")]})
    conn = connect(host)
    conn.arm()
    assert conn.end_session("one")
    assert (conn.session_uuid, conn.armed) == ("two", False)
    assert logouts(host) == [(SESSION,)]
    assert conn.end_session("")


def test_a_session_that_is_over_is_not_asked_for_again(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({GET: [value(OTHER)]})
    conn = connect(host)
    assert conn.end_session("uuid-of-other")
    assert conn.end_session("uuid-of-other")
    assert (logouts(host), host.count(GET)) == ([(OTHER,)], 1)


def test_the_fence_ends_the_session_of_the_call_and_not_its_successor(make_host: MakeHost, connect: Connect) -> None:
    """Another run has logged in anew since: that session may carry calls of others, and is left alone."""
    host = make_host({"session.get_uuid": [value("one"), value("two"), value("three")], GET: [value(OTHER)]})
    conn = connect(host)
    conn.arm("one")
    conn.login_again()
    conn.fence_off()
    assert (conn.session_uuid, conn.armed) == ("two", False)
    assert [r.params[1] for r in host.requests if r.method == GET] == ["one"]
    assert logouts(host) == [(SESSION,), (OTHER,)]


def test_a_session_that_was_replaced_is_not_armed(make_host: MakeHost, connect: Connect) -> None:
    conn = connect(make_host({"session.get_uuid": [value("one"), value("two")]}))
    conn.login_again()
    conn.arm("one")
    assert not conn.armed


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
