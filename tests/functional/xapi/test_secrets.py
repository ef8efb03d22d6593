"""Neither the session's reference nor the password comes out: not in logs, errors, their chains, results, repr."""

import traceback
from collections.abc import Callable, Iterator

import pytest

from lmflow.exceptions import LmflowError
from lmflow.models import Host
from lmflow.xapi import async_tasks, reads, witness
from lmflow.xapi.connection import Connection
from tests.support.scripted_host import PASSWORD, SESSION, Act, ScriptedHost, failure, value

MakeHost = Callable[..., ScriptedHost]
Connect = Callable[..., Connection]
SECRETS = (PASSWORD, SESSION, SESSION.partition(":")[2])

ACTS = {
    "its own reference": failure("SESSION_INVALID", SESSION),
    "a text with the reference": failure("INTERNAL_ERROR", f"Failure({SESSION})"),
    "a text with a URL": failure("INTERNAL_ERROR", f"POST /services/xenops?session_id={SESSION}&x=1 {PASSWORD}"[:75]),
    "closed": Act("close"),
    "reset": Act("reset"),
    "HTTP 500": Act("http", "500 Internal Server Error"),
    "cut": Act("cut"),
    "no envelope": Act("bare", SESSION),
    "not XML-RPC": Act("garbage"),
}


def chain(error: BaseException) -> Iterator[BaseException]:
    while True:
        yield error
        following = error.__cause__ or error.__context__
        if following is None:
            return
        error = following


def assert_clean(text: str) -> None:
    for secret in SECRETS:
        assert secret not in text


def assert_no_secret(error: BaseException) -> None:
    assert_clean("".join(traceback.format_exception(error)))
    for linked in chain(error):
        assert_clean(f"{linked!r} {linked.args!r} {vars(linked)!r}")


@pytest.mark.parametrize("what", ACTS)
def test_calls(make_host: MakeHost, connect: Connect, logged: pytest.LogCaptureFixture, what: str) -> None:
    act = ACTS[what]
    host = make_host(
        {
            "VM.get_record": [act],
            "Async.VM.pool_migrate": [act],
            "task.destroy": [act],
            "task.get_by_uuid": [value("OpaqueRef:task")],
            "task.get_record": [value({"uuid": "t", "status": "success"})],
            "session.get_by_uuid": [value("OpaqueRef:other")],
        }
    )
    conn = connect(host)
    seen = [repr(conn)]
    for call in (
        lambda: conn.read("VM.get_record", "OpaqueRef:vm"),
        lambda: (conn.arm(), conn.start("VM.pool_migrate", attempt_id="a")),
        lambda: async_tasks.destroy_task(conn, "t"),
    ):
        try:
            seen.append(repr(call()))
        except LmflowError as error:
            seen.append("raised")
            assert_no_secret(error)
    conn.close()
    assert seen[-3:-1] == ["raised"] * 2  # destroy_task may look and find its record gone
    assert_clean("".join(seen) + logged.text)
    assert "took" in logged.text


@pytest.mark.parametrize("what", ACTS)
def test_login(make_host: MakeHost, logged: pytest.LogCaptureFixture, what: str) -> None:
    for method in ("session.login_with_password", "session.get_uuid"):
        host = make_host({method: [ACTS[what]]})
        try:
            conn = Connection.open(host.profile(), lambda: PASSWORD)
        except LmflowError as error:
            assert_no_secret(error)
        else:
            conn.close()
    assert_clean(logged.text)


@pytest.mark.parametrize("what", [*ACTS, "HTTP 401", "no time"])
def test_witness(make_host: MakeHost, connect: Connect, logged: pytest.LogCaptureFixture, what: str) -> None:
    more = {"HTTP 401": Act("http", "401 Unauthorised"), "no time": Act("hang")}
    host = make_host({"VM.stat": [{**ACTS, **more}[what]]})
    conn = connect(host, read_seconds=2.0 if what == "no time" else 20.0)
    view = witness.ask(conn, Host("h", "xcp-a", host.address, enabled=True, live=True), "0" * 36)
    assert not view.answered
    assert view.reason
    assert_clean(repr(view) + logged.text)
    assert "session_id" not in logged.text


def test_task_errors_hold_no_reference(make_host: MakeHost, connect: Connect) -> None:
    record = {
        "uuid": "t",
        "status": "failure",
        "error_info": ["VM_REQUIRES_SR", "OpaqueRef:vm-1", f"session_id={SESSION}"],
    }
    host = make_host({"task.get_by_uuid": [value("OpaqueRef:18444f57-7ece-1")], "task.get_record": [value(record)]})
    view = async_tasks.find_task(connect(host), task_uuid="t")
    assert view is not None
    assert view.error is not None
    assert "OpaqueRef" not in repr(view)
    assert_clean(repr(view))


def test_models_hold_no_reference(make_host: MakeHost, connect: Connect) -> None:
    record = {"uuid": "v", "name_label": "vm", "power_state": "Running", "resident_on": "OpaqueRef:h"}
    record["current_operations"] = {"OpaqueRef:task": "pool_migrate"}  # type: ignore[assignment]
    host = make_host(
        {
            "VM.get_by_uuid": [value("OpaqueRef:vm")],
            "VM.get_record": [value(record)],
            "host.get_uuid": [value("uuid-of-h")],
        }
    )
    vm = reads.read_vm(connect(host), "v")
    assert vm is not None
    assert (vm.resident_on_uuid, vm.current_operations) == ("uuid-of-h", ("pool_migrate",))
    assert "OpaqueRef" not in repr(vm)
