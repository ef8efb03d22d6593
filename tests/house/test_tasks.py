"""Persisted names never move by accident, and a revert takes whatever TaskFlow hands it."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from lmflow.models import MoveRequest

# What stands in databases of finished and interrupted runs. A name may be added; one that was released stays.
NAMES = {
    "move": {
        "record_intent",
        "observe",
        "validate_pool",
        "validate_host",
        "validate_sr",
        "validate_network",
        "validate_cpu",
        "validate_memory",
        "validate_vm",
        "validate_site",
        "hooks_before",
        "claim_vm",
        "eject_local_iso",
        "connect_storage",
        "copy_kernel",
        "submit_pool_migrate",
        "await_pool_migrate",
    },
    "settle": {
        "verify_on_destination",
        "await_settled",
        "release_source_storage",
        "strip_base_mirror",
        "remove_source_kernel",
        "hooks_after",
        "release_vm",
        "conclude",
    },
}


def _request() -> dict[str, Any]:
    needed = (p.name for p in inspect.signature(MoveRequest).parameters.values() if p.default is p.empty)
    return MoveRequest(**dict.fromkeys(needed, "x")).to_json()


def _atoms(flow: Any) -> Iterator[Any]:
    for item in flow:
        if hasattr(item, "execute"):
            yield item
        else:
            yield from _atoms(item)


@pytest.fixture(params=sorted(NAMES))
def flow(request: pytest.FixtureRequest) -> Any:
    module = importlib.import_module(f"lmflow.flows.{request.param}")
    return getattr(module, f"make_{request.param}_flow")(_request())


def test_names_in_the_database_stay(flow: Any) -> None:
    assert {a.name for a in _atoms(flow)} == NAMES[flow.name]


def test_each_name_is_an_explicit_constant(flow: Any) -> None:
    for atom in _atoms(flow):
        text = inspect.getsource(inspect.getmodule(type(atom)))  # type: ignore[arg-type]
        literals = {n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)}
        assert atom.name in literals, f"{type(atom).__qualname__} does not spell its persisted name {atom.name!r}"
        assert re.fullmatch(r"[a-z][a-z_]*", atom.name)


def test_each_task_says_why_it_may_run_twice_and_what_its_revert_does(flow: Any) -> None:
    silent = [
        type(a).__qualname__
        for a in _atoms(flow)
        if not {"twice", "revert"} <= set(re.findall(r"[a-z]+", (type(a).__doc__ or "").lower()))
    ]
    assert not silent


def _reverts_without_kwargs(tree: ast.Module) -> list[int]:
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "revert")
    return [f.lineno for f in functions if f.args.kwarg is None]


def test_every_revert_accepts_more(sources: list[Any]) -> None:
    package = (s for s in sources if s.path.startswith("lmflow/"))
    assert not [f"{s.path}:{line}" for s in package for line in _reverts_without_kwargs(s.tree)]


def test_the_rule_on_reverts_sees_one_that_accepts_no_more() -> None:
    assert _reverts_without_kwargs(ast.parse("class T:\n    def revert(self, result): ...")) == [2]
    assert not _reverts_without_kwargs(ast.parse("class T:\n    def revert(self, result, **kwargs): ..."))
