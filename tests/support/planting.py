"""Lies and broken promises, planted in a copy of lmflow for tests to notice."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """``old`` stands once in ``file``; with ``new`` in its place, ``scenario`` must fail and have ``said`` why."""

    file: str
    old: str
    new: str
    scenario: str
    said: str


def make_copy(directory: Path) -> Path:
    """Copy lmflow and its tests into a directory, and return it."""
    ignored = shutil.ignore_patterns("__pycache__", "mutants", "house")
    for name in ("lmflow", "tests"):
        shutil.copytree(ROOT / name, directory / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", directory)
    return directory


def plant(copy: Path, name: str, mutant: Mutant) -> None:
    """Change the copy; AssertionError when what is to be replaced is not there."""
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.file} has changed: plant the mutant {name!r} anew"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
