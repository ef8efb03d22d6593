"""Habits that no outside tool knows: no mocks, named borders for broad excepts, honest names."""

import ast
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

BROAD = {"Exception", "BaseException"}
NO_NAMES = {"utils", "helpers", "common", "manager", "misc", "util", "helper"}


def _name(node: ast.expr | None) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _is_broad(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Tuple):
        return any(_is_broad(e) for e in node.elts)
    return node is None or _name(node) in BROAD


def _broad(tree: ast.Module) -> Iterator[tuple[int, bool]]:
    """Yield line and "swallows silently" of each broad except, and of each broad contextlib.suppress."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type):
            yield node.lineno, all(isinstance(s, (ast.Pass, ast.Continue)) for s in node.body)
        elif isinstance(node, ast.Call) and _name(node.func) == "suppress" and any(_is_broad(a) for a in node.args):
            yield node.lineno, True


@pytest.fixture
def borders(pyproject: dict[str, Any]) -> dict[str, str]:
    """The files that may catch everything, each with what it does with it."""
    named: dict[str, str] = pyproject["tool"]["lmflow"]["borders"]
    return named


def test_broad_excepts_stand_at_named_borders_only(sources: list[Any], borders: dict[str, str]) -> None:
    found = [f"{s.path}:{line}" for s in sources if s.path not in borders for line, _ in _broad(s.tree)]
    assert not found, f"not named in [tool.lmflow.borders] of pyproject.toml: {found}"


def test_every_named_border_is_one(sources: list[Any], borders: dict[str, str]) -> None:
    broad = {s.path for s in sources if any(_broad(s.tree))}
    assert not set(borders) - broad, "these files have no broad except any more"
    assert all(borders.values())


def test_broad_excepts_record_or_raise(sources: list[Any]) -> None:
    assert not [f"{s.path}:{line}" for s in sources for line, silent in _broad(s.tree) if silent]


def test_the_rule_on_broad_excepts_sees_all_its_forms() -> None:
    forms = (
        "try:\n    f()\nexcept:\n    g()",
        "try:\n    f()\nexcept Exception:\n    g()",
        "try:\n    f()\nexcept (OSError, builtins.BaseException):\n    pass",
        "with contextlib.suppress(Exception):\n    f()",
    )
    assert [len(list(_broad(ast.parse(f)))) for f in forms] == [1, 1, 1, 1]
    assert not list(_broad(ast.parse("try:\n    f()\nexcept OSError:\n    g()")))


def _mocks(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.arg):
            names = ["mock"] if node.arg == "mocker" else []
        else:
            continue
        if any(n == "mock" or n.startswith(("mock.", "unittest.mock")) for n in names):
            yield node.lineno


def test_nothing_is_mocked(sources: list[Any]) -> None:
    assert not [f"{s.path}:{line}" for s in sources for line in _mocks(s.tree)]


def test_the_rule_on_mocks_sees_all_their_forms() -> None:
    for form in ("import unittest.mock", "from unittest import mock", "from unittest.mock import patch", "import mock"):
        assert list(_mocks(ast.parse(form))), form
    assert list(_mocks(ast.parse("def test_x(mocker): ...")))


def test_modules_have_honest_names(sources: list[Any]) -> None:
    stems = {s.path: {pathlib.PurePath(s.path).stem, pathlib.PurePath(s.path).parent.name} for s in sources}
    assert not [path for path, names in stems.items() if names & NO_NAMES]


def _kept_references(tree: ast.Module) -> Iterator[int]:
    """Yield the lines where something called *_ref outlives a local variable: an attribute, a field, a JSON key."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and node.attr.endswith(("_ref", "_refs"))
        ):
            yield node.lineno
        elif isinstance(node, ast.ClassDef):
            fields = (n.target for n in node.body if isinstance(n, ast.AnnAssign))
            yield from (f.lineno for f in fields if _name(f).endswith(("_ref", "_refs")))
        elif isinstance(node, ast.Dict):
            keys = (k for k in node.keys if isinstance(k, ast.Constant) and isinstance(k.value, str))
            yield from (k.lineno for k in keys if str(k.value).endswith(("_ref", "_refs")))


def test_a_reference_is_a_local_variable(sources: list[Any]) -> None:
    client = (s for s in sources if s.path.startswith("lmflow/") and not s.path.startswith("lmflow/simulator/"))
    assert not [f"{s.path}:{line}" for s in client for line in _kept_references(s.tree)]


def test_the_rule_on_references_sees_what_keeps_one() -> None:
    for kept in ("self.vm_ref = x", "class A:\n    vm_ref: str", 'd = {"vm_ref": x}'):
        assert list(_kept_references(ast.parse(kept))), kept
    assert not list(_kept_references(ast.parse("vm_ref = read(x)")))
