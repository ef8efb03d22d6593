"""``lmflow run list``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lmflow.cli.arguments import parse_count, parse_moment, parse_name
from lmflow.cli.base import Answer, ListCommand
from lmflow.cli.door import get_place
from lmflow.cli.sentences import RUN_COLUMNS, make_run_row, shorten
from lmflow.models import RunState

if TYPE_CHECKING:
    from lmflow.api.records import WantedRuns

STATES = tuple(state.value for state in RunState)


class RunList(ListCommand):
    """List the open runs, or all of them."""

    columns = RUN_COLUMNS

    formatter_default = "table"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the choice of runs."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--all", action="store_true", help="ended runs too; so do --state, --vm, --since, --until")
        parser.add_argument(
            "--state", action="append", choices=STATES, default=[], help="only runs in this state (repeatable)"
        )
        parser.add_argument("--vm", type=parse_name, metavar="VM", help="only runs of this VM: name or UUID")
        moment = "2026-11-23, 2026-11-23T14:30 (local time), 7d, 12h or 30min ago"
        parser.add_argument("--since", type=parse_moment, metavar="WHEN", help=f"only runs begun since then: {moment}")
        parser.add_argument("--until", type=parse_moment, metavar="WHEN", help="only runs begun before then")
        parser.add_argument("--limit", type=parse_count, default=100, metavar="N", help="the newest N (default 100)")
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Read the run index; the table leaves out what does not fit a terminal."""
        app, wanted = self.get_app(), _make_wanted(parsed_args)
        chosen = bool(wanted)
        open_only = not (chosen or parsed_args.all)
        if app.options.pool:
            wanted["pool"] = app.options.pool
        with get_place(app).open_records() as records:
            found = records.find_runs(active_only=open_only, limit=parsed_args.limit, **wanted)
            rows = tuple(make_run_row(run, records.condition(run)) for run in found.runs)
        for damaged in found.damaged:
            app.printer.insist(f"lmflow: {damaged}")
        if not found.runs:
            app.printer.say("No open run; --all lists ended ones too." if open_only else _say_none(chosen))
        lines = (f"{shorten(row[0])}  {row[1]}  {row[2]} -> {row[3]}  {row[5].upper()}  {row[8]}" for row in rows)
        if parsed_args.formatter == "table" and not parsed_args.columns:
            shown = ("run", "vm", "source", "destination", "condition", "phase", "created")
            return Answer(
                shown, tuple((shorten(row[0]), *row[1:4], *row[5:7], _shorten_time(row[7])) for row in rows), lines
            )
        return Answer(RUN_COLUMNS, rows, lines)


def _make_wanted(parsed_args: argparse.Namespace) -> WantedRuns:
    wanted: WantedRuns = {}
    if parsed_args.state:
        wanted["states"] = [RunState(name) for name in parsed_args.state]
    if parsed_args.vm:
        wanted["vm"] = parsed_args.vm
    if parsed_args.since is not None:
        wanted["since"] = parsed_args.since
    if parsed_args.until is not None:
        wanted["until"] = parsed_args.until
    return wanted


def _say_none(chosen: bool) -> str:
    return "No such run." if chosen else "No run at all."


def _shorten_time(text: str) -> str:
    """Return month, day, hour and minute: in a table of eighty columns there is no room for more."""
    return text[5:16].replace("T", " ")
