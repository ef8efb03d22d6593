"""Whatever the other side does to a changing call, exactly one request is on the wire."""

import socket
import threading
from collections.abc import Callable

import pytest

from lmflow.exceptions import NoReplyError, SessionNotArmedError, UnreachableError, XapiFailureError
from lmflow.models import MoveOptions
from lmflow.xapi import changes
from lmflow.xapi.connection import ATTEMPT_HEADER, Connection
from tests.support.scripted_host import SESSION, TASK, Act, ScriptedHost, failure, value

VM_UUID = "0df1d4c4-7a92-401f-b74a-9edebf43e344"
HOST_UUID = "3aff166f-96e6-4dd5-93fc-96b1f45aeb00"
CALL = "Async.VM.pool_migrate"

MakeHost = Callable[..., ScriptedHost]
Connect = Callable[..., Connection]

LOST = {
    "closed without a reply": Act("close"),
    "reset": Act("reset"),
    "reply cut short": Act("cut"),
    "HTTP 500": Act("http", "500 Internal Server Error"),
    "HTTP 502": Act("http", "502 Bad Gateway"),
    "HTTP 503": Act("http", "503 Service Unavailable"),
    "not XML-RPC": Act("garbage"),
    "empty": Act("empty"),
    "an XML-RPC fault": Act("fault"),
    "no envelope": Act("bare", ["system.listMethods"]),
    "an envelope without its value": Act("bare", {"Status": "Success"}),
    "no time": Act("hang"),
    "no task": value("DummyRef:|1|Async.VM.pool_migrate"),
}


def script(act: Act) -> dict[str, list[Act]]:
    """The act befalls the first delivery; a second one would be answered well, as a real pool would."""
    return {
        "VM.get_by_uuid": [value("OpaqueRef:vm")],
        "host.get_by_uuid": [value("OpaqueRef:host")],
        CALL: [act, value(TASK)],
        "task.get_uuid": [value("7a5c0000-0000-4000-8000-000000000001")],
    }


def migrate(conn: Connection) -> object:
    return changes.migrate_vm(
        conn, vm_uuid=VM_UUID, destination_uuid=HOST_UUID, attempt_id="attempt-1", options=MoveOptions()
    )


@pytest.mark.parametrize("what", LOST)
def test_lost_reply_is_unknown_and_never_sent_again(make_host: MakeHost, connect: Connect, what: str) -> None:
    host = make_host(script(LOST[what]))
    conn = connect(host, read_seconds=2.0 if what == "no time" else 20.0)
    conn.arm()
    with pytest.raises(NoReplyError) as caught:
        migrate(conn)
    assert caught.value.call == CALL
    assert host.count(CALL) == 1
    assert host.count("session.login_with_password") == 1


@pytest.mark.parametrize(
    "details",
    [
        ("SESSION_INVALID", SESSION),
        ("HOST_IS_SLAVE", "127.0.0.1"),
        ("HOST_STILL_BOOTING",),
        ("MESSAGE_METHOD_UNKNOWN", "VM.pool_migrate"),
    ],
)
def test_refusal_is_passed_on_and_never_sent_again(make_host: MakeHost, connect: Connect, details: tuple[str]) -> None:
    host = make_host(script(failure(*details)))
    conn = connect(host)
    conn.arm()
    with pytest.raises(XapiFailureError) as caught:
        migrate(conn)
    assert caught.value.xapi_code == details[0]
    assert SESSION not in str(caught.value)
    assert host.count(CALL) == 1
    assert host.count("session.login_with_password") == 1


def test_a_dead_session_is_disarmed(make_host: MakeHost, connect: Connect) -> None:
    conn = connect(make_host(script(failure("SESSION_INVALID", SESSION))))
    conn.arm()
    with pytest.raises(XapiFailureError):
        migrate(conn)
    assert not conn.armed


def test_accepted(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(script(value(TASK)))
    conn = connect(host)
    conn.arm()
    started = changes.migrate_vm(
        conn, vm_uuid=VM_UUID, destination_uuid=HOST_UUID, attempt_id="attempt-1", options=MoveOptions()
    )
    assert (started.task_uuid, started.ref_digits) == ("7a5c0000-0000-4000-8000-000000000001", "18444f577ece")
    (request,) = (r for r in host.requests if r.method == CALL)
    assert request.params == (SESSION, "OpaqueRef:vm", "OpaqueRef:host", {"live": "true"})
    assert request.headers[ATTEMPT_HEADER.lower()] == "attempt-1"
    assert not any(ATTEMPT_HEADER.lower() in r.headers for r in host.requests if r.method != CALL)


@pytest.mark.parametrize("act", [Act("close"), failure("HANDLE_INVALID", "task", TASK)])
def test_accepted_is_not_forgotten_when_the_uuid_cannot_be_read(
    make_host: MakeHost, connect: Connect, act: Act
) -> None:
    host = make_host({**script(value(TASK)), "task.get_uuid": [act]})
    conn = connect(host)
    conn.arm()
    started = changes.migrate_vm(
        conn, vm_uuid=VM_UUID, destination_uuid=HOST_UUID, attempt_id="attempt-1", options=MoveOptions()
    )
    assert (started.task_uuid, started.ref_digits) == ("", "18444f577ece")
    assert host.count(CALL) == 1


def test_unarmed_sends_nothing(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(script(value(TASK)))
    with pytest.raises(SessionNotArmedError):
        migrate(connect(host))
    assert host.count(CALL) == 0


def test_new_login_disarms(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({**script(value(TASK)), "VM.get_uuid": [failure("SESSION_INVALID", SESSION), value("x")]})
    conn = connect(host)
    conn.arm()
    assert conn.read("VM.get_uuid", "OpaqueRef:vm") == "x"
    assert not conn.armed
    with pytest.raises(SessionNotArmedError):
        migrate(conn)
    assert host.count(CALL) == 0


def test_refused_connection_means_not_sent(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(script(value(TASK)))
    conn = connect(host)
    conn.arm()
    host.stop()
    with pytest.raises(UnreachableError) as caught:
        conn.start("VM.pool_migrate", "OpaqueRef:vm", "OpaqueRef:host", {}, attempt_id="attempt-1")
    assert caught.value.tried
    assert host.count(CALL) == 0


def test_changing_call_goes_over_the_connection_of_all_calls(make_host: MakeHost, connect: Connect) -> None:
    host = make_host(script(value(TASK)))
    conn = connect(host)
    conn.arm()
    before = host.connections
    conn.start("VM.pool_migrate", "OpaqueRef:vm", "OpaqueRef:host", {}, attempt_id="attempt-1")
    assert host.connections == before == 1


def test_changing_call_is_not_sent_into_a_connection_that_the_host_has_closed(
    make_host: MakeHost, connect: Connect
) -> None:
    host = make_host({**script(value(TASK)), "VM.get_uuid": [Act("drop", "x")]})
    conn = connect(host)
    conn.arm()
    conn.read("VM.get_uuid", "OpaqueRef:vm")
    host.wait_until_closed()
    before = host.connections
    assert conn.start("VM.pool_migrate", "OpaqueRef:vm", "OpaqueRef:host", {}, attempt_id="attempt-1") == TASK
    assert (host.count(CALL), host.connections) == (1, before + 1)


@pytest.mark.parametrize("attempt_id", ["", "a\r\nX-Evil: 1", "a b"])
def test_attempt_id_cannot_break_the_header(make_host: MakeHost, connect: Connect, attempt_id: str) -> None:
    conn = connect(make_host())
    conn.arm()
    with pytest.raises(ValueError, match="attempt id"):
        conn.start("VM.pool_migrate", attempt_id=attempt_id)


def test_read_refuses_changing_methods(make_host: MakeHost, connect: Connect) -> None:
    host = make_host()
    conn = connect(host)
    for method in ("VM.pool_migrate", "Async.VM.pool_migrate", "task.cancel", "VM.start", "session.logout"):
        with pytest.raises(ValueError, match="no reading call"):
            conn.read(method)
    assert set(host.methods()) == {"session.login_with_password", "session.get_uuid", "pool.get_all", "pool.get_uuid"}


def test_a_silent_listener_does_not_block_for_ever() -> None:
    """The kernel accepts for a listener that never does; the read time-out ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = ScriptedHost()
        conn = Connection.open(host.profile(read_seconds=2.0), lambda: "x")
        conn.arm()
        conn.link.session.close()  # the next call has to connect
        object.__setattr__(conn.profile, "port", listener.getsockname()[1])
        done: list[type[BaseException]] = []

        def send() -> None:
            try:
                conn.start("VM.pool_migrate", attempt_id="a")
            except NoReplyError as error:
                done.append(type(error))

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        thread.join(20)
        assert done == [NoReplyError]
        host.stop()
        conn.close()
