"""``lmflow config show``, as people type it: with a configuration, with none, with a demo, and with a broken one."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lmflow.cli import demo_pool
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene

Command = Callable[..., CompletedProcess[str]]
Simulator = Callable[..., SimulatedPool]
NONE = {"LMFLOW_CONFIG_FILE": ""}
CONFIG = """
[database]
connection = postgresql+psycopg2://me:hunter2@db/lmflow
[pool:lab]
addresses = 192.0.2.1
password_env = LAB_PASSWORD
[pool:spare]
addresses = 192.0.2.2, 192.0.2.1
"""


def read(done: CompletedProcess[str]) -> dict[tuple[str, str], tuple[Any, str]]:
    assert done.returncode == 0, done.stderr
    return {(row["group"], row["option"]): (row["value"], row["origin"]) for row in json.loads(done.stdout)}


def test_it_shows_what_counts_and_why(scene: Scene, lmflow: Command) -> None:
    scene.config_file.write_text(CONFIG)
    env = {"OS_WAITS__POLL_SECONDS": "2", "LAB_PASSWORD": "hunter3"}
    done = lmflow("config", "show", "-f", "json", "--pool", "spare", env=env)
    rows = read(done)
    file = f"file {scene.config_file}"
    assert rows["pool:spare", "addresses"] == (["192.0.2.2", "192.0.2.1"], file)
    assert rows["database", "connection"] == ("postgresql+psycopg2://me:***@db/lmflow", file)
    assert rows["waits", "poll_seconds"] == (2.0, "environment OS_WAITS__POLL_SECONDS")
    assert rows["waits", "lease_seconds"] == (30.0, "default")
    assert rows["DEFAULT", "default_pool"] == ("spare", "command line --pool")
    assert rows["pool:lab", "password_env"] == ("LAB_PASSWORD (set)", file)
    assert "hunter" not in done.stdout + done.stderr
    assert str(scene.config_file) in done.stderr
    [shared] = [line for line in done.stderr.splitlines() if "192.0.2.1" in line]
    assert "lab, spare" in shared


@pytest.mark.parametrize("form", ["text", "table", "yaml", "csv", "value"])
def test_every_format_tells_the_same(form: str, scene: Scene, lmflow: Command) -> None:
    scene.config_file.write_text(CONFIG)
    done = lmflow("-q", "config", "show", "-f", form, "--database", "mariadb+pymysql://me:hunter4@db/x")
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("mariadb+pymysql://me:***@db/x", "command line --database", "LAB_PASSWORD (not set)", "pool:spare"):
        assert words in done.stdout
    assert "hunter" not in done.stdout


def test_the_text_reads_as_the_file_does(scene: Scene, lmflow: Command) -> None:
    scene.config_file.write_text(CONFIG)
    lines = lmflow("config", "show").stdout.splitlines()
    assert [line for line in lines if line.startswith("[")] == [
        "[DEFAULT]",
        "[database]",
        "[waits]",
        "[pool:lab]",
        "[pool:spare]",
    ]
    assert f"  addresses = 192.0.2.2,192.0.2.1  (file {scene.config_file})" in lines
    assert "  insecure = false  (default)" in lines


def test_without_any_configuration_it_says_where_it_looked(scene: Scene, lmflow: Command) -> None:
    done = lmflow("config", "show", "-f", "json", env=NONE)
    rows = read(done)
    home = scene.directory / "home"
    assert rows["DEFAULT", "state_dir"] == (f"{home}/state/lmflow", "default")
    assert rows["database", "connection"] == (f"sqlite:///{home}/state/lmflow/lmflow.db", "default")
    assert {origin for _, origin in rows.values()} == {"default"}
    assert not (home / "state").exists(), "nothing is made by looking"
    places = ("--config-file", "$LMFLOW_CONFIG_FILE", f"{home}/config/lmflow/lmflow.conf", "/etc/lmflow/lmflow.conf")
    found = [done.stderr.index(place) for place in places]
    assert found == sorted(found)


def test_without_any_configuration_a_live_demo_is_what_counts(scene: Scene, lmflow: Command) -> None:
    directory = scene.directory / "home" / "state" / "lmflow" / "demo"
    demo = demo_pool.start_demo(directory)
    try:
        done = lmflow("config", "show", "-f", "json", env={**NONE, "OS_DEFAULT__ON_INTERRUPT": "cancel"})
        rows = read(done)
        assert rows["pool:lab", "addresses"] == (list(demo.make_profile().addresses), "demo pool")
        assert rows["database", "connection"] == (demo.database_url, "demo pool")
        assert rows["waits", "lease_seconds"] == (demo.waits.lease_seconds, "demo pool")
        assert rows["DEFAULT", "default_pool"] == ("lab", "demo pool")
        assert rows["DEFAULT", "on_interrupt"] == ("cancel", "environment OS_DEFAULT__ON_INTERRUPT")
        assert demo.get_password("lab") not in done.stdout
        assert "demo pool" in done.stderr
    finally:
        demo_pool.stop_demo(directory)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[pool:lab]\nadresses = x\n", "addresses"),
        ("\ufeff[pool:lab]\n", "byte order mark"),
        ("[pool:lab]\naddresses = x\n[pool:lab]\n", "line 3"),
        ("[waits]\nlease_seconds =\n", "empty"),
    ],
)
def test_a_broken_configuration_is_exit_2(text: str, words: str, scene: Scene, lmflow: Command) -> None:
    scene.config_file.write_text(text)
    done = lmflow("config", "show")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "try: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_variable_or_profile_that_leads_nowhere_is_exit_2(scene: Scene, lmflow: Command, tmp_path: Path) -> None:
    scene.config_file.write_text(CONFIG)
    for arguments, env, words in (
        ((), {"LMFLOW_CONFIG_FILE": str(tmp_path / "missing")}, "missing"),
        (("--config-file", str(tmp_path)), {}, "directory"),
        (("--pool", "labb"), {}, "lab"),
        ((), {"OS_POOL_LAB__USERNAME": "admin"}, "OS_POOL_LAB__USERNAME"),
    ):
        done = lmflow("config", "show", *arguments, env=env)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_an_empty_file_is_a_configuration_without_a_pool(scene: Scene, lmflow: Command) -> None:
    scene.config_file.write_text("")
    assert {origin for _, origin in read(lmflow("config", "show", "-f", "json")).values()} == {"default"}
    done = lmflow("migrate", "web-01", "--to", "xcp-b")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_variable_that_is_not_set_is_named_when_nobody_can_be_asked(
    simulator: Simulator, scene: Scene, lmflow: Command
) -> None:
    simulator()
    scene.write_config(lab={"password_file": "", "password_env": "LAB_PASSWORD"})
    done = lmflow("migrate", "web-01", "--to", "xcp-b")
    assert done.returncode == 2
    assert "the variable LAB_PASSWORD is not set" in done.stderr
    assert "no password_env" not in done.stderr
    assert scene.runs() == []
