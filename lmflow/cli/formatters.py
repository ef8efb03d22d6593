"""The output format for people, and cliff's formats with their values as people, or machines, can read them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

from cliff import columns
from cliff.formatters import base, commaseparated, table, value

from lmflow.cli.printer import escape


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
        for name, each in zip(column_names, data, strict=True):
            stdout.write(f"{name}: {_show(each)}\n")


class TableFormatter(table.TableFormatter):
    """cliff's table, without what a terminal would obey: a tenant chooses the name of a VM."""

    def emit_list(
        self,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Write a row a line."""
        super().emit_list(column_names, _convert(data, _tame), stdout, parsed_args)

    def emit_one(
        self, column_names: Sequence[str], data: Sequence[Any], stdout: TextIO, parsed_args: argparse.Namespace
    ) -> None:
        """Write a field a line."""
        super().emit_one(column_names, [_tame(each) for each in data], stdout, parsed_args)


class ValueFormatter(value.ValueFormatter):
    """cliff's bare values; one with structure is JSON."""

    def emit_list(
        self,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Write a row a line, separated by spaces."""
        super().emit_list(column_names, _convert(data, _plain), stdout, parsed_args)

    def emit_one(
        self, column_names: Sequence[str], data: Sequence[Any], stdout: TextIO, parsed_args: argparse.Namespace
    ) -> None:
        """Write a value a line."""
        super().emit_one(column_names, [_plain(each) for each in data], stdout, parsed_args)


class CsvFormatter(commaseparated.CSVLister):
    """cliff's CSV; a value with structure is JSON."""

    def emit_list(
        self,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Write a heading and the rows."""
        super().emit_list(column_names, _convert(data, _plain), stdout, parsed_args)


def _convert(rows: Iterable[Sequence[Any]], convert: Callable[[Any], Any]) -> list[list[Any]]:
    return [[convert(each) for each in row] for row in rows]


def _plain(value: Any) -> Any:
    """Return a cell as other programs read it: JSON for structure, ``true``, and nothing for what is absent."""
    if isinstance(value, columns.FormattableColumn):
        return json.dumps(value.machine_readable(), ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _tame(value: Any) -> Any:
    if isinstance(value, columns.FormattableColumn):
        return Nested(value.machine_readable(), escape(value.human_readable()))
    return escape(value) if isinstance(value, str) else value


def _show(value: Any) -> str:
    return escape(str(value.human_readable() if isinstance(value, columns.FormattableColumn) else value))
