"""Conformance C: how the official SDK, as it is, meets the simulated pool."""

import http.client
import xml.parsers.expat
import xmlrpc.client
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import XenAPI

from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.registry import OPERATIONS, Operation
from lmflow.simulator.worlds import world
from tests.support.wire import Background, TinyWorld, WireClient, in_background
from tests.support.worlds import P

SCALE = 1000.0
CALL = "Async.VM.pool_migrate"


@pytest.fixture
def pool() -> Iterator[SimulatedPool]:
    with SimulatedPool(Options(time_scale=SCALE), world=TinyWorld()) as made:
        yield made


@pytest.fixture
def session(pool: SimulatedPool) -> Iterator[Any]:
    """A session of the SDK."""
    yield from _log_in(pool)


def _log_in(pool: SimulatedPool) -> Iterator[Any]:
    found = XenAPI.Session(f"http://127.0.0.1:{pool.server.port}")
    found.xenapi.login_with_password(pool.options.username, pool.options.password, "1.0", "sdk")
    yield found
    found("close")()


@pytest.fixture
def migrate(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Put a function in the place of ``VM.pool_migrate``."""

    def put(function: Callable[..., Any]) -> None:
        monkeypatch.setitem(OPERATIONS, "VM.pool_migrate", Operation("VM.pool_migrate", function, True))

    return put


def _deliveries(pool: SimulatedPool, call: str = CALL) -> list[str]:
    return [entry.outcome for entry in pool.audit.entries() if entry.method == call]


def _run(session: Any) -> Any:
    return session.xenapi.Async.VM.pool_migrate("vm", "host", {})


@pytest.mark.parametrize("kind", ["close_before", "close_after"])
def test_c01_the_sdk_sends_a_call_again_when_the_connection_is_closed(
    pool: SimulatedPool, session: Any, migrate: Callable[..., None], kind: str
) -> None:
    migrate(lambda _ctx, *_: None)
    pool.faults.add(CALL, kind)
    assert _run(session).startswith("OpaqueRef:")
    first = "closed" if kind == "close_before" else "ok, reply lost"
    assert _deliveries(pool) == [first, "ok"]


def test_c02_the_sdk_sends_a_call_again_after_a_reset_but_only_once(
    pool: SimulatedPool, session: Any, migrate: Callable[..., None]
) -> None:
    migrate(lambda _ctx, *_: None)
    pool.faults.add(CALL, "reset_before")
    assert _run(session).startswith("OpaqueRef:")
    assert _deliveries(pool) == ["closed", "ok"]
    for nth in (1, 2):
        pool.faults.add(CALL, "reset_before", nth)
    with pytest.raises(ConnectionResetError):
        _run(session)
    assert _deliveries(pool)[2:] == ["closed", "closed"]


def test_c03_the_sdk_logs_in_again_when_its_session_is_gone(
    pool: SimulatedPool, session: Any, migrate: Callable[..., None]
) -> None:
    migrate(lambda _ctx, *_: None)
    pool.faults.add(CALL, "session_invalid")
    assert _run(session).startswith("OpaqueRef:")
    assert _deliveries(pool) == ["SESSION_INVALID", "ok"]
    assert _deliveries(pool, "session.login_with_password") == ["ok", "ok"]


def test_c03_the_sdk_gives_up_after_three_deliveries(pool: SimulatedPool, session: Any) -> None:
    for nth in range(1, 5):
        pool.faults.add(CALL, "session_invalid", nth)
    with pytest.raises(xmlrpc.client.Fault, match="Tried 3 times"):
        _run(session)
    assert _deliveries(pool) == ["SESSION_INVALID"] * 3


@pytest.mark.parametrize("status", [500, 503])
def test_c04_an_error_of_http_is_a_protocol_error(pool: SimulatedPool, session: Any, status: int) -> None:
    pool.faults.add(CALL, f"http_{status}")
    with pytest.raises(xmlrpc.client.ProtocolError) as caught:
        _run(session)
    assert caught.value.errcode == status
    assert _deliveries(pool) == [f"http_{status}"]


def test_c05_the_sdk_waits_as_long_as_nothing_comes(pool: SimulatedPool, session: Any) -> None:
    hold = pool.faults.hold(CALL, "request_read")
    with in_background(lambda: _run(session)) as call:
        assert hold.there.wait(20)
        assert _socket_of(session).gettimeout() is None
        assert call.is_running
        pool.faults.clear()
        _stop(pool, call)


def _socket_of(session: Any) -> Any:
    connection: http.client.HTTPConnection = session("transport")._connection[1]
    return connection.sock


def _stop(pool: SimulatedPool, call: Background) -> None:
    call.join()
    assert isinstance(call.error, XenAPI.Failure) or call.result is not None


def test_c06_half_a_body_is_no_failure_of_the_api(
    pool: SimulatedPool, session: Any, migrate: Callable[..., None]
) -> None:
    migrate(lambda _ctx, *_: None)
    pool.faults.add(CALL, "truncated")
    with pytest.raises((xml.parsers.expat.ExpatError, http.client.IncompleteRead)) as caught:
        _run(session)
    assert not isinstance(caught.value, XenAPI.Failure)


def test_c07_a_member_refers_to_the_coordinator_and_nobody_follows(pool: SimulatedPool) -> None:
    member = XenAPI.Session(f"http://127.0.0.2:{pool.server.port}")
    with pytest.raises(XenAPI.Failure) as caught:
        member.xenapi.login_with_password(pool.options.username, pool.options.password, "1.0", "sdk")
    member("close")()
    assert caught.value.details == ["HOST_IS_SLAVE", "127.0.0.1"]
    assert [entry.host for entry in pool.audit.entries()] == ["h2"]


@pytest.mark.parametrize("destination", ["B", "C"])
def test_c08_a_call_delivered_twice_migrates_twice(destination: str) -> None:
    with SimulatedPool(Options(time_scale=SCALE), world=world.load(P)) as pool:
        client = WireClient(pool)
        client.login()
        vm, host = client.ref("VM", "v"), client.ref("host", destination)
        tasks = [client.call(CALL, vm, host, {"live": "true"}) for _ in range(2)]
        assert [client.wait_for_task(task)["status"] for task in tasks] == ["success", "success"]
        assert client.call("VM.get_resident_on", vm) == host
        messages = client.call("message.get_all_records").values()
        assert [message["name"] for message in messages].count("VM_MIGRATED") == 2


def test_an_api_failure_is_one_for_the_sdk_too(pool: SimulatedPool, session: Any, migrate: Callable[..., None]) -> None:
    def refuse(_ctx: Context, *_: Any) -> None:
        raise ApiFailure("VM_BAD_POWER_STATE", "a", "b")

    migrate(refuse)
    with pytest.raises(XenAPI.Failure) as caught:
        session.xenapi.VM.pool_migrate("vm", "host", {})
    assert caught.value.details == ["VM_BAD_POWER_STATE", "a", "b"]
