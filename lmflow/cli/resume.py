"""``lmflow resume``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from lmflow.cli.arguments import add_on_interrupt
from lmflow.cli.base import Answer, ListCommand
from lmflow.cli.door import Place, get_place
from lmflow.cli.exits import get_batch_exit
from lmflow.cli.planned import PLAN_COLUMNS, get_plan_exit, make_plan_row, tell_plan
from lmflow.cli.printer import Printer
from lmflow.cli.progress import follow
from lmflow.cli.sentences import OUTCOME_COLUMNS, make_outcome_row, tell_outcome
from lmflow.models import Outcome


class Resume(ListCommand):
    """Take up interrupted runs: ask the pool, then conclude, re-attach, redo or roll back."""

    columns = OUTCOME_COLUMNS
    moves_vms = True
    asks_pools = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the run."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "run", nargs="?", default="", metavar="RUN", help="UUID, unique prefix or request id; default: all"
        )
        parser.add_argument(
            "--plan", action="store_true", help="only say what would be done, by what is seen now; changes nothing"
        )
        add_on_interrupt(parser)
        return parser

    def get_columns(self, parsed_args: argparse.Namespace) -> Sequence[str]:
        """Return a plan's columns for a plan."""
        return PLAN_COLUMNS if parsed_args.plan else self.columns

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Resume; the answer has one row for each run taken up."""
        app = self.get_app()
        if parsed_args.plan:
            return _answer_plan(get_place(app), parsed_args.run, app.printer)
        with follow(app.printer, get_place(app), on_interrupt=parsed_args.on_interrupt) as following:
            outcomes = following.client.resume(parsed_args.run)
            codes = [following.judge(outcome) for outcome in outcomes]
        rows = tuple(make_outcome_row(outcome, code) for outcome, code in zip(outcomes, codes, strict=True))
        return Answer(OUTCOME_COLUMNS, rows, _tell(outcomes), get_batch_exit(codes))


def _answer_plan(place: Place, run: str, printer: Printer) -> Answer:
    with place.open_client(lambda notice: printer.say(notice.text)) as client:
        found = client.plan_resume(run)
    lines = [line for plan in found for line in tell_plan(plan)] or ["Nothing to resume."]
    codes = [get_plan_exit(plan) for plan in found]
    return Answer(PLAN_COLUMNS, tuple(make_plan_row(plan) for plan in found), lines, get_batch_exit(codes))


def _tell(outcomes: tuple[Outcome, ...]) -> Iterator[str]:
    if not outcomes:
        yield "Nothing to resume."
    for outcome in outcomes:
        yield from tell_outcome(outcome)
