"""Sessions over the wire."""

import time
from collections.abc import Callable

import pytest

from lmflow.simulator.pool import SimulatedPool
from tests.support.wire import WireClient, in_background

MEMBER = "127.0.0.2"


def test_version_and_originator_may_be_left_out(wire: WireClient) -> None:
    options = wire.pool.options
    for extra in ((), ("1.0",), ("1.0", "me")):
        ref = wire.raw("session.login_with_password", options.username, options.password, *extra).value
        assert ref.startswith("OpaqueRef:")


def test_a_bad_password_is_refused_after_a_penalty(make_pool: Callable[..., SimulatedPool]) -> None:
    wire = WireClient(make_pool(time_scale=10.0))
    start = wire.pool.clock.now()
    reply = wire.raw("session.login_with_password", "root", "wrong")
    assert wire.pool.clock.now() - start >= 2.0
    assert reply.failure == ["SESSION_AUTHENTICATION_FAILED", "root", "Authentication failure"]
    stranger = wire.raw("session.login_with_password", "nobody", "x").failure
    assert stranger[1:] == ["nobody", "User not known to the underlying authentication module"]


def test_a_member_names_the_coordinator_even_for_a_bad_password(wire: WireClient) -> None:
    for password in (wire.pool.options.password, "wrong"):
        reply = wire.raw("session.login_with_password", "root", password, address=MEMBER)
        assert reply.failure == ["HOST_IS_SLAVE", "127.0.0.1"]


def test_a_session_of_the_coordinator_is_none_on_a_member(wire: WireClient) -> None:
    assert wire.refuse("VM.get_all", address=MEMBER) == ["HOST_IS_SLAVE", "127.0.0.1"]
    assert wire.raw("VM.get_all", "garbage", address=MEMBER).failure == ["SESSION_INVALID", "garbage"]


def test_a_local_session_reads_on_its_member_only(wire: WireClient) -> None:
    options = wire.pool.options
    local = wire.raw(
        "session.slave_local_login_with_password", options.username, options.password, address=MEMBER
    ).value
    assert wire.raw("VM.get_all", local, address=MEMBER).value == [wire.ref("VM", "vm")]
    assert wire.raw("VM.get_all", local).failure == ["SESSION_INVALID", local]
    wire.raw("session.local_logout", local, address=MEMBER)
    assert wire.raw("VM.get_all", local, address=MEMBER).failure == ["SESSION_INVALID", local]


def test_a_session_that_was_ended_is_over(wire: WireClient) -> None:
    assert wire.call("session.logout") == ""
    assert wire.refuse("VM.get_all") == ["SESSION_INVALID", wire.session]
    assert wire.refuse("session.logout") == ["SESSION_INVALID", wire.session]


def test_who_knows_its_uuid_can_end_the_session_of_another(wire: WireClient) -> None:
    other = wire.login(originator="other", keep=False)
    uuid = wire.raw("session.get_uuid", other, other).value
    record = wire.call("session.get_record", other)
    assert (record["uuid"], record["originator"]) == (uuid, "other")
    assert wire.call("session.get_by_uuid", uuid) == other
    wire.raw("session.logout", other)
    assert wire.raw("VM.get_all", other).failure == ["SESSION_INVALID", other]
    assert wire.refuse("session.get_by_uuid", uuid) == ["UUID_INVALID", "session", uuid]
    assert wire.call("VM.get_all")


def test_a_session_ended_while_it_waits_for_events_is_told_at_once(wire: WireClient) -> None:
    session = wire.login(keep=False)
    token = wire.events(["vm"])["token"]
    before = len(wire.pool.audit.entries())
    with in_background(lambda: wire.raw("event.from", session, ["vm"], token, 1e6).failure) as call:
        _wait_for(lambda: len(wire.pool.audit.entries()) > before)
        wire.raw("session.logout", session)
    assert call.result == ["SESSION_INVALID", session]


def test_an_idle_session_expires(make_pool: Callable[..., SimulatedPool]) -> None:
    wire = WireClient(make_pool(time_scale=1e6))
    wire.login()
    wire.pool.clock.wait(90_000.0)
    wire.pool.sessions.collect()
    assert wire.refuse("VM.get_all") == ["SESSION_INVALID", wire.session]


def test_all_sessions_go_with_the_coordinators_toolstack(wire: WireClient) -> None:
    wire.pool.sessions.lose_all()
    assert wire.refuse("VM.get_all") == ["SESSION_INVALID", wire.session]
    wire.login()
    assert wire.events(["session"], timeout_seconds=0.0)["events"] == []


def test_there_is_no_list_of_sessions(wire: WireClient) -> None:
    assert wire.refuse("session.get_all_records") == ["MESSAGE_METHOD_UNKNOWN", "session.get_all_records"]


def _wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not condition():
        if time.monotonic() > limit:
            pytest.fail("did not happen")
        time.sleep(0.002)


def test_root_changes_the_password(wire: WireClient) -> None:
    old = wire.pool.options.password
    assert wire.refuse("session.change_password", "wrong", "new")[0] == "CHANGE_PASSWORD_REJECTED"
    assert wire.call("session.change_password", old, "new") == ""
    assert wire.raw("session.login_with_password", "root", old).failure[0] == "SESSION_AUTHENTICATION_FAILED"
    assert wire.raw("session.login_with_password", "root", "new").value
    assert wire.call("VM.get_all")


def test_users_of_a_directory_are_listed_and_logged_out(wire: WireClient) -> None:
    wire.pool.rbac.add_user("anna", "pw", "pool-admin")
    session = wire.raw("session.login_with_password", "anna", "pw").value
    identifier = wire.call("session.get_auth_user_sid", session)
    assert wire.call("session.get_all_subject_identifiers") == [identifier]
    assert wire.raw("session.change_password", session, "pw", "x").failure[0] == "RBAC_PERMISSION_DENIED"
    assert wire.call("session.logout_subject_identifier", identifier) == ""
    assert wire.raw("VM.get_all", session).failure == ["SESSION_INVALID", session]
    assert wire.call("session.get_all_subject_identifiers") == []
