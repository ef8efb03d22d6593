"""XAPI's codes are judged, its texts are not: what stands in an INTERNAL_ERROR is for people, and differs by version.

Seen is what a statement does with an error's parameters directly. What is first put into a variable is not seen.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.house.conftest import Source

# The function, and the codes whose documented parameters it reads: words of an enumeration, or figures.
READERS = {
    "lmflow/verdict/ordered.py:is_ordered": "VM_BAD_POWER_STATE, HANDLE_INVALID",
}
SEARCHES = {
    *("startswith", "endswith", "find", "rfind", "index", "count", "split", "partition", "rpartition", "splitlines"),
    *("search", "match", "fullmatch", "findall", "finditer"),
}
# What xapi and xenopsd were seen to write into one.
SEEN = (
    *("xenopsd internal error", "Synchronisation point", "Emu_manager", "Unix_error", "option is None"),
    *("does not exist in xenopsd", "Unknown tag/contents", "File does not exist"),
)


def _is_outside(path: str) -> bool:
    return path.startswith("lmflow/") and not path.startswith(("lmflow/simulator/", "lmflow/catalogue/"))


def _find_parts(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield a statement without the statements inside it."""
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.expr):
            yield from ast.walk(child)


def _names_params(node: ast.AST) -> bool:
    """Tell whether parameters are named below a node, other than to be counted."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
        return False
    if isinstance(node, ast.Attribute) and node.attr in ("params", "xapi_params"):
        return True
    return any(_names_params(child) for child in ast.iter_child_nodes(node))


def _weighs(node: ast.AST) -> bool:
    searches = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SEARCHES
    return searches or isinstance(node, ast.Compare)


def _is_searched(statement: ast.stmt) -> bool:
    parts = list(_find_parts(statement))
    direct = any(_weighs(node) and _names_params(node) for node in parts)
    loops = [n for n in parts if isinstance(n, (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp))]
    over_them = [n for n in loops if any(_names_params(part.iter) for part in n.generators)]
    return direct or any(_weighs(node) for loop in over_them for node in ast.walk(loop))


def _find_readers(source: Source) -> Iterator[str]:
    for function in source.functions():
        if any(isinstance(node, ast.stmt) and _is_searched(node) for node in ast.walk(function)):
            yield f"{source.path}:{function.name}"


def test_nobody_asks_for_an_internal_error(sources: list[Source]) -> None:
    named = [s.path for s in sources if _is_outside(s.path) and "INTERNAL_ERROR" in s.text]
    assert named == [], "whatever failed with it proves nothing: it is no case of its own"


def test_nobody_knows_a_text_of_one(sources: list[Source]) -> None:
    known = [(s.path, text) for s in sources if _is_outside(s.path) for text in SEEN if text in s.text]
    assert known == []


def test_parameters_are_read_only_where_they_are_documented(sources: list[Source]) -> None:
    readers = {reader for source in sources if _is_outside(source.path) for reader in _find_readers(source)}
    assert readers == set(READERS)


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("if 'sync' in error.params[0]: pass", True),
        ("return error.xapi_params[0].startswith('xenopsd')", True),
        ("found = [p for p in error.params if p == 'x']", True),
        ("raise Failed(error.code, error.params)", False),
        ("if error.code == 'X' and len(error.params) > 1: say(error.params[1])", False),
        ("if error.code == 'X': say(error.message)", False),
    ],
)
def test_the_search_sees_it(line: str, seen: bool) -> None:
    text = f"def f(error):\n    {line}\n"
    assert bool(list(_find_readers(Source("lmflow/x.py", text, ast.parse(text))))) is seen
