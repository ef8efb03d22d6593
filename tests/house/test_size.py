"""The tails are watched: no long file, no long function."""

import ast
from typing import Any

FILE_LINES = 400
BODY_LINES = 40


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    if not body:
        return 0
    return (function.end_lineno or 0) - body[0].lineno + 1


def test_no_file_is_long(sources: list[Any]) -> None:
    lengths = {s.path: len(s.text.splitlines()) for s in sources}
    assert not {path: n for path, n in lengths.items() if n > FILE_LINES}


def test_no_function_is_long(sources: list[Any]) -> None:
    lengths = {f"{s.path}:{f.lineno} {f.name}": _body_lines(f) for s in sources for f in s.functions()}
    assert not {place: n for place, n in lengths.items() if n > BODY_LINES}


def test_the_ruler_measures_bodies_without_their_docstring() -> None:
    tree = ast.parse('def f():\n    """Say\n\n    much.\n    """\n    a = 1\n\n    return a\n')
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert _body_lines(function) == 3
