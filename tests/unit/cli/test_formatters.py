"""Formats for machines hold JSON where a value has structure; formats for people obey no name."""

import argparse
import csv
import io
import json

import pytest

from lmflow.cli.formatters import CsvFormatter, Nested, TableFormatter, TextFormatter, ValueFormatter

COLUMNS = ("vm", "findings", "there", "error")
FINDINGS = [{"code": "VM_REQUIRES_SR", "hosts": ["xcp-b"], "über": None}]
ROW = ("web-01", Nested(FINDINGS, "VM_REQUIRES_SR: no"), True, None)
OPTIONS = argparse.Namespace(
    quote_mode="minimal", max_width=0, fit_width=False, print_empty=True, columns=[], noindent=False
)


def test_csv_has_json_in_its_cells() -> None:
    out = io.StringIO()
    CsvFormatter().emit_list(COLUMNS, [ROW], out, OPTIONS)
    head, row = csv.reader(io.StringIO(out.getvalue()), escapechar="\\")
    assert tuple(head) == COLUMNS
    assert (row[0], json.loads(row[1]), row[2], row[3]) == ("web-01", FINDINGS, "true", "")


def test_bare_values_have_json_too() -> None:
    one, many = io.StringIO(), io.StringIO()
    ValueFormatter().emit_one(COLUMNS, ROW, one, OPTIONS)
    ValueFormatter().emit_list(COLUMNS[1:2], [ROW[1:2]], many, OPTIONS)
    vm, findings, there, error = one.getvalue().splitlines()
    assert (vm, json.loads(findings), there, error) == ("web-01", FINDINGS, "true", "")
    assert json.loads(many.getvalue()) == FINDINGS


@pytest.mark.parametrize("formatter", [TableFormatter, TextFormatter])
def test_a_name_cannot_command_the_terminal(formatter: type[TableFormatter | TextFormatter]) -> None:
    wild = ("web\x1b[2J", Nested(["\x1b"], "red\u202e"))
    one, many = io.StringIO(), io.StringIO()
    formatter().emit_one(COLUMNS[:2], wild, one, OPTIONS)
    formatter().emit_list(COLUMNS[:2], [wild], many, OPTIONS)
    for told in (one.getvalue(), many.getvalue()):
        assert "web\\x1b[2J" in told
        assert "red\\u202e" in told
        assert all(c.isprintable() or c == "\n" for c in told)
