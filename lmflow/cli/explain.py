"""``lmflow explain``."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from cliff.formatters.base import SingleFormatter

from lmflow.catalogue import ENTRIES, Entry, Family, find_entries, find_near
from lmflow.cli.base import Answer, ListCommand
from lmflow.cli.errors import WIDTH
from lmflow.cli.formatters import Nested
from lmflow.cli.sentences import wrap
from lmflow.exceptions import UsageError

_COLUMNS = ("code", "family", "title", "meaning", "cause", "vm_state", "remedy", "command", "parameters", "source")
# What is left of them where each code has one line.
_BRIEF = ("code", "title")


class Explain(ListCommand):
    """Explain a code: what it means, where it comes from, what is true of the VM, what to do."""

    columns = _COLUMNS
    offers: ClassVar[Mapping[str, Sequence[str]]] = {"code": tuple(entry.code for entry in ENTRIES)}

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the code."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "code",
            nargs="?",
            default="",
            metavar="CODE",
            help="XAPI's code, lmflow's, a state, a verdict or an exit code, or a unique prefix; default: list all",
        )
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Look the code up; asks nobody. UsageError when it is unknown or a prefix of several."""
        found = (_get_entry(parsed_args.code),) if parsed_args.code else ENTRIES
        lines = _tell(found[0]) if parsed_args.code else _list(found)
        if parsed_args.formatter == "table" and not (parsed_args.code or parsed_args.columns):
            return Answer(_BRIEF, tuple((entry.code, entry.title) for entry in found), lines)
        return Answer(_COLUMNS, tuple(_make_row(entry) for entry in found), lines)

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Sequence[Any]]
    ) -> int:
        """Print one code as one object, where the format knows the difference."""
        if not (parsed_args.code and isinstance(self.formatter, SingleFormatter)):
            return super().produce_output(parsed_args, column_names, data)
        columns, selector = self._generate_columns_and_selector(parsed_args, column_names)
        row = next(iter(data))
        kept = list(self._compress_iterable(row, selector)) if selector else row
        self.formatter.emit_one(columns, kept, self.app.stdout, parsed_args)
        return 0


def _get_entry(text: str) -> Entry:
    found = find_entries(text)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{text!r} begins {len(found)} codes", candidates=[entry.code for entry in found])
    raise UsageError(f"there is no code {text!r} in the catalogue", candidates=find_near(text), advice="lmflow explain")


def _make_row(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.code, entry.family.value, entry.title, entry.meaning, entry.cause, entry.vm_state, entry.remedy,
        entry.command, Nested(list(entry.params), ", ".join(entry.params)), entry.source,
    )  # fmt: skip


def _tell(entry: Entry) -> Iterator[str]:
    yield from textwrap.wrap(f"{entry.code}  {entry.title}", WIDTH, break_long_words=False, break_on_hyphens=False)
    yield f"  ({entry.family.value})"
    for label, text in (
        ("means", entry.meaning),
        ("causes", entry.cause),
        ("the VM", entry.vm_state),
        ("remedy", entry.remedy),
        ("try", entry.command),
        ("params", ", ".join(entry.params)),
        ("source", entry.source),
    ):
        yield from wrap(label, text) if text else ()


def _list(entries: Sequence[Entry]) -> Iterator[str]:
    for family in Family:
        yield family.value
        for entry in (each for each in entries if each.family is family):
            line = f"  {entry.code}  {entry.title}"
            yield from [line] if len(line) <= WIDTH else [f"  {entry.code}", f"      {entry.title}"]
