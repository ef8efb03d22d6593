"""Read the text of a configuration file strictly: what oslo.config would merge, or pass over in silence, is refused."""

from __future__ import annotations

import codecs
import re
import stat
from pathlib import Path

from oslo_config import cfg, iniparser

from lmflow.exceptions import ConfigurationError

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FORM = "write [group] headings and name = value lines; compare with lmflow.conf.sample"


def escape(text: str) -> str:
    """Return a text that a terminal shows as it is: what is invisible or steers it becomes an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def make_unreadable(path: Path, cause: str, advice: str = _FORM) -> ConfigurationError:
    """Make the error for a file that cannot be used at all."""
    return ConfigurationError(f"the configuration file {escape(str(path))} cannot be read: {cause}", advice=advice)


def check_readable(path: Path, advice: str) -> Path:
    """Return the path of a regular file that can be opened, else raise ConfigurationError.

    A pipe is refused because the file is read more than once.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise make_unreadable(path, "it is a directory" if path.is_dir() else "it is no regular file", advice)
        with path.open("rb"):
            return path
    except (OSError, ValueError) as error:
        raise make_unreadable(path, getattr(error, "strerror", None) or str(error), advice) from error


def read_sections(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return the texts of a file by section and option; ConfigurationError names the line where one is known."""
    sections: dict[str, dict[str, list[str]]] = {}
    try:
        _check_text(path, path.read_bytes())
        _Parser(path, sections).parse()
    except iniparser.ParseError as error:
        # Without the line's text, and the error that has it, for tracebacks are logged: a password may stand in it.
        raise make_unreadable(path, f"line {error.lineno}: {error.msg}") from None
    except OSError as error:
        raise make_unreadable(path, str(error.strerror)) from error
    return sections


def _check_text(path: Path, data: bytes) -> None:
    if data.startswith(_MARKS):
        raise make_unreadable(path, "it begins with a byte order mark", "save it as UTF-8 without one")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise make_unreadable(path, f"line {line}: it is not UTF-8 text", "save it as UTF-8") from error
    control = _CONTROL.search(text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        raise make_unreadable(path, f"line {line}: it contains the control character U+{ord(control[0]):04X}")


class _Parser(cfg.ConfigParser):
    """oslo.config's parser, which also refuses what stands there twice and names that do not look as they are."""

    def __init__(self, path: Path, sections: dict[str, dict[str, list[str]]]) -> None:
        super().__init__(str(path), sections)
        self._path = path
        self._lines: dict[str, tuple[int, str]] = {}

    def new_section(self, section: str) -> None:
        self._check_name("section", section)
        # oslo.config finds a section whatever its capitals: two pools would get each other's addresses.
        line, earlier = self._lines.setdefault(section.lower(), (self.lineno, section))
        if line != self.lineno:
            same = "" if earlier == section else f" as [{earlier}], and capitals make no difference"
            cause = f"line {self.lineno}: section [{section}] began in line {line} already{same}"
            raise make_unreadable(self._path, cause, "keep one of the two sections")
        super().new_section(section)

    def assignment(self, key: str, value: list[str]) -> None:
        if not self.section:
            raise make_unreadable(self._path, "an option stands before the first [section]")
        self._check_name("option", key)
        if key in self.sections[self.section]:
            cause = f"option {key} stands twice in [{self.section}]"
            raise make_unreadable(self._path, cause, "keep one of the two lines")
        super().assignment(key, value)

    def _check_name(self, what: str, name: str) -> None:
        if not name.isprintable():
            raise make_unreadable(self._path, f"the name of {what} {escape(name)!r} contains an invisible character")
