"""Where a command works: the configuration, else a live demo, else nowhere; and whom a password is asked of."""

import io
import json
import os
import pathlib
import subprocess
import sys

import pytest

from lmflow.cli import demo, demo_pool, door
from lmflow.cli.main import LmflowApp
from lmflow.exceptions import ConfigurationError
from lmflow.models import Waits

CONFIG = """
[pool:office]
addresses = 192.0.2.1
password_env = OFFICE_PASSWORD
"""


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("LMFLOW_CONFIG_FILE", raising=False)
    return tmp_path


def make_app(*argv: str) -> LmflowApp:
    app = LmflowApp()
    app.options, _ = app.parser.parse_known_args(list(argv))
    return app


@pytest.mark.usefixtures("home")
def test_without_configuration_and_demo_it_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError) as refused:
        door.get_place(make_app())
    assert "lmflow demo" in refused.value.advice


def test_the_configuration_is_the_place(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFICE_PASSWORD", "very-secret")
    file = home / "my.conf"
    file.write_text(CONFIG)
    place = door.get_place(make_app("--config-file", str(file)))
    assert place.profiles["office"].addresses == ("192.0.2.1",)
    assert place.password("office") == "very-secret"
    assert "very-secret" not in repr(place)
    assert place.database_url == f"sqlite:///{home}/lmflow/lmflow.db"


def test_a_database_on_the_command_line_goes_first(home: pathlib.Path) -> None:
    file = home / "my.conf"
    file.write_text(CONFIG)
    place = door.get_place(make_app("--config-file", str(file), "--database", "sqlite:////elsewhere/x.db"))
    assert place.database_url == "sqlite:////elsewhere/x.db"


def test_a_password_is_asked_of_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    with pytest.raises(ConfigurationError) as refused:
        door.ask_password("office")
    assert "password_file" in refused.value.advice


def test_waits_follow_the_pool_but_not_below_what_the_machine_needs() -> None:
    assert demo_pool.make_waits(1.0) == Waits()
    fast, faster = demo_pool.make_waits(30.0), demo_pool.make_waits(1000.0)
    assert fast.operation_seconds == Waits().operation_seconds / 30
    assert 0 < faster.quiet_seconds <= fast.quiet_seconds
    assert faster.lease_seconds >= 3 * faster.heartbeat_seconds


def test_no_ready_file_no_demo(tmp_path: pathlib.Path) -> None:
    assert demo_pool.find_demo(tmp_path) is None
    (tmp_path / "ready.json").write_text("{")
    assert demo_pool.find_demo(tmp_path) is None


def make_ready(directory: pathlib.Path, pid: int, started: str) -> None:
    ready = {"pid": pid, "port": 1, "control_port": 1, "scheme": "http", "coordinator": "127.0.0.1", "hosts": {}}
    directory.joinpath("ready.json").write_text(json.dumps({**ready, "username": "root", "password": "p"}))
    directory.joinpath("process.json").write_text(json.dumps({"pid": pid, "started": started}))


def test_a_process_with_the_number_of_a_dead_demo_is_left_alone(tmp_path: pathlib.Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        make_ready(tmp_path, other.pid, started="1")
        assert demo_pool.find_demo(tmp_path) is None
        assert not demo_pool.stop_demo(tmp_path)
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0


def test_a_process_that_answers_no_control_port_is_no_demo(tmp_path: pathlib.Path) -> None:
    started = pathlib.Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    make_ready(tmp_path, os.getpid(), started)
    assert demo_pool.find_demo(tmp_path) is None
    assert not demo_pool.stop_demo(tmp_path)


def test_the_demo_names_its_configuration_to_those_who_have_their_own(home: pathlib.Path) -> None:
    pool = demo_pool.DemoPool(home, {})
    assert demo._name_resume(make_app(), pool) == "lmflow resume"
    file = home / "my.conf"
    file.write_text(CONFIG)
    named = demo._name_resume(make_app("--config-file", str(file)), pool)
    assert named == f"lmflow --config-file {home}/lmflow.conf resume", "the plain command would ask a real pool"
