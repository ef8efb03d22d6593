"""The way to the witness of each host; what it answers is not the kernel's matter."""

import http.client
import xmlrpc.client
from collections.abc import Callable

import pytest

from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.wire.codec import encode_success
from tests.support.wire import WireClient

PATH = "/services/xenops"
BODY = xmlrpc.client.dumps(({"debug_info": "x", "id": "some-vm"},), "VM.exists").encode()


@pytest.fixture
def asked(wire: WireClient) -> list[tuple[str, str | None]]:
    """Who was asked with which session, by a witness that knows nothing."""
    seen: list[tuple[str, str | None]] = []

    def answer(host_ref: str, session_ref: str | None, body: bytes) -> tuple[int, dict[str, str], bytes]:
        assert body == BODY
        seen.append((host_ref, session_ref))
        if not session_ref or not wire.pool.sessions.is_valid(session_ref):
            return 401, {}, b""
        return 200, {}, encode_success(False)

    wire.pool.witness = answer
    return seen


@pytest.mark.parametrize(("name", "address"), [("h1", "127.0.0.1"), ("h2", "127.0.0.2")])
def test_each_host_has_a_witness_that_takes_the_pools_session(
    wire: WireClient, asked: list[tuple[str, str | None]], name: str, address: str
) -> None:
    reply = wire.post(BODY, address=address, path=f"{PATH}?session_id={wire.session}")
    assert reply.value is False
    assert [header for header, _ in reply.headers] == ["content-length", "connection", "cache-control"]
    assert asked == [(wire.ref("host", name), wire.session)]


@pytest.mark.parametrize("query", ["", "?session_id=OpaqueRef:dead"])
def test_without_a_session_it_is_unauthorised(
    wire: WireClient, asked: list[tuple[str, str | None]], query: str
) -> None:
    reply = wire.post(BODY, path=PATH + query)
    assert reply.status == 401
    assert dict(reply.headers)["WWW-Authenticate"] == 'Basic realm="post_services_xenops"'
    assert reply.body == (
        b"<html><body><h1>HTTP 401 unauthorised</h1>Please check your credentials and retry.</body></html>"
    )


def test_it_is_in_the_audit_log_without_the_session(wire: WireClient, asked: list[tuple[str, str | None]]) -> None:
    wire.post(BODY, path=f"{PATH}?session_id={wire.session}")
    entry = wire.pool.audit.entries()[-1]
    assert (entry.method, entry.effect, entry.outcome) == ("xenops:VM.exists", False, "ok")
    assert entry.params == [{"debug_info": "x", "id": "some-vm"}]
    assert entry.session == wire.pool.store.value("session", wire.session, "uuid")


def test_faults_befall_it_by_name(wire: WireClient, asked: list[tuple[str, str | None]]) -> None:
    for kind, count in (("close_before", 0), ("close_after", 1)):
        wire.pool.faults.add("xenops:VM.exists", kind)
        with pytest.raises(http.client.RemoteDisconnected):
            wire.post(BODY, path=f"{PATH}?session_id={wire.session}")
        assert len(asked) == count


def test_a_broken_question_gets_a_page(wire: WireClient, asked: list[tuple[str, str | None]]) -> None:
    assert wire.post(b"<x", path=f"{PATH}?session_id={wire.session}").status == 500
    assert asked == []


def test_a_pool_can_refuse_it(make_pool: Callable[..., SimulatedPool]) -> None:
    wire = WireClient(make_pool(refuse_witness=True))
    wire.login()
    assert wire.post(BODY, path=f"{PATH}?session_id={wire.session}").status == 401
