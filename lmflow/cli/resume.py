"""``lmflow resume``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from lmflow.cli.arguments import add_on_interrupt
from lmflow.cli.base import Answer, ListCommand
from lmflow.cli.door import get_place
from lmflow.cli.exits import get_batch_exit
from lmflow.cli.progress import follow
from lmflow.cli.sentences import OUTCOME_COLUMNS, make_outcome_row, tell_outcome
from lmflow.models import Outcome


class Resume(ListCommand):
    """Take up interrupted runs: ask the pool, then conclude, re-attach, redo or roll back."""

    columns = OUTCOME_COLUMNS
    moves_vms = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the run."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "run", nargs="?", default="", metavar="RUN", help="UUID, unique prefix or request id; default: all"
        )
        add_on_interrupt(parser)
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Resume; the answer has one row for each run taken up."""
        app = self.get_app()
        with follow(app.printer, get_place(app), on_interrupt=parsed_args.on_interrupt) as following:
            outcomes = following.client.resume(parsed_args.run)
            codes = [following.judge(outcome) for outcome in outcomes]
        rows = tuple(make_outcome_row(outcome, code) for outcome, code in zip(outcomes, codes, strict=True))
        return Answer(OUTCOME_COLUMNS, rows, _tell(outcomes), get_batch_exit(codes))


def _tell(outcomes: tuple[Outcome, ...]) -> Iterator[str]:
    if not outcomes:
        yield "Nothing to resume."
    for outcome in outcomes:
        yield from tell_outcome(outcome)
