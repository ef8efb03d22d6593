"""The files around the code agree with each other: README, CI, tox, pre-commit, package data."""

import configparser
import pathlib
import re
from typing import Any

import yaml

TEST_LINE = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest"
DEMO_LINE = "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/lmflow demo"


def _read(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8")


def test_ci_runs_exactly_the_line_that_readers_are_given(root: pathlib.Path) -> None:
    script = _read(root / ".ci" / "run")
    commands = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert TEST_LINE in _read(root / "README.md").splitlines()
    assert commands[:2] == ["set -euo pipefail", 'cd "$(dirname "$0")/.."']
    assert commands[-1] == TEST_LINE
    packages = re.search(r"^for package in (.+); do$", script, re.M)
    assert packages is not None
    assert f"apt-get install -yq --no-install-recommends {packages[1]}" in _read(root / "README.md")


def test_ci_is_a_program(root: pathlib.Path) -> None:
    script = root / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert _read(script).startswith("#!/usr/bin/env bash\n")


def test_readme_gives_the_line_that_shows_the_demo(root: pathlib.Path) -> None:
    assert DEMO_LINE in _read(root / "README.md").splitlines()


def _tox(root: pathlib.Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(_read(root / "tox.ini"))
    return parser


def test_every_tox_environment_says_what_it_does(root: pathlib.Path) -> None:
    tox = _tox(root)
    environments = [s for s in tox.sections() if s.startswith("testenv:")]
    assert environments
    assert not [s for s in environments if not tox.get(s, "description", fallback="")]


def test_every_default_tox_environment_exists(root: pathlib.Path) -> None:
    tox = _tox(root)
    listed = re.findall(r"[\w-]+", tox.get("tox", "env_list"))
    assert listed
    assert not [name for name in listed if not tox.has_section(f"testenv:{name}")]


def test_pre_commit_needs_nothing_from_elsewhere(root: pathlib.Path) -> None:
    configuration: dict[str, Any] = yaml.safe_load(_read(root / ".pre-commit-config.yaml"))
    assert {r["repo"] for r in configuration["repos"]} == {"local"}
    assert {h["language"] for r in configuration["repos"] for h in r["hooks"]} == {"system"}


def test_each_decision_is_listed_and_says_why(root: pathlib.Path) -> None:
    index = _read(root / "doc" / "source" / "adr" / "index.md")
    decisions = sorted((root / "doc" / "source" / "adr").glob("[0-9]*.md"))
    assert decisions
    for decision in decisions:
        assert f"({decision.name})" in index
        headings = re.findall(r"^## (.+)$", _read(decision), flags=re.MULTILINE)
        assert headings == ["Situation", "Decision", "What follows"], decision.name


def test_pages_name_only_files_that_are_there(root: pathlib.Path, committed: list[str]) -> None:
    pages = [p for p in committed if p.endswith(".md")]
    missing = []
    for page in pages:
        text, folder = _read(root / page), (root / page).parent
        links = (folder / link for link in re.findall(r"\]\(([^):#]+)\)", text))
        named = (root / path for path in re.findall(r"`((?:tests|lmflow|doc|typings)/[\w./-]+)`", text))
        missing += [f"{page}: {path.relative_to(root)}" for path in (*links, *named) if not path.resolve().exists()]
    assert not missing
