"""The demo as a newcomer meets it: no configuration, a migration, a crash, a resume, an end."""

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from lmflow.cli import demo_pool

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: pathlib.Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LMFLOW_", "XDG_", "OS_"))}
    home = dict.fromkeys(("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), str(tmp_path))
    return {**kept, **home, "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def newcomer(environment: dict[str, str], tmp_path: pathlib.Path) -> Iterator[Command]:
    """The command in an empty home; a demo pool that was started there is ended."""

    def run(*arguments: str) -> CompletedProcess[str]:
        command = [sys.executable, "-m", "lmflow", *arguments]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    yield run
    run("demo", "--stop")


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "lmflow" / "demo"


def test_the_demo_shows_a_migration_its_picture_and_its_end(newcomer: Command, directory: pathlib.Path) -> None:
    shown = newcomer("demo")
    assert shown.returncode == 0, shown.stderr
    assert 'demo pool "lab" ready: 3 hosts' in shown.stderr
    assert "point of no return" in shown.stdout
    assert "web-01  xcp-a -> xcp-b  SUCCESS" in shown.stdout
    back = newcomer("demo")
    assert "web-01  xcp-b -> xcp-a  SUCCESS" in back.stdout, "a VM that is there already is moved back"

    pool = demo_pool.find_demo(directory)
    assert pool is not None
    assert len([e for e in pool.control("GET", "/audit") if e["effect"] and e["method"].endswith("pool_migrate")]) == 2

    listed = newcomer("run", "list", "--all", "-f", "json")
    assert "using the demo pool" in listed.stderr
    assert [run["state"] for run in json.loads(listed.stdout)] == ["success"] * 2

    assert newcomer("demo", "--stop").returncode == 0
    assert demo_pool.find_demo(directory) is None
    assert newcomer("status").returncode == 2, "neither configuration nor demo"


def test_the_demo_is_killed_in_mid_migration_and_resumes(newcomer: Command, directory: pathlib.Path) -> None:
    crashed = newcomer("demo", "--crash")
    assert crashed.returncode == 0, crashed.stderr
    assert crashed.stdout.startswith("killed at pool_migrate ")
    assert crashed.stdout.endswith("Now: lmflow resume\n")
    status = newcomer("status")
    assert "NEEDS ATTENTION 1" in status.stdout
    assert "INTERRUPTED" in status.stdout
    resumed = newcomer("resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "SUCCESS" in resumed.stdout
    assert "1 interruption" in resumed.stdout
    pool = demo_pool.find_demo(directory)
    assert pool is not None
    migrations = [e for e in pool.control("GET", "/audit") if e["method"].endswith("VM.pool_migrate")]
    assert [e["effect"] for e in migrations] == [True]


def test_a_pool_that_ended_goes_on_from_its_state_and_begins_anew_when_that_is_broken(tmp_path: pathlib.Path) -> None:
    for state in ("", "{", None):
        if state:
            (tmp_path / "state.json").write_text(state)
        kept = tmp_path / "lmflow.db"
        kept.touch()
        pool = demo_pool.start_demo(tmp_path, time_scale=100)
        assert kept.exists() == (state is None), "the runs are those of the pool's state"
        assert demo_pool.find_demo(tmp_path) == pool
        pool.control("POST", "/stop", {})
        wait_for_end(pool)
    assert not demo_pool.stop_demo(tmp_path)


def wait_for_end(pool: demo_pool.DemoPool) -> None:
    limit = time.monotonic() + 30
    while demo_pool.find_demo(pool.directory) is not None or not (pool.directory / "state.json").exists():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_stopping_what_does_not_run_is_no_error(newcomer: Command) -> None:
    stopped = newcomer("demo", "--stop")
    assert stopped.returncode == 0
    assert "No demo pool" in stopped.stderr
