"""Conformance S: logging in, and how long a session lives. Each case as in xapi's source or seen at a real one."""

import re

import pytest

from tests.support.wire import WireClient

SCALE = 20.0
A_DAY_SECONDS = 86_400
"""What these tests hold the simulated pool against is written out here, not taken from it. Source: xapi_globs.ml."""


@pytest.fixture
def member(wire: WireClient) -> str:
    """The address of a host that is not the coordinator."""
    store = wire.pool.store
    return next(str(store.value("host", r, "address")) for r in store.refs("host") if r != wire.pool.coordinator_ref)


@pytest.fixture
def coordinator(wire: WireClient) -> str:
    return str(wire.pool.store.value("host", wire.pool.coordinator_ref, "address"))


def test_s01_the_right_password_gives_a_reference(wire: WireClient, coordinator: str) -> None:
    options = wire.pool.options
    for more in ((), ("1.0",), ("1.0", "me")):
        parameters = (options.username, options.password, *more)
        ref = wire.raw("session.login_with_password", *parameters, address=coordinator).value
        assert re.fullmatch(r"OpaqueRef:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", ref)


def test_s02_a_wrong_password_costs_two_seconds(wire: WireClient, coordinator: str) -> None:
    clock = wire.pool.clock
    began = clock.now()
    refusal = wire.raw("session.login_with_password", "root", "bad", "1.0", "me", address=coordinator).failure
    assert refusal == ["SESSION_AUTHENTICATION_FAILED", "root", "Authentication failure"]
    assert clock.now() - began >= 2.0, "by the pool's clock, which waits for it however fast the machine is"


def test_s04_a_member_lets_nobody_in(wire: WireClient, member: str, coordinator: str) -> None:
    for password in (wire.pool.options.password, "bad"):
        refusal = wire.raw("session.login_with_password", "root", password, "1.0", "me", address=member).failure
        assert refusal == ["HOST_IS_SLAVE", coordinator]


def test_s05_a_session_of_the_pool_is_none_on_a_member(wire: WireClient, member: str, coordinator: str) -> None:
    assert wire.refuse("VM.get_all", address=member) == ["HOST_IS_SLAVE", coordinator]


@pytest.mark.parametrize(("asked", "field"), [("sha-256", "fingerprint_sha256"), ("sha-1", "fingerprint_sha1")])
def test_s06_a_member_tells_the_coordinators_certificate_on_request(
    wire: WireClient, member: str, asked: str, field: str
) -> None:
    headers = {"x-xenapi-request-host-certificate-thumbprint": f"{asked}:master"}
    reply = wire.raw("session.login_with_password", "root", "x", address=member, headers=headers)
    store = wire.pool.store
    (certificate,) = store.find("Certificate", host=wire.pool.coordinator_ref, type="host")
    told = dict(reply.headers)["x-xenapi-response-host-certificate-thumbprint"]
    assert told == store.value("Certificate", certificate, field)
    assert re.fullmatch(r"([0-9A-F]{2}:)+[0-9A-F]{2}", told)


def test_s06_nobody_is_told_who_did_not_ask(wire: WireClient, member: str) -> None:
    reply = wire.raw("session.login_with_password", "root", "x", address=member)
    assert "x-xenapi-response-host-certificate-thumbprint" not in dict(reply.headers)
    headers = {"x-xenapi-request-host-certificate-thumbprint": "sha-256:master"}
    asked = wire.raw("VM.get_all", wire.session, headers=headers)
    assert "x-xenapi-response-host-certificate-thumbprint" not in dict(asked.headers)


def _age(wire: WireClient, ref: str, seconds: float) -> None:
    """Let a session be unused for so long; a day is too long for a test."""
    wire.pool.sessions.use_at(ref, wire.pool.clock.now() - seconds)


def test_s09_a_session_that_nobody_used_for_a_day_is_over(wire: WireClient) -> None:
    old, busy, fresh = (wire.login(keep=False) for _ in range(3))
    task = wire.raw("task.create", busy, "unfinished", "").value
    _age(wire, fresh, A_DAY_SECONDS - 600)
    _age(wire, old, A_DAY_SECONDS + 1)
    _age(wire, busy, A_DAY_SECONDS + 1)
    wire.pool.collect()
    assert wire.raw("VM.get_all", old).failure == ["SESSION_INVALID", old]
    assert wire.raw("task.get_status", busy, task).value == "pending"
    assert wire.raw("session.get_uuid", fresh, fresh).value
    wire.raw("task.set_status", busy, task, "success")
    _age(wire, busy, A_DAY_SECONDS + 1)
    wire.pool.collect()
    assert wire.raw("VM.get_all", busy).failure == ["SESSION_INVALID", busy]


@pytest.mark.parametrize(("originator", "limit"), [("crowd", 500), ("", 400)])
def test_s09_the_oldest_of_too_many_go(wire: WireClient, originator: str, limit: int) -> None:
    sessions, options = wire.pool.sessions, wire.pool.options
    host = wire.pool.coordinator_ref
    many = [sessions.login(host, options.username, options.password, originator) for _ in range(limit + 2)]
    _age(wire, many[0], 100)
    _age(wire, many[7], 200)
    wire.pool.collect()
    alive = [ref for ref in many if sessions.is_valid(ref)]
    assert len(alive) <= limit
    assert {many[0], many[7]}.isdisjoint(alive)
    assert many[-1] in alive
    for ref in alive:
        sessions.logout(ref)
