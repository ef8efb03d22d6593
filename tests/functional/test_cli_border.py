"""The installed command where its surroundings are broken: each time one clear line and the documented exit code."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lmflow.db.database import Database
from tests.support.scene import Scene

LMFLOW = Path(sys.executable).with_name("lmflow")
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, to be copied: making one takes longer than any command here."""
    path = tmp_path_factory.mktemp("database") / "lmflow.db"
    Database.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def shell(scene: Scene, database: Path) -> Shell:
    """Run a line of bash in which ``lmflow`` is the installed command, with a configuration and an empty database."""
    scene.write_config()
    scene.config_file.write_text(f"{scene.config_file.read_text()}[pool:lab]\naddresses = 127.0.0.1\n")
    environment = {**scene.environment(), "PATH": f"{LMFLOW.parent}:{os.environ['PATH']}"}

    def run(line: str, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}", "bash", *arguments],
            env={**environment, **(env or {})}, cwd=scene.directory, capture_output=True, text=True, timeout=120,
            errors="surrogateescape", check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        return done

    shutil.copy(database, scene.database_file)
    return run


@pytest.mark.parametrize("command", ["--help", "run list -f json", "graph", "graph --help"])
def test_a_reader_that_has_read_enough_is_no_error(shell: Shell, command: str) -> None:
    for reader in ("head -0", "head -1"):
        done = shell(f"lmflow -q {command} | {reader}")
        assert (done.returncode, done.stderr) == (0, ""), reader


def test_a_reader_that_leaves_in_the_middle_is_no_error(shell: Shell) -> None:
    done = shell("for i in {1..3}; do lmflow graph -f json | head -c 100; done")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("buffered", ["", "PYTHONUNBUFFERED=1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("command", ["--help", "--version", "run list -f json", "graph"])
def test_output_that_cannot_be_written_is_told(shell: Shell, command: str, buffered: str) -> None:
    done = shell(f"{buffered} lmflow -q {command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "could not be written: No space left on device" in done.stderr


def test_a_reader_that_has_gone_away_is_no_defect_of_an_unbuffered_command(shell: Shell) -> None:
    done = shell("set -o pipefail; for i in {1..3}; do PYTHONUNBUFFERED=1 lmflow complete --shell bash | true; done")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams_change_no_exit_code(shell: Shell, closed: str) -> None:
    assert shell(f"lmflow run list {closed}").returncode == 0
    assert shell(f"lmflow nosuch {closed}").returncode == 2
    assert shell(f"lmflow {closed}").returncode == 2


UNUSABLE = {"in /proc": "/proc/nosuch", "below a file": "/etc/hostname/x", "a file": "FILE"}


@pytest.mark.parametrize("where", UNUSABLE)
def test_a_state_directory_that_cannot_be_used_is_a_configuration_error(shell: Shell, scene: Scene, where: str) -> None:
    (scene.directory / "file").touch()
    state = UNUSABLE[where].replace("FILE", str(scene.directory / "file"))
    without_database = scene.config_file.read_text().replace("connection", "# connection")
    scene.config_file.write_text(without_database)
    for command in ("run list", "db upgrade"):
        done = shell(f"lmflow {command}", env={"XDG_STATE_HOME": state})
        assert done.returncode == 2, f"{command}: {done.stderr}"
        assert not done.stdout
        assert "lmflow: " in done.stderr
        assert state in done.stderr
        assert "internal error" not in done.stderr


@pytest.mark.parametrize("where", UNUSABLE)
def test_a_demo_without_a_place_for_its_state_says_so(shell: Shell, scene: Scene, where: str) -> None:
    (scene.directory / "file").touch()
    state = UNUSABLE[where].replace("FILE", str(scene.directory / "file"))
    done = shell("lmflow demo", env={"XDG_STATE_HOME": state, "LMFLOW_CONFIG_FILE": ""})
    assert done.returncode == 2, done.stderr
    assert state in done.stderr
    assert "internal error" not in done.stderr


def test_a_process_without_home_works(shell: Shell) -> None:
    for command in ("run list", "--help"):
        assert shell(f"unset HOME XDG_STATE_HOME XDG_CONFIG_HOME; lmflow {command}").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user whom nobody knows")
def test_a_user_whom_nobody_knows_gets_an_answer(shell: Shell, scene: Scene) -> None:
    who = f"setpriv --reuid 54321 --clear-groups {sys.executable} -m lmflow"
    done = shell(f"unset HOME XDG_STATE_HOME XDG_CONFIG_HOME LMFLOW_CONFIG_FILE; cd /; {who} --version")
    if "Permission denied" in done.stderr or "No module" in done.stderr:
        pytest.skip("the interpreter is not readable for others here")
    done = shell(f"unset HOME XDG_STATE_HOME XDG_CONFIG_HOME LMFLOW_CONFIG_FILE; cd /; {who} run list")
    assert done.returncode == 2, done.stderr


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}])
def test_names_that_the_encoding_lacks_cost_no_answer(shell: Shell, scene: Scene, locale: Mapping[str, str]) -> None:
    done = shell("lmflow run show Zürich-数据库", env=locale)
    assert done.returncode == 2
    assert "no run is called" in done.stderr
    assert shell("lmflow graph", env=locale).returncode == 0
    elsewhere = {**locale, "LMFLOW_CONFIG_FILE": "", "XDG_STATE_HOME": str(scene.directory / "ü")}
    assert shell("lmflow config show", env=elsewhere).returncode == 0


@pytest.mark.parametrize("columns", ["1", "0", "nonsense"])
def test_a_tiny_terminal_is_no_error(shell: Shell, columns: str) -> None:
    for command in ("--help", "run list", "explain 9"):
        assert shell(f"lmflow {command}", env={"COLUMNS": columns}).returncode == 0, command


WRONG = {
    "": "usage: lmflow",
    "''": "there is no command ''",
    "nosuch": "there is no command 'nosuch'",
    "mgirate": "did you mean migrate?",
    "run": "run list, run prune, run show",
    "run nosuch": "run list, run prune, run show",
    "run list --limit -3": "--limit",
    "run list --limit 0": "--limit",
    "run list --limit many": "--limit",
    "run list -f nosuch": "'nosuch'",
    "run list -c nosuch": "there is no column 'nosuch'",
    "run list --nosuch": "unrecognized arguments: --nosuch",
    "--log-file /nosuch/log run list": "the log file /nosuch/log cannot be written: No such file or directory",
    "--log-file / run list": "cannot be written: Is a directory",
    "--config-file /nosuch run list": "/nosuch",
    "--config-file / run list": "cannot be read",
    "--database nonsense run list": "the database URL cannot be understood",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_command_line_is_exit_2_and_one_line(shell: Shell, words: str) -> None:
    done = shell(f"lmflow {words}")
    assert done.returncode == 2, done.stderr
    assert not done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("lmflow: ")]
    assert WRONG[words] in done.stderr
    assert "internal error" not in line


WILD = {
    "control characters": "\x1b]0;owned\x07\x1b[2J\r\n\t\x7f",
    "right to left": "abc\u202edcba\u2066",
    "hebrew": "מסד-נתונים",
    "long": "x" * 10_000,
    "no unicode": "\udcff\udcfe",
}


@pytest.mark.parametrize("kind", WILD)
def test_arguments_are_shown_escaped_and_cut(shell: Shell, kind: str) -> None:
    for command in ("", "run show", "run list --limit", "--config-file"):
        done = shell(f'lmflow {command} "$1"', WILD[kind])
        assert done.returncode == 2, done.stderr
        assert len(done.stderr) < 4000
        assert all(c.isprintable() or c == "\n" for c in done.stderr), ascii(done.stderr)


def test_two_thousand_arguments_are_refused_in_a_few_lines(shell: Shell) -> None:
    for command in ("nosuch", "run show", "run"):
        done = shell(f"lmflow {command} $(seq 2000)")
        assert done.returncode == 2, command
        assert len(done.stderr) < 4000


def test_a_defect_keeps_its_traceback_where_the_configuration_says(shell: Shell, scene: Scene) -> None:
    kept = scene.directory / "kept"
    configured = scene.config_file.read_text().replace("[DEFAULT]", f"[DEFAULT]\nstate_dir = {kept}")
    scene.config_file.write_text(configured)
    broken = "import lmflow.cli.run_list as m; m.RunList.answer = lambda *a: 1 / 0; "
    line = f"{sys.executable} -c '{broken}import sys; from lmflow.cli.main import main; sys.exit(main())' run list"
    done = shell(line)
    assert done.returncode == 1
    assert "lmflow: internal error: ZeroDivisionError" in done.stderr
    (file,) = kept.glob("error-*.log")
    assert str(file) in done.stderr
    assert "Traceback" in file.read_text()
    nowhere = scene.config_file.read_text().replace(f"state_dir = {kept}", "state_dir = /proc/nosuch")
    scene.config_file.write_text(nowhere)
    done = shell(line)
    assert done.returncode == 1
    assert "could not be kept (/proc/nosuch: No such file or directory)" in done.stderr
