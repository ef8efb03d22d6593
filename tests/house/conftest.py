"""What the rules of the house look at: every file that is, or is about to be, committed."""

import ast
import dataclasses
import pathlib
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = {".git", ".tox", ".venv", "build", "dist", "__pycache__", "artifacts"}


@dataclasses.dataclass(frozen=True)
class Source:
    """A Python file with its tree; ``path`` is relative to the checkout, with slashes."""

    path: str
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method, nested ones too."""
        return (n for n in ast.walk(self.tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))


def _committed() -> list[str]:
    if shutil.which("git") and (ROOT / ".git").exists():
        command = [
            "git",
            "-c",
            f"safe.directory={ROOT}",
            "-C",
            str(ROOT),
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        return sorted({n for n in listed if n and (ROOT / n).is_file()})
    found = (p for p in ROOT.rglob("*") if p.is_file())
    relative = (p.relative_to(ROOT) for p in found)
    return sorted(
        p.as_posix() for p in relative if not any(part in SKIPPED or part.endswith(".egg-info") for part in p.parts)
    )


@pytest.fixture(scope="session")
def root() -> pathlib.Path:
    return ROOT


@pytest.fixture(scope="session")
def committed() -> list[str]:
    """Paths, relative to the checkout, of all files of the project."""
    return _committed()


@pytest.fixture(scope="session")
def sources(committed: list[str]) -> list[Source]:
    """All Python files of the package and its tests, parsed."""
    paths = [p for p in committed if p.endswith(".py") and p.startswith(("lmflow/", "tests/"))]
    assert paths, "no Python file found: the rules would all hold of nothing"
    texts = ((p, (ROOT / p).read_text(encoding="utf-8")) for p in paths)
    return [Source(path, text, ast.parse(text, filename=path)) for path, text in texts]


@pytest.fixture(scope="session")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
