"""``lmflow resolve``."""

from __future__ import annotations

import argparse

from lmflow.cli.arguments import add_run
from lmflow.cli.base import Answer, ShowCommand
from lmflow.cli.door import get_place
from lmflow.cli.progress import follow
from lmflow.cli.sentences import OUTCOME_COLUMNS, make_outcome_row, tell_outcome


class Resolve(ShowCommand):
    """Record a person's decision on where the VM of an unknown run is, and bring the run to its end by it."""

    columns = OUTCOME_COLUMNS
    moves_vms = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the run and the decision."""
        parser = super().get_parser(prog_name)
        add_run(parser)
        place = parser.add_mutually_exclusive_group(required=True)
        place.add_argument(
            "--on", default="", metavar="HOST", help="it runs on this host: the source or the destination"
        )
        place.add_argument("--nowhere", action="store_true", help="it runs on neither of the two")
        parser.add_argument("--reason", required=True, metavar="TEXT", help="how you know; kept with the run")
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Look once more, record the decision if the evidence leaves it open, and end the run. No VM is touched."""
        app = self.get_app()
        with follow(app.printer, get_place(app)) as following:
            outcome = following.client.resolve(parsed_args.run, runs_on=parsed_args.on, reason=parsed_args.reason)
            code = following.judge(outcome)
        return Answer(OUTCOME_COLUMNS, make_outcome_row(outcome, code), tell_outcome(outcome), code)
