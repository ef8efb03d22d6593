"""What the audit log says of calls that went astray, and what neither it nor the view of the pool may show."""

import http.client
import json
import threading
import xmlrpc.client
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.audit import Entry
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ConnectionDrop
from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.pool import SimulatedPool
from tests.support.wire import WireClient, in_background

PATH = "/services/xenops"
LOGIN = "session.login_with_password"
Put = Callable[..., None]


def _entries(wire: WireClient, method: str) -> list[Entry]:
    return [entry for entry in wire.pool.audit.entries() if entry.method == method]


def _log_in(wire: WireClient) -> None:
    wire.login(keep=False)


def _wait_for_outcome(entry: Entry) -> None:
    for _ in range(1000):
        if entry.outcome:
            return
        threading.Event().wait(0.01)
    pytest.fail("the call did not end")


def test_passwords_and_values_of_secrets_are_in_no_entry(wire: WireClient) -> None:
    wire.raw("pool.join", wire.session, "1.2.3.4", "root", "pw-join")
    wire.raw("pool.initialize_wlb", wire.session, "u", "n", "pw-wlb", "x", "pw-xen")
    wire.raw("pool.configure_repository_proxy", wire.session, "u", "n", "pw-proxy")
    wire.raw("session.login_with_passwort", "root", "pw-misspelt")
    wire.call("secret.create", {"value": "pw-secret", "other_config": {}})
    assert "pw-" not in json.dumps(wire.pool.audit.to_json())


def test_sessions_are_in_no_text_of_an_entry(wire: WireClient) -> None:
    other = wire.login(keep=False)
    place = {"SM": f"http://h/services/SM?session_id={other}", "session_id": other, "host": "h", "master": "http://h"}
    wire.raw("VM.assert_can_migrate", wire.session, "vm", place, True, {}, {}, {})
    wire.raw(f"VM.{other}", wire.session)
    body = xmlrpc.client.dumps(({"dbg": f"for {other}", "id": "x", "password": "pw-witness"},), "VM.exists")
    wire.post(body.encode(), path=f"{PATH}?session_id={wire.session}")
    text = json.dumps(wire.pool.audit.to_json())
    assert other.removeprefix("OpaqueRef:") not in text
    assert "pw-witness" not in text


def test_sessions_of_a_single_host_count_as_issued(wire: WireClient) -> None:
    options = wire.pool.options
    local = wire.raw("session.slave_local_login_with_password", options.username, options.password).value
    assert local in list(wire.pool.sessions.issued)


@pytest.mark.parametrize("how", ["hold", "delay"])
def test_a_call_whose_host_went_down_while_it_waited_has_no_effect(wire: WireClient, how: str) -> None:
    before = wire.pool.store.refs("session")
    if how == "hold":
        hold = wire.pool.faults.hold(LOGIN, "request_read")
    else:
        hold = wire.pool.faults.hold(LOGIN, "request_read")
        wire.pool.faults.add(LOGIN, "delay", seconds=1e300)
    host_ref = wire.ref("host", "h1")
    with in_background(lambda: _log_in(wire)) as call:
        assert hold.there.wait(30)
        if how == "delay":
            wire.pool.faults.release()
        wire.pool.part(Toolstack).stop(host_ref)
    assert isinstance(call.error, OSError | http.client.HTTPException)
    wire.pool.faults.release()
    entry = _entries(wire, LOGIN)[-1]
    _wait_for_outcome(entry)
    assert (entry.outcome, entry.effect) == ("closed", False)
    assert set(wire.pool.store.refs("session")) <= set(before)


def test_a_call_that_died_with_its_coordinator_is_closed(wire: WireClient, operation: Put) -> None:
    def die(ctx: Context, *_: Any) -> None:
        ctx.took_effect()
        raise ConnectionDrop

    operation("VM.pool_migrate", die)
    with pytest.raises(http.client.RemoteDisconnected):
        wire.call("VM.pool_migrate", "vm", "host", {})
    (entry,) = _entries(wire, "VM.pool_migrate")
    assert (entry.outcome, entry.effect) == ("closed", True)


def test_an_error_of_the_pool_itself_is_a_page(wire: WireClient, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError("by mistake")

    wire.pool.witness = fail
    body = xmlrpc.client.dumps(({"id": "x"},), "VM.exists").encode()
    reply = wire.post(body, path=f"{PATH}?session_id={wire.session}")
    assert (reply.status, b"by mistake" in reply.body) == (500, True)
    assert _entries(wire, "xenops:VM.exists")[-1].outcome == "http_500"
    assert "KeyError" in capsys.readouterr().err


def test_delays_do_not_change_who_gets_which_identity(make_pool: Callable[..., SimulatedPool]) -> None:
    first, second = (make_pool(start=False, seed=3, start_time=1e9) for _ in range(2))
    first.store.chance.uniform(1.0, 20.0)
    assert first.store.make_uuid() == second.store.make_uuid()
