"""The installed command in all weathers: closed streams, ctrl-C, wrong passwords, broken files."""

import json
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lmflow.cli.main import LmflowApp
from tests.support.pool import SimulatedPool
from tests.support.scene import COMMAND_SECONDS, Scene

Command = Callable[..., CompletedProcess[str]]
Simulator = Callable[..., SimulatedPool]


@pytest.fixture
def here(scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command in this process, for what reads only: it spares the start of an interpreter each time."""
    for name, value in scene.environment().items():
        monkeypatch.setenv(name, value)
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions

    def run(*arguments: str) -> CompletedProcess[str]:
        capsys.readouterr()
        code = LmflowApp().run(list(arguments))
        return CompletedProcess(arguments, code, *capsys.readouterr())

    yield run
    root.handlers[:], root.level, logging.raiseExceptions = handlers, level, raising


def test_streams_that_are_closed_or_broken_do_not_change_what_happens(simulator: Simulator, scene: Scene) -> None:
    pool = simulator()
    closed = scene.popen("migrate", "web-01", "--to", "xcp-b", preexec_fn=lambda: os.closerange(0, 3))
    assert closed.wait(COMMAND_SECONDS) == 0
    assert pool.runs_on("web-01") == ["xcp-b"]
    reader, writer = os.pipe()
    os.close(reader)
    broken = scene.popen("migrate", "web-01", "--to", "xcp-a", stdout=writer, stderr=writer)
    os.close(writer)
    assert broken.wait(COMMAND_SECONDS) == 0
    assert pool.runs_on("web-01") == ["xcp-a"]
    with Path("/dev/full").open("w") as full:
        unwritable = scene.popen("migrate", "web-01", "--to", "xcp-b", "-f", "json", stdout=full)
        assert unwritable.wait(COMMAND_SECONDS) == 0
    assert pool.runs_on("web-01") == ["xcp-b"]
    assert "could not be written" in scene.read_output(unwritable)[1]


def test_an_unknown_column_is_refused_before_anything_is_done(scene: Scene, here: Command) -> None:
    scene.config_file.write_text("no configuration is read either")
    done = here("migrate", "web-01", "--to", "xcp-b", "-f", "json", "-c", "stat")
    assert done.returncode == 2
    assert "state" in done.stderr


def test_stdout_is_data_and_stderr_is_chatter(simulator: Simulator, lmflow: Command, here: Command) -> None:
    simulator()
    done = lmflow("migrate", "web-01", "--to", "xcp-b", "-f", "json", "--request-id", "ticket-1")
    assert done.returncode == 0
    assert "pool_migrate" in done.stderr
    told = json.loads(done.stdout)
    assert (told["vm"], told["state"], told["exit_code"]) == ("web-01", "success", 0)
    again = ("migrate", "web-01", "--to", "xcp-b", "--request-id", "ticket-1")
    for how in ("yaml", "value", "table"):
        same = here("-q", *again, "-f", how)
        assert (same.returncode, same.stderr) == (0, ""), how
        assert told["run"] in same.stdout


def test_debugging_shows_everything_but_secrets(simulator: Simulator, lmflow: Command, scene: Scene) -> None:
    simulator()
    log = scene.directory / "debug.log"
    done = lmflow("--debug", "--log-file", str(log), "migrate", "web-01", "--to", "xcp-b")
    assert done.returncode == 0
    assert "taskflow" in done.stderr
    assert "taskflow" in log.read_text(), "the judge of the scene looks for secrets in it"


def test_ctrl_c_lets_go_and_says_so(simulator: Simulator, lmflow: Command, scene: Scene) -> None:
    pool = simulator("lab", time_scale=30)
    pool.control("POST", "/copy_seconds", {"vm": pool.uuid("VM", "web-01"), "seconds": 300})
    child = scene.popen("migrate", "web-01", "--to", "xcp-b")
    scene.wait_until(lambda: "accepted" in scene.read_output(child)[1])
    child.send_signal(signal.SIGINT)
    assert child.wait(COMMAND_SECONDS) == 130
    told = scene.read_output(child)[1]
    assert "resumable" in told
    assert "lmflow resume" in told
    assert "Traceback" not in told
    assert lmflow("resume").returncode == 0
    assert pool.runs_on("web-01") == ["xcp-b"]
    assert len(pool.effects()) == 1


def test_a_wrong_password_is_exit_9_with_what_was_tried(simulator: Simulator, here: Command, scene: Scene) -> None:
    pool = simulator()
    pool.password_file.write_text("not-it\n")
    done = here("migrate", "web-01", "--to", "xcp-b")
    assert done.returncode == 9
    assert "127.0.0.1: SESSION_AUTHENTICATION_FAILED" in done.stderr
    assert "not-it" not in done.stderr
    assert scene.runs() == []


def test_a_pool_that_does_not_answer_is_exit_9_with_what_was_tried(simulator: Simulator, here: Command) -> None:
    pool = simulator()
    pool.stop()
    done = here("migrate", "web-01", "--to", "xcp-b")
    assert done.returncode == 9
    assert "127.0.0.1" in done.stderr
    assert "127.0.0.2" in done.stderr


BROKEN = (
    "[pool:lab]\nadresses = x\n",
    "no section\n",
    "[pool:lab]\nport = many\naddresses = x\n",
)


@pytest.mark.parametrize("broken", BROKEN, ids=["misspelt", "no section", "no number"])
def test_a_broken_configuration_is_exit_2_with_the_remedy(scene: Scene, here: Command, broken: str) -> None:
    scene.config_file.write_text(broken)
    done = here("status")
    assert done.returncode == 2
    assert "try: " in done.stderr
    assert "Traceback" not in done.stderr


def test_graph_needs_neither_configuration_nor_database(scene: Scene, here: Command) -> None:
    scene.config_file.write_text("broken")
    done = here("graph", "move", "--ascii")
    assert done.returncode == 0, done.stderr
    golden = Path(__file__).parents[1] / "data" / "pictures" / "move.ascii.txt"
    assert done.stdout == golden.read_text()


def test_a_run_can_be_drawn_listed_shown_and_explained(simulator: Simulator, lmflow: Command, here: Command) -> None:
    simulator()
    lmflow("migrate", "web-01", "--to", "xcp-b", "--request-id", "ticket-1", "--reason", "a test")

    def read(*command: str) -> Any:
        return json.loads(here(*command, "-f", "json").stdout)

    text = here("graph", "ticket-1").stdout
    assert "await_pool_migrate" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "flowchart TD" in here("graph", "ticket-1", "--format", "mermaid").stdout
    assert {node["state"] for node in read("graph", "ticket-1")["nodes"]} == {"SUCCESS"}
    assert [run["request_id"] for run in read("run", "list", "--all")] == ["ticket-1"]
    assert "| web-01 |" in here("run", "list", "--all").stdout
    shown = read("run", "show", "ticket-1")
    assert (shown["reason"], shown["state"]) == ("a test", "success")
    assert {event["kind"] for event in shown["events"]} >= {"atom", "state"}
    assert "a test" in here("run", "show", "ticket-1").stdout
    assert read("why", "ticket-1")["state"] == "success"
    assert read("status") == []
    for _ in range(2):
        upgraded = here("db", "upgrade")
        assert upgraded.returncode == 0, upgraded.stderr
        assert "version" in upgraded.stderr


def test_the_simulator_command_serves_until_told_to_stop(scene: Scene, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    child = scene.popen("simulator", "--world", "lab", "--ready-file", str(ready))
    scene.wait_until(ready.exists)
    assert json.loads(ready.read_text())["pid"] == child.pid
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0


def test_a_terminal_sees_a_bar(simulator: Simulator, scene: Scene) -> None:
    simulator()
    primary, secondary = os.openpty()
    command = ["migrate", "web-01", "--to", "xcp-b"]
    child = scene.popen(*command, stderr=secondary, env={"TERM": "xterm"})
    os.close(secondary)
    shown = b""
    while chunk := _read(primary):
        shown += chunk
    os.close(primary)
    assert child.wait(COMMAND_SECONDS) == 0
    assert b"\x1b[" in shown
    assert b"await_pool_migrate" in shown


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""
