"""The output format for people; the formats for machines are cliff's."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from cliff import columns
from cliff.formatters import base


class Nested(columns.FormattableColumn[Any]):
    """A value with structure: whole for machines, ``text`` for tables."""

    def __init__(self, value: Any, text: str) -> None:
        super().__init__(value)
        self._text = text

    def human_readable(self) -> str:
        """Return the text; cliff's own default is Python's repr."""
        return self._text


class TextFormatter(base.ListFormatter, base.SingleFormatter):
    """``field: value`` lines; commands print sentences of their own unless columns are chosen."""

    def add_argument_group(self, parser: argparse.ArgumentParser) -> None:
        """Add nothing: text has no options."""

    def emit_list(
        self,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Write each row as one line of ``field: value`` pairs."""
        for row in data:
            stdout.write("  ".join(f"{n}: {_show(v)}" for n, v in zip(column_names, row, strict=True)) + "\n")

    def emit_one(
        self, column_names: Sequence[str], data: Sequence[Any], stdout: TextIO, parsed_args: argparse.Namespace
    ) -> None:
        """Write each field as one line."""
        for name, value in zip(column_names, data, strict=True):
            stdout.write(f"{name}: {_show(value)}\n")


def _show(value: Any) -> str:
    return str(value.human_readable() if isinstance(value, columns.FormattableColumn) else value)
