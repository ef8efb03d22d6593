"""Each case that was read in xapi's source or tried on a real one has a test that bears its name."""

import ast
import pathlib
import re

import yaml

_NAME = re.compile(r"test_([a-z]+\d+)_")


def _cases(root: pathlib.Path) -> list[str]:
    data = yaml.safe_load((root / "tests/data/conformance.yaml").read_text(encoding="utf-8"))
    return [case["id"].lower() for case in data["cases"]]


def _tested(root: pathlib.Path) -> list[str]:
    files = sorted((root / "tests/functional/conformance").glob("test_*.py"))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    names = [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [found.group(1) for found in map(_NAME.match, names) if found]


def test_every_conformance_case_is_a_test(root: pathlib.Path) -> None:
    assert not sorted(set(_cases(root)) - set(_tested(root)))


def test_no_test_names_a_case_that_is_not_there(root: pathlib.Path) -> None:
    assert not sorted(set(_tested(root)) - set(_cases(root)))
