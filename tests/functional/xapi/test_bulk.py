"""Whole classes come over JSON-RPC where the server offers it, else over the SDK, and give the same models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmflow.exceptions import UnreachableError, XapiFailureError
from lmflow.models import PoolProfile
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import pooldb, world
from lmflow.xapi import bulk, reads
from lmflow.xapi.connection import Connection
from lmflow.xapi.overview import read_overview
from lmflow.xapi.sdk import OneShotSession
from tests.support.bulk import MAKE
from tests.support.real_databases import DATABASES
from tests.support.recorded import trace
from tests.support.scripted_host import JSON_PATH, PASSWORD, SESSION, Act, ScriptedHost, failure, value

MakeHost = Callable[..., ScriptedHost]
Connect = Callable[..., Connection]
LOGIN = "session.login_with_password"
READ = "SR.get_all_records"
SRS = {"OpaqueRef:sr": {"uuid": "sr", "size": 7}}
WORLDS = ["lab", "trouble", *DATABASES]

LOSSES = {
    "session": failure("SESSION_INVALID", SESSION),
    "emergency": failure("HOST_STILL_BOOTING"),
    "closed": Act("close"),
    "reset": Act("reset"),
    "cut": Act("cut"),
}
REFUSALS = {
    "404": Act("http", "404 Not Found"),
    "as XAPI does with what is not XML": Act("http", "500 Internal Server Error"),
    "a page": Act("garbage"),
    "nothing": Act("empty"),
    "XML-RPC": Act("fault"),
    "JSON-RPC of another kind": Act("bare", {"jsonrpc": "1.0", "result": SRS}),
    "another call's reply": Act("bare", {"id": 2, "result": SRS}),
    "neither result nor error": Act("bare", {}),
    "an error without a code": Act("bare", {"error": {"code": 1, "data": []}}),
}


def paths(host: ScriptedHost, method: str = READ) -> list[str]:
    return [request.path for request in host.requests if request.method == method]


@pytest.fixture(params=WORLDS, ids=lambda which: Path(str(which)).name.partition(".")[0])
def profile(request: pytest.FixtureRequest) -> Iterator[PoolProfile]:
    which = request.param
    described = pooldb.load(which) if isinstance(which, Path) else world.find(which)
    with SimulatedPool(Options(time_scale=1.0, password=PASSWORD), world=described) as pool:
        yield PoolProfile("p", (pool.sessions.coordinator_address(),), scheme="http", port=pool.server.port)


def log_in(profile: PoolProfile) -> Connection:
    return Connection.open(profile, lambda: PASSWORD)


def test_every_class_gives_the_same_models(profile: PoolProfile) -> None:
    session = OneShotSession(profile, profile.addresses[0])
    session.login_with_password("root", PASSWORD, "1.0", "test")
    reader = bulk.BulkReader()
    numbers = 0
    hosts: dict[str, Any] = session.xenapi_request("host.get_all_records", ())
    uuids = {ref: record["uuid"] for ref, record in hosts.items()}
    for cls, make in MAKE.items():
        by_sdk = session.xenapi_request(f"{cls}.get_all_records", ())
        by_json = reader.read(session, f"{cls}.get_all_records", ())
        assert list(by_json) == list(by_sdk)
        for ref, record in by_json.items():
            numbers += sum(type(field) is int for field in record.values())
            assert make(record, uuids) == make(by_sdk[ref], uuids), (cls, record["uuid"])
    assert numbers  # the SDK gives none
    session.close()


def test_the_whole_pool_gives_the_same_overview(profile: PoolProfile, monkeypatch: pytest.MonkeyPatch) -> None:
    with log_in(profile) as conn:
        uuids = sorted(record["uuid"] for record in conn.read("VM.get_all_records").values())
        by_json = read_overview(conn, uuids, now=0.0)
        listed = reads.list_vms(conn)
    monkeypatch.setattr(bulk, "PATH", "/json")  # where XAPI has no JSON-RPC
    with log_in(profile) as conn:
        assert read_overview(conn, uuids, now=0.0) == by_json
        assert reads.list_vms(conn) == listed
    assert by_json.vms


def test_as_a_real_pool_was_seen_to_answer() -> None:
    """One record of a real pool was recorded in both encodings at one moment."""
    by_label = {item.label: item for item in trace.requests("02")}
    by_json = next(item for label, item in by_label.items() if label.startswith("json2 host_metrics.get_record"))
    found = bulk._parse(by_json.data["response"]["body"].encode())
    assert found is not None
    by_sdk = next(
        item.data["parsed"]["Value"]
        for item in by_label.values()
        if item.method == "host_metrics.get_record" and item.body.startswith("<")
    )
    make = MAKE["host_metrics"]
    assert found["Value"]["memory_total"] == 17179869184
    assert make(found["Value"], {}) == make(by_sdk, {})
    refused = bulk._parse(by_label["json2 bad ref"].data["response"]["body"].encode())
    assert refused == {"Status": "Failure", "ErrorDescription": ["HANDLE_INVALID", "VM", "OpaqueRef:dead"]}


def test_one_session_and_one_connection(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({READ: [value(SRS)], "VM.get_power_state": [value("Running")]})
    conn = connect(host)
    before = host.connections
    for _ in range(2):
        assert conn.read(READ) == SRS
        assert conn.read("VM.get_power_state", "OpaqueRef:vm") == "Running"
    assert paths(host) == [JSON_PATH] * 2
    assert JSON_PATH not in paths(host, "VM.get_power_state")
    assert [request.params for request in host.requests if request.method == READ] == [(SESSION,)] * 2
    assert (host.count(LOGIN), host.connections) == (1, before)


@pytest.mark.parametrize("what", REFUSALS)
def test_the_sdk_reads_where_there_is_no_json(make_host: MakeHost, connect: Connect, what: str) -> None:
    host = make_host({READ: [value({})]}, json_refusal=REFUSALS[what])
    conn = connect(host)
    for _ in range(3):
        assert conn.read(READ) == {}
    assert [path == JSON_PATH for path in paths(host)] == [True, False, False, False]
    assert host.count(LOGIN) == 1


def test_a_refusal_is_not_remembered_before_the_sdk_was_answered(make_host: MakeHost, connect: Connect) -> None:
    """HTTP 500 to both is a server in trouble, not one without JSON-RPC."""
    trouble = Act("http", "500 Internal Server Error")
    host = make_host({READ: [trouble, trouble, value({})]})
    conn = connect(host)
    assert conn.read(READ) == {}
    assert [path == JSON_PATH for path in paths(host)] == [True, False, True]
    assert host.count(LOGIN) == 2


@pytest.mark.parametrize("what", [*LOSSES, "HTTP 500"])
def test_one_new_login_then_the_read_again(make_host: MakeHost, connect: Connect, what: str) -> None:
    loss = LOSSES.get(what, Act("http", "500 Internal Server Error"))
    host = make_host({READ: [value({}), loss, value(SRS)]})
    conn = connect(host)
    conn.read(READ)
    assert conn.read(READ) == SRS
    assert paths(host) == [JSON_PATH] * 3
    assert host.count(LOGIN) == 2


def test_two_losses_are_unreachable(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({READ: [Act("close")]})
    with pytest.raises(UnreachableError):
        connect(host).read(READ)
    assert (host.count(LOGIN), host.count(READ)) == (2, 2)


def test_no_reply_in_time_is_a_loss(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({READ: [Act("hang"), value(SRS)]})
    assert connect(host, read_seconds=0.2).read(READ) == SRS
    assert host.count(LOGIN) == 2


def test_failures_are_xapis_and_hold_no_secret(
    make_host: MakeHost, connect: Connect, logged: pytest.LogCaptureFixture
) -> None:
    said = failure("INTERNAL_ERROR", f"Failure({SESSION})", f"session_id={SESSION}&x", "OpaqueRef:other")
    host = make_host({READ: [said]})
    with pytest.raises(XapiFailureError) as caught:
        connect(host).read(READ)
    assert caught.value.xapi_code == "INTERNAL_ERROR"
    assert paths(host) == [JSON_PATH]
    for text in (str(caught.value), repr(caught.value.xapi_params), logged.text):
        assert not re.search(rf"{SESSION}|{PASSWORD}|OpaqueRef", text)
    assert f"{READ} took" in logged.text


def test_only_calls_that_read_go_over_it() -> None:
    messages = [m for cls in Schema.load().classes.values() for m in cls.messages.values()]
    fitting = [m.wire_name for m in messages if bulk.is_bulk(m.wire_name)]
    assert {name.rpartition(".")[2] for name in fitting} == {"get_all_records", "get_all_records_where", "from"}
    assert not any(bulk.is_bulk(f"Async.{message.wire_name}") for message in messages)


@pytest.mark.parametrize(
    "method", ["VM.pool_migrate", "Async.VM.pool_migrate", "VM.destroy", f"{READ}\n", "VM.get_all"]
)
def test_a_changing_call_is_not_sent(make_host: MakeHost, method: str) -> None:
    host = make_host()
    with pytest.raises(ValueError, match="no bulk read"):
        bulk.BulkReader().read(OneShotSession(host.profile(), host.address), method, ())
    assert host.connections == 0
