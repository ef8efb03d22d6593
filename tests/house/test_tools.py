"""The outside tools say yes. They run here so that the one line of the README runs everything."""

import pathlib
import subprocess
import sys

import pytest

TOOLS = {
    "lint": ["ruff", "check", "--no-cache", "."],
    "format": ["ruff", "format", "--no-cache", "--check", "."],
    "types": ["mypy"],
    "layers": ["lint-imports", "--no-cache"],
    "notes": ["reno", "lint"],
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TOOLS)
def test_tool_agrees(name: str, root: pathlib.Path) -> None:
    program, *arguments = TOOLS[name]
    command = [str(pathlib.Path(sys.executable).parent / program), *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join([program, *arguments])}\n{done.stdout}{done.stderr}"
