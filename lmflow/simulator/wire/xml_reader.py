"""Reads XML-RPC calls as XAPI reads them: the same documents are taken, the same texts refuse the others.

Source: ocaml-rpc, xmlrpc.ml (the grammar), and xmlm (the errors and how places are counted). Expat does the reading.
No entity is ever expanded but the five of XML itself, and nothing outside the document is ever fetched.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, NoReturn
from xml.parsers import expat
from xml.parsers.expat import errors

from lmflow.simulator.database.numerals import parse_float, parse_int64
from lmflow.simulator.database.values import DateTime, Value

DEPTH_LIMIT = 100
"""Elements in elements. XAPI knows no limit; its calls need less than 20."""
_START, _DATA, _END = "start", "data", "end"
_CODES = errors.codes


class MalformedCall(ValueError):  # noqa: N818 - what the client sent, not what went wrong here
    """The body is no call; the text is what XAPI's page says about it."""


class _RootClosed(Exception):  # noqa: N818 - the end of what is read, not an error
    pass


class _Reader:
    """Turns a document into a flat list of (kind, text): elements, character data in one piece, ends."""

    def __init__(self, body: bytes) -> None:
        self.signals: list[tuple[str, str]] = []
        self._body = body
        self._depth = 0
        self._text: list[str] = []
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        # With a default handler expat hands references to entities over and does not expand them.
        parser.DefaultHandler = self._other
        parser.EntityDeclHandler = self._declare

    def read(self) -> list[tuple[str, str]]:
        """Read the first element and what is in it; what follows is not looked at. MalformedCall."""
        try:
            self._parser.Parse(self._body, True)
        except _RootClosed:
            return self.signals
        except expat.ExpatError as error:
            raise self._explain(error) from None
        except (ValueError, LookupError) as error:  # an encoding that is declared, and unknown
            if isinstance(error, MalformedCall):
                raise
            raise self._refuse(len(self._body), "malformed character stream") from None
        raise self._refuse(len(self._body), "unexpected end of input")

    def _flush(self) -> None:
        if self._text:
            self.signals.append((_DATA, "".join(self._text)))
            self._text.clear()

    def _start(self, tag: str, _attributes: dict[str, str]) -> None:
        self._flush()
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise MalformedCall("Stack_overflow")
        self.signals.append((_START, tag.rpartition(":")[2]))

    def _end(self, _tag: str) -> None:
        self._flush()
        self._depth -= 1
        self.signals.append((_END, ""))
        if self._depth == 0:
            raise _RootClosed

    def _declare(self, *declaration: Any) -> None:
        # In attributes expat expands what is declared; what is declared of other entities could grow without end.
        value = declaration[2]
        if value is not None and "&" in value:
            raise self._refuse(self._parser.CurrentByteIndex, "maximal buffer size exceeded")

    def _other(self, text: str) -> None:
        if self._depth and text.startswith("&"):
            place = self._parser.CurrentByteIndex + len(text.encode())
            raise self._refuse(place, f"unknown entity reference ({text[1:-1]})")

    def _explain(self, error: expat.ExpatError) -> MalformedCall:
        place = self._parser.ErrorByteIndex
        code = error.code
        if code == _CODES[errors.XML_ERROR_UNDEFINED_ENTITY]:
            name = self._body[place + 1 :].partition(b";")[0]
            return self._refuse(place + len(name) + 2, f"unknown entity reference ({name.decode('utf-8', 'replace')})")
        if code == _CODES[errors.XML_ERROR_TAG_MISMATCH]:
            return self._explain_tag(place)
        bad = _find_bad(self._body) if code in _OF_CHARACTERS else None
        if bad is not None or code == _CODES[errors.XML_ERROR_UNKNOWN_ENCODING]:
            return self._refuse(place if bad is None else bad, "malformed character stream")
        if code == _CODES[errors.XML_ERROR_SYNTAX] and self._depth == 0:
            return self._refuse(place, "expected root element")
        if place >= len(self._body) or code in _AT_THE_END:
            return self._refuse(len(self._body), "unexpected end of input")
        found = self._body[place:].decode("utf-8", "replace")[:1].replace('"', '\\"')
        return self._refuse(place, f'character sequence \\"{found}\\" illegal here')

    def _explain_tag(self, place: int) -> MalformedCall:
        open_tags: list[str] = []
        for kind, text in self.signals:
            if kind == _START:
                open_tags.append(text)
            elif kind == _END:
                open_tags.pop()
        found = re.match(rb"(?:</)?([^\s>/]*)", self._body[place:])
        name = found.group(1).decode("utf-8", "replace") if found else ""
        end = place + (found.end() if found else 0)
        wanted = open_tags[-1] if open_tags else ""
        return self._refuse(end, f'expected character sequence \\"{wanted}\\", found \\"{name}\\"')

    def _refuse(self, place: int, text: str) -> MalformedCall:
        """Make the refusal of what stands at a byte; XAPI counts lines and their characters, from 1."""
        before = self._body[:place].decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        return MalformedCall(f'Xmlm.Error({line}:{column}, "{text}")')


_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_OF_CHARACTERS = {_CODES[errors.XML_ERROR_INVALID_TOKEN], _CODES[errors.XML_ERROR_PARTIAL_CHAR]}
_AT_THE_END = {
    _CODES[errors.XML_ERROR_NO_ELEMENTS],
    _CODES[errors.XML_ERROR_UNCLOSED_TOKEN],
    _CODES[errors.XML_ERROR_UNCLOSED_CDATA_SECTION],
}


def _find_bad(body: bytes) -> int | None:
    """Find the first byte of what is no character of XML in UTF-8; None when there is none."""
    try:
        text = body.decode()
        end = None
    except UnicodeDecodeError as error:
        text, end = body[: error.start].decode(), error.start
    found = _NO_CHARACTER.search(text)
    return end if found is None else len(text[: found.start()].encode())


# -- the grammar of XML-RPC on top of it


def _fail(got: str, expected: str) -> NoReturn:
    raise MalformedCall(f'Xmlrpc.Parse_error("{got}", "{expected}", _)')


def _is_empty(text: str) -> bool:
    return not text.strip("\n \t")


def _int(text: str) -> int:
    try:
        return parse_int64(text)
    except ValueError:
        raise MalformedCall('Failure("Int64.of_string")') from None


def _float(text: str) -> float:
    try:
        return parse_float(text)
    except ValueError:
        raise MalformedCall('Failure("float_of_string")') from None


def _base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise MalformedCall('Invalid_argument("Malformed input")') from None


_SIMPLE: dict[str, Callable[[str], Value]] = {
    "int": _int,
    "i4": _int,
    "i8": _int,
    "boolean": lambda text: text == "1",
    "double": _float,
    "string": str,
    "dateTime.iso8601": DateTime,
    "base64": _base64,
}
_EMPTY: dict[str, Callable[[], Value]] = {
    "string": str,
    "array": list,
    "struct": dict,
    "nil": lambda: None,
    "value": str,
}
_KNOWN = "open_tag(int/i8/i4/boolean/double/string/dateTime.iso8601/array/struct/nil)"


class _Calls:
    """Walks over the signals of a document."""

    def __init__(self, signals: list[tuple[str, str]]) -> None:
        self._signals = signals
        self._next = 0

    def _take(self) -> tuple[str, str]:
        if self._next == len(self._signals):
            raise MalformedCall('Xmlm.Error(1:1, "unexpected end of input")')
        self._next += 1
        return self._signals[self._next - 1]

    def _peek(self) -> tuple[str, str]:
        return self._signals[self._next] if self._next < len(self._signals) else (_END, "")

    def _skip_empty(self) -> None:
        while True:
            kind, text = self._peek()
            if kind != _DATA or not _is_empty(text):
                return
            self._next += 1

    def _open(self, wanted: str = "") -> str:
        kind, text = self._take()
        while kind == _DATA and _is_empty(text):
            kind, text = self._take()
        if kind != _START:
            _fail(f"data({text})" if kind == _DATA else "close_tag", "open_tag")
        if wanted and text != wanted:
            _fail(f"open_tag({text})", f"open_tag({wanted})")
        return text

    def _close(self, tag: str) -> None:
        kind, text = self._take()
        while kind == _DATA and _is_empty(text):
            kind, text = self._take()
        if kind != _END:
            _fail(f"data({text})" if kind == _DATA else f"open_tag({text})", f"close_tag({tag})")

    def _data(self) -> str:
        kind, text = self._take()
        if kind == _START:
            _fail(f"open_tag({text})", "data")
        return text

    def read_call(self) -> tuple[str, list[Value]]:
        """Read the name and the parameters. MalformedCall."""
        self._open("methodCall")
        self._open("methodName")
        name = self._data()
        self._close("methodName")
        self._open("params")
        params: list[Value] = []
        self._skip_empty()
        while self._peek()[0] != _END:
            self._open("param")
            params.append(self._value())
            self._close("param")
            self._skip_empty()
        self._close("params")
        self._close("methodCall")
        return name, params

    def _value(self) -> Value:
        tag = self._open()
        if tag != "value":
            _fail("open_tag(value)", f"open_tag({tag})")
        kind, text = self._peek()
        found: Value = ""
        if kind == _DATA:
            self._next += 1
            found = self._typed() if _is_empty(text) and self._peek()[0] == _START else text
        elif kind == _START:
            found = self._typed()
        self._close("value")
        return found

    def _typed(self) -> Value:
        tag = self._open()
        if self._peek()[0] == _END:
            if tag not in _EMPTY:
                _fail(f"empty_{tag}", tag)
            found = _EMPTY[tag]()
        elif tag in _SIMPLE:
            found = _SIMPLE[tag](self._data())
        elif tag == "array":
            found = self._array()
        elif tag == "struct":
            found = self._struct()
        elif tag == "nil":
            found = None
        else:
            _fail(f"open_tag({tag})", _KNOWN)
        self._close(tag)
        return found

    def _array(self) -> list[Value]:
        self._open("data")
        found = []
        self._skip_empty()
        while self._peek()[0] != _END:
            found.append(self._value())
            self._skip_empty()
        self._close("data")
        return found

    def _struct(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        self._skip_empty()
        while self._peek()[0] != _END:
            self._open("member")
            self._open("name")
            name = self._data()
            self._close("name")
            # Of members with one name XAPI sees the first.
            value = self._value()
            found.setdefault(name, value)
            self._close("member")
            self._skip_empty()
        return found


def parse_call(body: bytes) -> tuple[str, list[Value]]:
    """Read a call: its name and parameters. MalformedCall with XAPI's text."""
    return _Calls(_Reader(body).read()).read_call()
