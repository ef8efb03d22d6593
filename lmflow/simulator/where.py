"""The query language of get_all_records_where: true, false, field "x" = "y", and, or, not, parentheses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.values import Value

Test = Callable[[Mapping[str, Value]], bool]
Term = Callable[[Mapping[str, Value]], str]

_TOKEN = re.compile(r"\s*(?:(?P<word>true|false|field|and|or|not)\b|(?P<sign>[()=])|(?P<quote>\"[^\"]*\"|'[^']*'))")


def _tokens(text: str) -> list[str]:
    found = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise ApiFailure("INVALID_VALUE", text, 'Failure("lexing: empty token")')
        found.append(match.group().strip())
        position = match.end()
    return found


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Parser:
    """Recursive descent; ``or`` binds weaker than ``and``, ``and`` weaker than ``not``."""

    def __init__(self, text: str, fields: frozenset[str]) -> None:
        self._text = text
        self._fields = fields
        self._rest = _tokens(text)

    def parse(self) -> Test:
        test = self._any()
        if self._rest:
            raise self._error()
        return test

    def _error(self) -> ApiFailure:
        return ApiFailure("INVALID_VALUE", self._text, "Stdlib.Parsing.Parse_error")

    def _next(self) -> str:
        if not self._rest:
            raise self._error()
        return self._rest.pop(0)

    def _take(self, token: str) -> bool:
        if self._rest and self._rest[0] == token:
            self._rest.pop(0)
            return True
        return False

    def _any(self) -> Test:
        tests = [self._all()]
        while self._take("or"):
            tests.append(self._all())
        return lambda record: any(test(record) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._take("and"):
            tests.append(self._one())
        return lambda record: all(test(record) for test in tests)

    def _one(self) -> Test:
        if self._take("not"):
            inner = self._one()
            return lambda record: not inner(record)
        if self._take("("):
            inner = self._any()
            if not self._take(")"):
                raise self._error()
            return inner
        if self._take("true"):
            return lambda _record: True
        if self._take("false"):
            return lambda _record: False
        left = self._term()
        if not self._take("="):
            raise self._error()
        right = self._term()
        return lambda record: left(record) == right(record)

    def _term(self) -> Term:
        word = self._next()
        if word == "field":
            quoted = self._next()
            if quoted[0] not in "\"'":
                raise self._error()
            name = quoted[1:-1].replace("__", "_")
            if name not in self._fields:
                raise ApiFailure("INTERNAL_ERROR", "missing field", name, "")
            return lambda record: _text(record[name])
        if word[0] not in "\"'":
            raise self._error()
        return lambda _record: word[1:-1]


def compile_query(text: str, fields: frozenset[str]) -> Test:
    """Make a test of records from a query; INVALID_VALUE or INTERNAL_ERROR when it cannot be read."""
    return _Parser(text, fields).parse()
