"""``lmflow run list``."""

from __future__ import annotations

import argparse

from lmflow.cli.arguments import parse_count
from lmflow.cli.base import Answer, ListCommand
from lmflow.cli.door import get_place
from lmflow.cli.sentences import RUN_COLUMNS, make_run_row, shorten


class RunList(ListCommand):
    """List the open runs, or all of them."""

    columns = RUN_COLUMNS

    formatter_default = "table"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the choice of runs."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--all", action="store_true", help="ended runs too")
        parser.add_argument("--limit", type=parse_count, default=100, metavar="N", help="the newest N (default 100)")
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Read the run index; the table leaves out what does not fit a terminal."""
        with get_place(self.get_app()).open_records() as records:
            runs = records.runs(active_only=not parsed_args.all, limit=parsed_args.limit)
            rows = tuple(make_run_row(run, records.condition(run)) for run in runs)
        if not runs:
            self.get_app().printer.say(
                "No run at all." if parsed_args.all else "No open run; --all lists ended ones too."
            )
        lines = (f"{shorten(row[0])}  {row[1]}  {row[2]} -> {row[3]}  {row[5].upper()}  {row[8]}" for row in rows)
        if parsed_args.formatter == "table" and not parsed_args.columns:
            shown = ("run", "vm", "source", "destination", "condition", "phase", "created")
            return Answer(
                shown, tuple((shorten(row[0]), *row[1:4], *row[5:7], _shorten_time(row[7])) for row in rows), lines
            )
        return Answer(RUN_COLUMNS, rows, lines)


def _shorten_time(text: str) -> str:
    """Return month, day, hour and minute: in a table of eighty columns there is no room for more."""
    return text[5:16].replace("T", " ")
