"""``lmflow status``."""

from __future__ import annotations

import argparse

from lmflow.cli.base import Answer, ListCommand
from lmflow.cli.door import get_place
from lmflow.cli.exits import Exit
from lmflow.cli.sentences import STATUS_COLUMNS, make_status_row, tell_status


class Status(ListCommand):
    """Tell what needs me now; first of all whether a VM is down."""

    columns = STATUS_COLUMNS
    asks_pools = True

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Ask the database and the pools; changes nothing."""
        app = self.get_app()
        with get_place(app).open_client() as client:
            report = client.status()
        if parsed_args.formatter != "text":
            app.printer.say(report.headline)
        blind = any(line.seconds_old is None for line in report.lines)
        rows = tuple(make_status_row(line) for line in report.lines)
        return Answer(STATUS_COLUMNS, rows, tell_status(report), Exit.UNREACHABLE if blind else Exit.DONE)
