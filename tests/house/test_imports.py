"""No module needs itself, not even lazily; the ground floor stands on the standard library alone."""

import ast
import configparser
import graphlib
import pathlib
import re
import sys
from typing import Any

import grimp
import pytest

DECLARED_AS = {
    "alembic": "alembic",
    "autopage": "autopage",
    "cliff": "cliff",
    "oslo_config": "oslo.config",
    "rich": "rich",
    "shtab": "shtab",
    "sqlalchemy": "SQLAlchemy",
    "stevedore": "stevedore",
    "taskflow": "taskflow",
    "XenAPI": "XenAPI",
}
OURS = re.compile(r"lmflow(\.models(\.\w+)?)?")


def _graph(package: str) -> dict[str, set[str]]:
    graph = grimp.build_graph(package, cache_dir=None)
    return {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}


def test_no_import_cycle() -> None:
    try:
        graphlib.TopologicalSorter(_graph("lmflow")).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_the_search_for_cycles_sees_lazy_imports(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "knotted"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("import knotted.b\n")
    (package / "b.py").write_text("def f():\n    from knotted import a\n    return a\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(_graph("knotted")).prepare()


def _foreign(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return {n for n in names if n.split(".")[0] not in sys.stdlib_module_names and not OURS.fullmatch(n)}


def test_the_ground_floor_needs_only_the_standard_library(sources: list[Any]) -> None:
    ground = {s.path: s.tree for s in sources if s.path.startswith(("lmflow/models", "lmflow/exceptions"))}
    assert len(ground) > 1
    foreign = {path: _foreign(tree) for path, tree in ground.items()}
    assert not {path: names for path, names in foreign.items() if names}


def test_the_rule_on_the_ground_floor_sees_what_is_foreign() -> None:
    tree = ast.parse("import json, attrs\nfrom lmflow.models import VM\nfrom lmflow.db import Database")
    assert _foreign(tree) == {"attrs", "lmflow.db"}


def test_what_the_package_imports_is_declared(sources: list[Any], root: pathlib.Path) -> None:
    setup = configparser.ConfigParser()
    setup.read_string((root / "setup.cfg").read_text(encoding="utf-8"))
    declared = {re.split(r"[><=]", line)[0] for line in setup["options"]["install_requires"].split()}
    assert declared == set(DECLARED_AS.values())
    package = (s for s in sources if s.path.startswith("lmflow/"))
    foreign = {s.path: {n.split(".")[0] for n in _foreign(s.tree)} - {"lmflow", *DECLARED_AS} for s in package}
    assert not {path: names for path, names in foreign.items() if names}
