"""The unit that resumes at boot: systemd reads it, lmflow has what it asks for, and the page says what it does."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lmflow.cli.exits import Exit
from lmflow.cli.main import LmflowApp
from lmflow.conf import load
from lmflow.conf.environment import check_variables

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "etc" / "systemd" / "lmflow-resume.service"
PAGE = ROOT / "doc" / "source" / "systemd.md"
# What systemd does with an exit code of a unit like ours: source, systemd.service(5).
KINDS = ("succeeds", "fails", "tries again")


def read_unit(text: str) -> dict[str, dict[str, list[str]]]:
    """Return all values by section and key; configparser knows no key that stands there twice."""
    unit: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            section = unit.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, found, value = line.partition("=")
            assert found, line
            assert key == key.strip(), line
            section.setdefault(key, []).append(value)
    return unit


@pytest.fixture(scope="module")
def service() -> dict[str, list[str]]:
    return read_unit(UNIT.read_text())["Service"]


def judge(service: dict[str, list[str]], code: int) -> str:
    def codes(key: str) -> set[int]:
        return {int(word) for value in service[key] for word in value.split()}

    assert service["Restart"] == ["on-failure"]
    if code == 0 or code in codes("SuccessExitStatus"):
        return "succeeds"
    return "fails" if code in codes("RestartPreventExitStatus") else "tries again"


def test_the_page_says_what_the_unit_does_with_every_exit_code(service: dict[str, list[str]]) -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE)
    told = {int(code): next(kind for kind in KINDS if words.startswith(kind)) for code, words in rows}
    assert told == {int(code): judge(service, code) for code in Exit}
    assert judge(service, Exit.UNKNOWN) == "fails", "a person must decide"
    assert judge(service, Exit.UNREACHABLE) == "tries again"
    assert judge(service, Exit.LOCKED) == "succeeds"
    named = {int(w) for k in ("SuccessExitStatus", "RestartPreventExitStatus") for v in service[k] for w in v.split()}
    assert named <= {int(code) for code in Exit}


def test_the_command_exists_with_its_options(service: dict[str, list[str]]) -> None:
    [line] = service["ExecStart"]
    program, *arguments = shlex.split(line)
    assert program == "lmflow"
    app = LmflowApp()
    factory, name, rest = app.command_manager.find_command(arguments)
    parsed = factory(app, None).get_parser(name).parse_args(rest)
    assert (name, parsed.run, parsed.on_interrupt) == ("resume", "", "detach")


def test_the_unit_writes_where_it_may(service: dict[str, list[str]], tmp_path: Path) -> None:
    env = dict(value.split("=", 1) for value in service["Environment"])
    assert env.pop("LMFLOW_CONFIG_FILE") == "/etc/lmflow/lmflow.conf"
    check_variables(env)
    (tmp_path / "lmflow.conf").touch()
    [directory] = service["StateDirectory"]
    assert str(load(tmp_path / "lmflow.conf", env).state_dir) == f"/var/lib/{directory}"
    assert service["ProtectSystem"] == ["strict"]


def test_no_secret_gets_into_a_core_dump_and_no_right_is_left(service: dict[str, list[str]]) -> None:
    assert service["LimitCORE"] == ["0"]
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["User"] == ["lmflow"]


def test_systemd_reads_it(tmp_path: Path) -> None:
    unit = read_unit(UNIT.read_text())
    assert set(unit) == {"Unit", "Service", "Install"}
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.fail("systemd-analyze is not installed: apt-get install systemd", pytrace=False)
    installed = Path(sys.executable).parent / "lmflow"
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("ExecStart=lmflow", f"ExecStart={installed}"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_LOG_COLOR": "0"},
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "lmflow" in line]
    assert not ours
