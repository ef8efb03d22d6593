"""``lmflow repair``."""

from __future__ import annotations

import argparse

from lmflow.cli.arguments import add_run
from lmflow.cli.base import Answer, ShowCommand
from lmflow.cli.door import get_place
from lmflow.cli.progress import follow
from lmflow.cli.sentences import OUTCOME_COLUMNS, make_outcome_row, tell_outcome


class Repair(ShowCommand):
    """Finish what the reverts of a failed run could not undo."""

    columns = OUTCOME_COLUMNS
    moves_vms = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the run."""
        parser = super().get_parser(prog_name)
        add_run(parser)
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Repair, showing what happens; the answer is the run's outcome."""
        app = self.get_app()
        with follow(app.printer, get_place(app)) as following:
            outcome = following.client.repair(parsed_args.run)
            code = following.judge(outcome)
        return Answer(OUTCOME_COLUMNS, make_outcome_row(outcome, code), tell_outcome(outcome), code)
