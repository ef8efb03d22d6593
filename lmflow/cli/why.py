"""``lmflow why``."""

from __future__ import annotations

import argparse

from lmflow.cli.arguments import add_run
from lmflow.cli.base import Answer, ShowCommand
from lmflow.cli.door import get_place
from lmflow.cli.exits import Exit
from lmflow.cli.sentences import WHY_COLUMNS, make_why_row, tell_why


class Why(ShowCommand):
    """Explain a run: what was written last, what the pool says now, the verdict, one command."""

    columns = WHY_COLUMNS
    asks_pools = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the run."""
        parser = super().get_parser(prog_name)
        add_run(parser)
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Ask the database and the pool; changes nothing."""
        with get_place(self.get_app()).open_client() as client:
            report = client.why(parsed_args.run)
        code = Exit.UNREACHABLE if report.verdict == "CANNOT SAY" else Exit.DONE
        return Answer(WHY_COLUMNS, make_why_row(report), tell_why(report), code)
