"""Listeners go and come back; many clients at once; HTTPS."""

import hashlib
import http.client
import socket
import ssl
import threading
import xmlrpc.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmflow.simulator.context import Context
from lmflow.simulator.pool import SimulatedPool
from tests.support.wire import WireClient, in_background, wait_until_asked


def test_every_host_listens_on_the_same_port(wire: WireClient) -> None:
    for address in ("127.0.0.1", "127.0.0.2"):
        socket.create_connection((address, wire.port), timeout=10).close()


def test_a_listener_that_is_down_refuses_and_keeps_its_port(wire: WireClient) -> None:
    host = wire.ref("host", "h1")
    for _ in range(3):
        wire.pool.server.take_down(host)
        assert not wire.pool.server.is_up(host)
        with pytest.raises(ConnectionRefusedError):
            wire.call("VM.get_all")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", wire.port))
        assert wire.raw("VM.get_all", wire.session, address="127.0.0.2").failure[0] == "HOST_IS_SLAVE"
        wire.pool.server.bring_up(host)
        assert wire.call("VM.get_all")


def test_a_call_under_way_gets_no_reply_when_its_listener_goes(
    wire: WireClient, operation: Callable[..., None]
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(ctx: Context, *_: object) -> None:
        entered.set()
        leave.wait(10)

    operation("VM.pool_migrate", wait)
    with in_background(lambda: wire.call("VM.pool_migrate", "v", "h", {})) as call:
        assert entered.wait(10)
        wire.pool.server.take_down(wire.ref("host", "h1"))
    leave.set()
    assert isinstance(call.error, http.client.RemoteDisconnected)


def test_an_idle_connection_is_closed_when_its_listener_goes(wire: WireClient) -> None:
    with socket.create_connection(("127.0.0.1", wire.port), timeout=10) as connection:
        body = xmlrpc.client.dumps((wire.session,), "VM.get_all").encode()
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.recv(65536)
        wire.pool.server.take_down(wire.ref("host", "h1"))
        assert connection.recv(1) == b""


def test_fifty_clients_at_once_get_their_own_answers(wire: WireClient) -> None:
    store = wire.pool.store
    names = [f"vm-{number}" for number in range(50)]
    refs = [store.create("VM", {"name_label": name}) for name in names]
    start = threading.Barrier(50)

    def read(index: int) -> set[str]:
        start.wait(20)
        found = set()
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{wire.port}") as proxy:
            for _ in range(10):
                reply = proxy.VM.get_record(wire.session, refs[index])
                assert isinstance(reply, dict)
                found.add(reply["Value"]["name_label"])
        return found

    with ThreadPoolExecutor(50) as executor:
        assert list(executor.map(read, range(50))) == [{name} for name in names]


def test_one_of_many_gets_the_key(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")

    def add(number: int) -> bool:
        reply = wire.raw("VM.add_to_other_config", wire.session, vm, "lock", str(number))
        return bool(reply.parsed["Status"] == "Success")

    with ThreadPoolExecutor(20) as executor:
        assert sum(executor.map(add, range(20))) == 1


def test_many_wait_for_events_and_all_are_woken(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm")
    token = wire.events(["vm"])["token"]
    with ThreadPoolExecutor(30) as executor:
        waiting = [executor.submit(wire.events, [f"vm/{vm}"], token, 1e6) for _ in range(30)]
        wait_until_asked(wire.pool, "event.from", 31)
        wire.call("VM.set_name_description", vm, "x")
        assert [len(call.result(30)["events"]) for call in waiting] == [1] * 30


def _read_over(port: int, address: str, context: ssl.SSLContext) -> bytes:
    connection = http.client.HTTPSConnection(address, port, timeout=10, context=context)
    connection.request("POST", "/", xmlrpc.client.dumps((), "system.listMethods"))
    body = connection.getresponse().read()
    connection.close()
    return body


def test_each_host_has_a_certificate_of_its_own(make_pool: Callable[..., SimulatedPool]) -> None:
    pool = make_pool(https=True)
    told = pool.describe()
    assert told["scheme"] == "https"
    assert told["certificate_sha256"]["h1"] != told["certificate_sha256"]["h2"]
    for name, address in told["hosts"].items():
        pem = ssl.get_server_certificate((address, told["port"]), timeout=10)
        found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        assert found == told["certificate_sha256"][name]
        trusting = ssl.create_default_context(cadata=pem)
        assert b"VM.pool_migrate" in _read_over(told["port"], address, trusting)


def test_nobody_trusts_a_self_signed_certificate_by_default(make_pool: Callable[..., SimulatedPool]) -> None:
    port = make_pool(https=True).server.port
    with pytest.raises(ssl.SSLCertVerificationError):
        _read_over(port, "127.0.0.1", ssl.create_default_context())


def test_a_certificate_may_come_from_a_ca(make_pool: Callable[..., SimulatedPool]) -> None:
    told = make_pool(https_ca=True).describe()
    context = ssl.create_default_context(cafile=told["ca_file"])
    for address in told["hosts"].values():
        assert b"VM.pool_migrate" in _read_over(told["port"], address, context)


def test_a_connection_that_speaks_no_tls_is_closed(make_pool: Callable[..., SimulatedPool]) -> None:
    wire = WireClient(make_pool(https=True))
    with pytest.raises((http.client.RemoteDisconnected, http.client.BadStatusLine, ConnectionResetError)):
        wire.raw("system.listMethods")


def test_https_listeners_go_and_come_back_too(make_pool: Callable[..., SimulatedPool]) -> None:
    pool = make_pool(https_ca=True)
    told = pool.describe()
    context = ssl.create_default_context(cafile=told["ca_file"])
    (host,) = pool.store.find("host", name_label="h1")
    raw = socket.create_connection(("127.0.0.1", told["port"]), timeout=10)
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")
        assert b"500" in connection.recv(65536)
    pool.server.take_down(host)
    with pytest.raises(ConnectionRefusedError):
        _read_over(told["port"], "127.0.0.1", context)
    pool.server.bring_up(host)
    assert _read_over(told["port"], "127.0.0.1", context)
