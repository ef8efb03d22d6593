"""``lmflow cancel``."""

from __future__ import annotations

import argparse

from lmflow.cli.arguments import add_run, add_timeout
from lmflow.cli.base import Answer, ShowCommand
from lmflow.cli.door import get_place
from lmflow.cli.exits import Exit, get_exit
from lmflow.cli.progress import follow
from lmflow.cli.sentences import CANCEL_COLUMNS, make_cancel_row, tell_cancellation
from lmflow.models import Cancellation, RunState


class Cancel(ShowCommand):
    """Ask for a run to be cancelled: cancelled, too late, or not cancellable now."""

    columns = CANCEL_COLUMNS
    moves_vms = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the run, the reason and how long to wait."""
        parser = super().get_parser(prog_name)
        add_run(parser)
        parser.add_argument("--reason", default="", metavar="TEXT", help="kept with the run")
        add_timeout(parser, "for an answer; the request stands after that")
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Ask, and wait for the answer; a run that nobody drives any more is taken up and cancelled here."""
        app = self.get_app()
        left = f"run {parsed_args.run} goes on as it was; a request to cancel that was stored stands"
        with follow(app.printer, get_place(app), left=left) as following:
            found = following.client.cancel(
                parsed_args.run, reason=parsed_args.reason, timeout_seconds=parsed_args.timeout
            )
            code = judge(found) if found.outcome.reason != "detached" else following.judge(found.outcome)
        return Answer(CANCEL_COLUMNS, make_cancel_row(found, code), tell_cancellation(found), code)


def judge(found: Cancellation) -> Exit:
    """Return the exit code: 0 for a cancel, 3 where the migration goes on or had succeeded, else the run's own."""
    if found.answer == "cancelled":
        return Exit.DIRTY if found.outcome.run.state is RunState.DIRTY else Exit.DONE
    if found.answer != "waiting" and found.outcome.run.state in (RunState.RUNNING, RunState.SUCCESS):
        return Exit.REFUSED
    return get_exit(found.outcome)
