"""The control channel, and the simulator as a process of its own."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmflow.simulator.kernel import Kernel
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.registry import ROUTES
from tests.support.wire import WireClient, in_background


def _ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, None if body is None else json.dumps(body))
    reply = connection.getresponse()
    found = reply.status, json.loads(reply.read())
    connection.close()
    return found


@pytest.fixture
def wire(make_pool: Callable[..., SimulatedPool]) -> WireClient:
    client = WireClient(make_pool(control=True))
    client.login()
    return client


@pytest.fixture
def control(wire: WireClient) -> Callable[..., Any]:
    def ask(method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        found, value = _ask(wire.pool.control.port, method, path, body)
        assert found == status, value
        return value

    return ask


def test_the_audit_log_has_its_columns(wire: WireClient, control: Callable[..., Any]) -> None:
    wire.call("VM.get_all")
    login, read = control("GET", "/audit")
    columns = {"seq", "at", "host", "method", "params", "session", "task", "effect", "outcome"}
    assert set(read) == columns
    assert (read["method"], read["params"], read["effect"]) == ("VM.get_all", ["SESSION"], False)
    assert (login["method"], login["params"][1]) == ("session.login_with_password", "PASSWORD")


def test_the_state_holds_every_object_and_no_session_reference(wire: WireClient, control: Callable[..., Any]) -> None:
    state = control("GET", "/state")
    assert state["VM"][wire.ref("VM", "vm")]["name_label"] == "vm"
    assert "real" in state
    assert wire.session not in json.dumps(state)
    assert len(state["session"]) == 1


def test_faults_are_set_and_shown(wire: WireClient, control: Callable[..., Any]) -> None:
    control("POST", "/faults", {"call": "VM.get_all", "kind": "http_500", "nth": 2})
    assert [fault["kind"] for fault in control("GET", "/faults")] == ["http_500"]
    wire.call("VM.get_all")
    assert wire.raw("VM.get_all", wire.session).status == 500
    assert control("GET", "/faults") == []


def test_a_fault_can_be_for_one_host_and_be_dropped(wire: WireClient, control: Callable[..., Any]) -> None:
    fault = control("POST", "/faults", {"call": "*", "kind": "http_503", "host": "h2", "nth": 1})
    assert fault["host"] == wire.ref("host", "h2")
    wire.call("VM.get_all")
    assert wire.raw("VM.get_all", wire.session, address="127.0.0.2").status == 503
    control("POST", "/faults", {"call": "*", "kind": "http_503"})
    assert control("DELETE", "/faults") == {"dropped": 1}
    wire.call("VM.get_all")


@pytest.mark.parametrize(
    "wrong",
    [{"nth": 0}, {"seconds": -1}, {"progress": 2}, {"progress": "half"}, {"host": "h9"}, {"colour": "red"}],
    ids=str,
)
def test_a_fault_that_makes_no_sense_is_refused(control: Callable[..., Any], wrong: dict[str, Any]) -> None:
    control("POST", "/faults", {"call": "VM.get_all", "kind": "delay", **wrong}, status=400)
    assert control("GET", "/faults") == []


def test_a_hold_can_be_for_one_host(wire: WireClient, control: Callable[..., Any]) -> None:
    control("POST", "/hold", {"call": "VM.get_all", "point": "request_read", "host": "h2"})
    wire.call("VM.get_all")
    assert control("GET", "/hold")[0]["reached"] is False
    control("POST", "/hold", {"call": "VM.get_all", "point": "request_read", "where": "h2"}, status=400)


def test_a_hold_is_set_watched_and_released(wire: WireClient, control: Callable[..., Any]) -> None:
    control("POST", "/hold", {"call": "VM.get_all", "point": "reply_written", "nth": 1})
    with in_background(lambda: wire.call("VM.get_all")) as call:
        limit = time.monotonic() + 10
        while not control("GET", "/hold")[0]["reached"]:
            assert time.monotonic() < limit
        assert call.is_running
        assert control("POST", "/release") == {"released": 1}
    assert call.result == [wire.ref("VM", "vm")]


def test_what_is_wrong_is_told(control: Callable[..., Any]) -> None:
    assert "kind" in control("POST", "/faults", {"call": "x"}, status=400)["error"]
    assert "explode" in control("POST", "/faults", {"call": "x", "kind": "explode"}, status=400)["error"]
    assert control("GET", "/nosuch", status=404)
    assert control("POST", "/load", {"format": "?"}, status=400)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", "[]"),
        ("/toolstack", "[]"),
        ("/faults", '{"call": "x", "kind": "delay", "seconds": NaN}'),
        ("/faults", '{"call": "x", "kind": "delay", "seconds": 1e999}'),
        ("/faults", '{"call": "x", "kind": "delay", "seconds": 1' + "0" * 400 + "}"),
        ("/copy_seconds", '{"vm": "x", "seconds": NaN}'),
        ("/faults", "[" * 100_000),
    ],
)
def test_a_body_that_cannot_be_is_refused(
    wire: WireClient, path: str, body: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", wire.pool.control.port, timeout=30)
    connection.request("POST", path, body)
    assert connection.getresponse().status == 400
    connection.close()
    assert capsys.readouterr().err == ""


def test_a_client_that_goes_away_leaves_no_traceback(wire: WireClient, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(threading.enumerate())
    client = socket.create_connection(("127.0.0.1", wire.pool.control.port))
    client.sendall(b"GET /hold HTTP/1.1\r\nHost: pool\r\n\r\n")
    assert client.recv(1) == b"H"
    (served,) = [each for each in set(threading.enumerate()) - before if "process_request" in each.name]
    client.close()  # with the rest of the answer unread: the kernel answers for it with a reset
    served.join(10)
    assert not served.is_alive()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("length", ["abc", "-1", "9" * 30])
def test_a_length_that_is_none_is_refused(wire: WireClient, length: str, capsys: pytest.CaptureFixture[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", wire.pool.control.port, timeout=30)
    connection.request("POST", "/faults", headers={"content-length": length})
    assert connection.getresponse().status == 400
    connection.close()
    assert capsys.readouterr().err == ""


def test_a_state_is_dumped_and_loaded(wire: WireClient, control: Callable[..., Any], tmp_path: Path) -> None:
    vm = wire.ref("VM", "vm")
    file = str(tmp_path / "state.json")
    control("POST", "/dump", {"file": file})
    wire.call("VM.set_name_label", vm, "other")
    control("POST", "/load", {"file": file})
    assert wire.call("VM.get_name_label", vm) == "vm"
    state = control("POST", "/dump", {})
    assert set(state["store"]["objects"]) == {"VM", "host", "pool"}
    control("POST", "/load", state)
    assert wire.call("VM.get_all") == [vm]


def test_a_part_can_add_a_route(control: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(kernel: Kernel, body: dict[str, Any]) -> Any:
        return {"host": kernel.find_host(body["host"])}

    monkeypatch.setitem(ROUTES, ("POST", "/where"), answer)
    assert control("POST", "/where", {"host": "h1"})["host"].startswith("OpaqueRef:")
    assert "no host" in control("POST", "/where", {"host": "h9"}, status=400)["error"]


# -- as a process


class Process:
    """A simulator that was started; ``ready`` is its ready file."""

    def __init__(self, folder: Path, *options: str, control: bool = True) -> None:
        self.file = folder / "ready.json"
        self.file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "lmflow.simulator", "--world", "lab", "--ready-file", str(self.file)]
        command += ["--control-port", "0"] if control else []
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE)
        limit = time.monotonic() + 60
        while not self.file.exists():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < limit, "did not come up"
            time.sleep(0.01)
        self.ready = json.loads(self.file.read_text("utf-8"))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        status, value = _ask(self.ready["control_port"], method, path, body)
        assert status == 200, value
        return value

    def end(self) -> int:
        """Wait for the end; gives the exit code."""
        code = self.process.wait(30)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def make(*options: str, control: bool = True) -> Process:
        made.append(Process(tmp_path, *options, control=control))
        return made[-1]

    yield make
    for process in made:
        if process.process.poll() is None:
            process.process.terminate()
            process.end()


def test_the_ready_file_says_how_to_reach_the_pool(start: Callable[..., Process]) -> None:
    process = start("--time-scale", "50")
    ready = process.ready
    assert set(ready) == {
        "pid",
        "port",
        "control_port",
        "scheme",
        "coordinator",
        "hosts",
        "username",
        "password",
        "time_scale",
        "certificate_sha256",
        "ca_file",
    }
    assert (ready["pid"], ready["scheme"], ready["coordinator"]) == (process.process.pid, "http", "127.0.0.1")
    assert ready["hosts"] == {"xcp-a": "127.0.0.1", "xcp-b": "127.0.0.2", "xcp-c": "127.0.0.3"}
    assert ready["time_scale"] == 50.0
    assert len(process.ask("GET", "/state")["host"]) == 3
    process.ask("POST", "/stop")
    assert process.end() == 0


def test_the_state_file_outlives_the_process(start: Callable[..., Process], tmp_path: Path) -> None:
    state = str(tmp_path / "state.json")
    first = start("--state", state)
    before = first.ask("GET", "/state")
    first.process.send_signal(signal.SIGTERM)
    assert first.end() == 0
    second = start("--state", state)
    after = second.ask("GET", "/state")
    assert after["VM"] == before["VM"]
    assert after["real"] == before["real"]


def test_it_ends_when_nobody_asks_anything(start: Callable[..., Process]) -> None:
    assert start("--idle-exit", "0.1").end() == 0


def test_a_world_that_cannot_be_is_refused_in_words(tmp_path: Path) -> None:
    world = tmp_path / "world.json"
    world.write_text('{"hosts": []}', "utf-8")
    command = [sys.executable, "-m", "lmflow.simulator", "--world", str(world)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("no such pool can be: ")
    assert "Traceback" not in done.stderr


def test_the_control_channel_is_closed_unless_it_is_asked_for(start: Callable[..., Process]) -> None:
    process = start(control=False)
    assert process.ready["control_port"] == 0
    process.process.send_signal(signal.SIGTERM)
    assert process.end() == 0
