"""The query language of get_all_records_where: true, false, field "x" = "y", and, or, not, parentheses.

``and`` and ``or`` bind alike and from the left, ``not`` takes all that follows; words need no space between them.
Fields have the names of the database (``name__label``) and are compared as the database writes them: integers and
truth values as text, sets and maps as s-expressions. Source: db_filter_lex.mll, db_filter_parse.mly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from lmflow.simulator.database.schema import Field
from lmflow.simulator.database.values import Value
from lmflow.simulator.failures import ApiFailure

Test = Callable[[Mapping[str, Value]], bool]
Term = Callable[[Mapping[str, Value]], str]

DEPTH_LIMIT = 100
"""How many parentheses and negations may stand in one another. Ours: whether XAPI has a limit is not known."""
_TOKEN = re.compile(r'true|false|field|and|or|not|[()=]|"[^"]*"')
_SPACE = " \t\n"
_END = ""
_PROTECTED = str.maketrans({"%": "%%", " ": "%_", "\t": "%t", "\n": "%n", "\r": "%r"})


def show_value(value: Value) -> str:
    """Write a value as the database does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"({' '.join(_quote(item) for item in value)})"
    if isinstance(value, dict):
        return f"({' '.join(f'({_quote(key)} {_quote(item)})' for key, item in value.items())})"
    return str(value)


def _quote(value: Value) -> str:
    text = show_value(value).translate(_PROTECTED) or "%."
    return "'" + re.sub(r"(['\\])", r"\\\1", text) + "'"


class _Parser:
    """Reads words one by one, as XAPI's does: what cannot be parsed is told before what cannot be read behind it."""

    def __init__(self, text: str, fields: Mapping[str, str]) -> None:
        self._text = text
        self._fields = fields
        self._rest = self._read()
        self._ahead: str | None = None
        self._depth = 0

    def _read(self) -> Iterator[str]:
        position = 0
        while True:
            while position < len(self._text) and self._text[position] in _SPACE:
                position += 1
            if position == len(self._text):
                yield _END
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise ApiFailure("INVALID_VALUE", self._text, 'Failure("lexing: empty token")')
            yield match.group()
            position = match.end()

    def _peek(self) -> str:
        if self._ahead is None:
            self._ahead = next(self._rest)
        return self._ahead

    def _next(self, *wanted: str) -> str:
        word = self._peek()
        if wanted and word not in wanted:
            raise self._error()
        self._ahead = None
        return word

    def _error(self) -> ApiFailure:
        return ApiFailure("INVALID_VALUE", self._text, "Stdlib.Parsing.Parse_error")

    def parse(self) -> Test:
        test = self._expression()
        self._next(_END)
        return test

    def _expression(self) -> Test:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise self._error()
        first, rest = self._operand(), list[tuple[str, Test]]()
        while self._peek() in {"and", "or"}:
            rest.append((self._next(), self._operand()))
        self._depth -= 1
        return _join(first, rest) if rest else first

    def _operand(self) -> Test:
        word = self._peek()
        if word in {"true", "false"}:
            self._next()
            return lambda _record: word == "true"
        if word == "not":
            return self._negation()
        if word == "(":
            self._next()
            inner = self._expression()
            self._next(")")
            return inner
        left = self._term()
        self._next("=")
        right = self._term()
        return lambda record: left(record) == right(record)

    def _negation(self) -> Test:
        is_negated = False
        while self._peek() == "not":
            self._next()
            is_negated = not is_negated
        inner = self._expression()
        return lambda record: inner(record) is not is_negated

    def _term(self) -> Term:
        word = self._next()
        if word != "field":
            literal = self._unquote(word)
            return lambda _record: literal
        name = self._unquote(self._next())

        def read(record: Mapping[str, Value]) -> str:
            if name not in self._fields:
                raise ApiFailure("INTERNAL_ERROR", "missing field", name, "")
            return show_value(record[self._fields[name]])

        return read

    def _unquote(self, word: str) -> str:
        if not word.startswith('"'):
            raise self._error()
        return word[1:-1]


def _join(first: Test, rest: list[tuple[str, Test]]) -> Test:
    """Join tests from the left; none is asked whose answer no longer matters."""

    def test(record: Mapping[str, Value]) -> bool:
        found = first(record)
        for word, other in rest:
            if found is (word == "and"):
                found = other(record)
        return found

    return test


def compile_query(text: str, fields: Iterable[Field]) -> Test:
    """Make a test of records: INVALID_VALUE when it cannot be read; the test raises for a field that is not there."""
    return _Parser(text, {field.db_name: field.name for field in fields}).parse()
