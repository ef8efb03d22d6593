"""``lmflow run wait``."""

from __future__ import annotations

import argparse

from lmflow.cli.arguments import add_run, add_timeout
from lmflow.cli.base import Answer, ShowCommand
from lmflow.cli.door import get_place
from lmflow.cli.exits import get_exit
from lmflow.cli.sentences import OUTCOME_COLUMNS, make_outcome_row, tell_outcome


class RunWait(ShowCommand):
    """Wait until a run has ended; its exit code is the run's own."""

    columns = OUTCOME_COLUMNS

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the run and how long to wait."""
        parser = super().get_parser(prog_name)
        add_run(parser)
        add_timeout(parser, "for its end; the run goes on after that")
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Read the records until the run has ended or nobody drives it any more; takes nothing up."""
        with get_place(self.get_app()).open_records() as records:
            outcome = records.wait(parsed_args.run, timeout_seconds=parsed_args.timeout)
        code = get_exit(outcome)
        return Answer(OUTCOME_COLUMNS, make_outcome_row(outcome, code), tell_outcome(outcome), code)
