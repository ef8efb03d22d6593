"""Reads survive one loss of session, coordinator or connection; logins follow the pool's addresses."""

from collections.abc import Callable

import pytest

from lmflow.exceptions import LoginError, UnreachableError, XapiFailureError
from lmflow.xapi.connection import Connection
from tests.support.scripted_host import PASSWORD, POOL_UUID, SESSION, Act, ScriptedHost, failure, value

MakeHost = Callable[..., ScriptedHost]
Connect = Callable[..., Connection]
LOGIN = "session.login_with_password"
READ = "VM.get_power_state"

LOSSES = {
    "session": failure("SESSION_INVALID", SESSION),
    "emergency": failure("HOST_STILL_BOOTING"),
    "closed": Act("close"),
    "reset": Act("reset"),
    "cut": Act("cut"),
    "HTTP 500": Act("http", "500 Internal Server Error"),
}


@pytest.mark.parametrize("what", LOSSES)
def test_one_new_login_then_the_read_again(make_host: MakeHost, connect: Connect, what: str) -> None:
    host = make_host(
        {READ: [LOSSES[what], value("Running")], "session.get_uuid": [value("first"), value("second"), value("third")]}
    )
    conn = connect(host)
    assert conn.session_uuid == "first"
    assert conn.read(READ, "OpaqueRef:vm") == "Running"
    assert conn.session_uuid == "second"
    assert (host.count(LOGIN), host.count(READ)) == (2, 2)


def test_two_losses_are_unreachable(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({READ: [Act("close")]})
    conn = connect(host)
    with pytest.raises(UnreachableError):
        conn.read(READ, "OpaqueRef:vm")
    assert (host.count(LOGIN), host.count(READ)) == (2, 2)


def test_session_invalid_twice_is_xapis_failure(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({READ: [failure("SESSION_INVALID", SESSION)]})
    with pytest.raises(XapiFailureError) as caught:
        connect(host).read(READ, "OpaqueRef:vm")
    assert caught.value.xapi_code == "SESSION_INVALID"
    assert host.count(LOGIN) == 2


def test_emergency_that_stays_is_unreachable(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({READ: [failure("HOST_STILL_BOOTING")]})
    with pytest.raises(UnreachableError, match="HOST_STILL_BOOTING"):
        connect(host).read(READ, "OpaqueRef:vm")
    assert (host.count(LOGIN), host.count(READ)) == (2, 2)


def test_other_failures_do_not_log_in_again(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({READ: [failure("UUID_INVALID", "VM", "x")]})
    with pytest.raises(XapiFailureError) as caught:
        connect(host).read(READ, "x")
    assert (caught.value.xapi_code, caught.value.xapi_params, caught.value.call) == ("UUID_INVALID", ("VM", "x"), READ)
    assert host.count(LOGIN) == 1


def test_failures_name_uuids_not_references(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(
        {
            "VM.assert_can_boot_here": [failure("VM_REQUIRES_SR", "OpaqueRef:vm", "OpaqueRef:sr")],
            "VM.get_uuid": [value("uuid-of-the-vm"), failure("HANDLE_INVALID", "VM", "OpaqueRef:sr")],
            "SR.get_uuid": [failure("HANDLE_INVALID", "SR", "OpaqueRef:vm"), value("uuid-of-the-sr")],
        }
    )
    with pytest.raises(XapiFailureError) as caught:
        connect(host).read("VM.assert_can_boot_here", "OpaqueRef:vm", "OpaqueRef:host")
    assert "OpaqueRef" not in str(caught.value)
    assert len(caught.value.xapi_params) == 2


def test_idle_connection_that_the_pool_closed_is_seen_before_sending(make_host: MakeHost, connect: Connect) -> None:
    """XAPI closes idle connections: that costs a new connection, not the session."""
    host = make_host({READ: [Act("drop", "Running")]})
    conn = connect(host)
    for _ in range(3):
        conn.read(READ, "OpaqueRef:vm")
        host.wait_until_closed()
    assert (host.count(LOGIN), host.count(READ)) == (1, 3)


def test_the_old_session_is_ended_after_a_new_login(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({LOGIN: [value(SESSION), value("OpaqueRef:new")], READ: [Act("close"), value("Running")]})
    connect(host).read(READ, "OpaqueRef:vm")
    assert [r.params for r in host.requests if r.method == "session.logout"] == [(SESSION,)]


def test_member_names_its_coordinator_and_port_is_kept(make_host: MakeHost, connect: Connect) -> None:
    coordinator = make_host(address="127.0.0.2")
    member = make_host({LOGIN: [failure("HOST_IS_SLAVE", "127.0.0.2")]}, port=coordinator.port)
    conn = connect(member)
    assert conn.address == "127.0.0.2"
    assert conn.pool_uuid == POOL_UUID
    assert (member.count(LOGIN), coordinator.count(LOGIN)) == (1, 1)


def test_failover_follows_the_new_coordinator(make_host: MakeHost, connect: Connect) -> None:
    """The old coordinator answers HOST_IS_SLAVE to a read; the profile knows its address only."""
    new = make_host({READ: [value("Running")]}, address="127.0.0.2")
    old = make_host(
        {READ: [failure("HOST_IS_SLAVE", "127.0.0.2")], LOGIN: [value(SESSION), failure("HOST_IS_SLAVE", "127.0.0.2")]},
        port=new.port,
    )
    conn = connect(old)
    assert conn.read(READ, "OpaqueRef:vm") == "Running"
    assert conn.address == "127.0.0.2"


def test_other_addresses_are_tried_in_order(make_host: MakeHost, connect: Connect) -> None:
    alive = make_host(address="127.0.0.3")
    dead = make_host(address="127.0.0.2", port=alive.port)
    dead.stop()
    conn = connect(alive, "127.0.0.2", "127.0.0.3")
    assert conn.address == "127.0.0.3"


def test_nobody_answers(make_host: MakeHost) -> None:
    host = make_host()
    host.stop()
    with pytest.raises(UnreachableError) as caught:
        Connection.open(host.profile("127.0.0.1", "127.0.0.2"), lambda: PASSWORD)
    assert [said.partition(":")[0] for said in caught.value.tried] == ["127.0.0.1", "127.0.0.2"]
    assert not isinstance(caught.value, LoginError)


def test_redirects_in_a_circle_end(make_host: MakeHost) -> None:
    one = make_host({LOGIN: [failure("HOST_IS_SLAVE", "127.0.0.2")]})
    two = make_host({LOGIN: [failure("HOST_IS_SLAVE", "127.0.0.1")]}, address="127.0.0.2", port=one.port)
    with pytest.raises(UnreachableError):
        Connection.open(one.profile(), lambda: PASSWORD)
    assert (one.count(LOGIN), two.count(LOGIN)) == (1, 1)


def test_endless_redirects_end(make_host: MakeHost) -> None:
    first = make_host({LOGIN: [failure("HOST_IS_SLAVE", "127.0.1.2")]})
    for last in range(2, 9):
        redirect = failure("HOST_IS_SLAVE", f"127.0.1.{last + 1}")
        make_host({LOGIN: [redirect]}, address=f"127.0.1.{last}", port=first.port)
    with pytest.raises(UnreachableError) as caught:
        Connection.open(first.profile(), lambda: PASSWORD)
    assert len(caught.value.tried) == 5


def test_wrong_password_is_final(make_host: MakeHost) -> None:
    host = make_host({LOGIN: [failure("SESSION_AUTHENTICATION_FAILED", "root", f"bad {PASSWORD}")]})
    other = make_host(address="127.0.0.2", port=host.port)
    with pytest.raises(LoginError) as caught:
        Connection.open(host.profile("127.0.0.1", "127.0.0.2"), lambda: PASSWORD)
    assert caught.value.tried == ("127.0.0.1: SESSION_AUTHENTICATION_FAILED",)
    assert PASSWORD not in str(caught.value)
    assert (host.count(LOGIN), other.count(LOGIN)) == (1, 0)


def test_password_is_asked_at_each_login(make_host: MakeHost) -> None:
    host = make_host({READ: [failure("SESSION_INVALID", SESSION), value("Running")]})
    passwords = iter(["first", "second"])
    with Connection.open(host.profile(), lambda: next(passwords)) as conn:
        conn.read(READ, "OpaqueRef:vm")
    assert [r.params[1] for r in host.requests if r.method == LOGIN] == ["first", "second"]
    assert [r.params[2:] for r in host.requests if r.method == LOGIN] == [("1.0", "lmflow")] * 2


def test_another_pool_at_the_same_address(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({READ: [Act("close"), value("Running")], "pool.get_uuid": [value(POOL_UUID), value("other")]})
    conn = connect(host)
    with pytest.raises(LoginError, match="another pool"):
        conn.read(READ, "OpaqueRef:vm")
    assert host.count(READ) == 1


def test_close_logs_out_and_never_raises(make_host: MakeHost, connect: Connect) -> None:
    host = make_host()
    conn = connect(host)
    conn.close()
    conn.close()
    assert [r.params for r in host.requests if r.method == "session.logout"] == [(SESSION,)]
    gone = make_host()
    conn = connect(gone)
    gone.stop()
    conn.close()


def test_closed_connection_does_not_log_in_again(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({READ: [failure("SESSION_INVALID", SESSION)]})
    conn = connect(host)
    conn.close()
    with pytest.raises(UnreachableError):
        conn.read(READ, "OpaqueRef:vm")
    assert host.count(LOGIN) == 1
