"""The pure rooms are tested in full, branch by branch, by fast tests that need no pool, database or engine.

What chance draws (Hypothesis) is left out: a branch that only luck reaches is not tested.
"""

import configparser
import os
import pathlib
import subprocess
import sys

import pytest

ROOMS = ("checks", "planner", "models")
FAST = "not hypothesis"


@pytest.mark.timeout(300)
def test_every_branch_of_the_pure_rooms_is_taken(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The same as ``tox -e cover``."""
    environment = {**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage")}
    packages, tests = ",".join(f"lmflow.{room}" for room in ROOMS), [f"tests/unit/{room}" for room in ROOMS]
    for arguments in (
        ["run", "--branch", f"--source={packages}", "-m", "pytest", "-n", "0", "-q", "-m", FAST, *tests],
        ["report", "--show-missing", "--skip-covered", "--fail-under=100"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "coverage", *arguments],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_people_get_the_same_measure(root: pathlib.Path) -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read_string((root / "tox.ini").read_text(encoding="utf-8"))
    commands = tox.get("testenv:cover", "commands")
    assert all(f"lmflow.{room}" in commands and f"tests/unit/{room}" in commands for room in ROOMS)
    assert f'-m "{FAST}"' in commands
    assert "--branch" in commands
    assert "--fail-under=100" in commands
