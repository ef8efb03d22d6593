"""`lmflow explain`: one code, all codes, and what is said to a code that does not exist."""

import csv
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from lmflow.catalogue import ENTRIES
from lmflow.cli.main import LmflowApp

Command = Callable[..., CompletedProcess[str]]
HEAVY = ("sqlalchemy", "alembic", "taskflow", "XenAPI", "oslo_config", "rich", "lmflow.api", "lmflow.db", "lmflow.conf")
NARROW = 80

ASK = """
import sys
from lmflow.cli.main import main
code = main(sys.argv[1:])
print("\\n".join(["MODULES", *sys.modules]))
sys.exit(code)
"""


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions

    def run(*arguments: str) -> CompletedProcess[str]:
        code = LmflowApp().run(["explain", *arguments])
        return CompletedProcess(arguments, code, *capsys.readouterr())

    yield run
    root.handlers[:], root.level, logging.raiseExceptions = handlers, level, raising


def test_a_code_is_explained_with_the_vm_and_one_command(explain: Command) -> None:
    done = explain("cannot-contact-host")
    assert done.returncode == 0
    assert done.stdout.startswith("CANNOT_CONTACT_HOST  ")
    assert "The code alone proves nothing." in done.stdout
    assert "try      lmflow why RUN\n" in done.stdout
    assert done.stderr == ""


def test_every_explanation_fits_a_narrow_terminal(explain: Command) -> None:
    for entry in ENTRIES:
        lines = explain(entry.code).stdout.splitlines()
        assert lines[0].startswith(entry.code)
        assert not [line for line in lines if len(line) > NARROW]


def test_for_machines_one_code_is_one_object_with_all_that_is_known(explain: Command) -> None:
    told = json.loads(explain("vm_requires_sr", "-f", "json").stdout)
    assert (told["code"], told["parameters"]) == ("VM_REQUIRES_SR", ["vm", "sr"])
    assert {"family", "title", "meaning", "cause", "vm_state", "remedy", "command", "source"} < set(told)
    assert json.loads(explain("7", "-f", "json", "-c", "code", "-c", "command").stdout) == {
        "code": "7",
        "command": "lmflow why RUN",
    }
    rows = list(csv.DictReader(io.StringIO(explain("7", "-f", "csv").stdout)))
    assert [row["code"] for row in rows] == ["7"]


def test_without_a_code_all_are_listed_with_their_titles(explain: Command) -> None:
    text = explain().stdout
    assert not [line for line in text.splitlines() if len(line) > NARROW]
    told = json.loads(explain("-f", "json").stdout)
    assert [row["code"] for row in told] == [entry.code for entry in ENTRIES]
    table = explain("-f", "table").stdout
    for entry in ENTRIES:
        assert f"  {entry.code}" in text
        assert entry.title in text
        assert f"| {entry.code} " in table


def test_an_ambiguous_prefix_lists_what_it_may_mean(explain: Command) -> None:
    done = explain("vm_requires_v")
    assert (done.returncode, done.stdout) == (2, "")
    assert "VM_REQUIRES_VGPU" in done.stderr
    assert "VM_REQUIRES_VUSB" in done.stderr


@pytest.mark.parametrize(("text", "meant"), [("HOST_DISABELD", "HOST_DISABLED"), ("reattach", "RE-ATTACH")])
def test_a_code_that_does_not_exist_is_a_usage_error_with_what_was_meant(
    explain: Command, text: str, meant: str
) -> None:
    done = explain(text)
    assert (done.returncode, done.stdout) == (2, "")
    assert meant in done.stderr
    assert "try: lmflow explain\n" in done.stderr


def test_nothing_is_needed_no_configuration_no_database_and_nothing_heavy(tmp_path: Path) -> None:
    broken = tmp_path / "lmflow.conf"
    broken.write_text("no configuration at all", encoding="utf-8")
    command = [sys.executable, "-c", ASK, "explain", "NO_REPLY"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"LMFLOW_CONFIG_FILE": str(broken), "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )
    told, modules = done.stdout.split("MODULES\n")
    assert told.startswith("NO_REPLY  ")
    loaded = modules.splitlines()
    assert "lmflow.catalogue" in loaded
    assert not [m for m in loaded if m in HEAVY or m.startswith(tuple(f"{heavy}." for heavy in HEAVY))]
    assert [path.name for path in tmp_path.iterdir()] == ["lmflow.conf"], "nothing was written"
