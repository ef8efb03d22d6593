"""``lmflow migrate``."""

from __future__ import annotations

import argparse

from lmflow.cli.arguments import add_on_interrupt, parse_name
from lmflow.cli.base import Answer, ShowCommand
from lmflow.cli.door import get_place
from lmflow.cli.progress import follow
from lmflow.cli.sentences import OUTCOME_COLUMNS, make_outcome_row, tell_outcome


class Migrate(ShowCommand):
    """Migrate a running VM to another host of its pool."""

    columns = OUTCOME_COLUMNS
    moves_vms = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the VM, the destination and how the request is named."""
        parser = super().get_parser(prog_name)
        parser.add_argument("vm", metavar="VM", help="name, UUID or unique prefix")
        parser.add_argument(
            "--to",
            type=parse_name,
            metavar="HOST",
            help="destination: name, UUID or unique prefix; without it the valid host with the most headroom",
        )
        parser.add_argument(
            "--request-id",
            type=parse_name,
            metavar="ID",
            help="names this request for ever: the same ID returns, or re-attaches to, the first run",
        )
        parser.add_argument("--reason", default="", metavar="TEXT", help="kept with the run")
        parser.add_argument("--strict", action="store_true", help="refuse a VM that is already on the destination")
        add_on_interrupt(parser)
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Migrate, showing what happens; the answer is the run's outcome."""
        app = self.get_app()
        place = get_place(app)
        with follow(app.printer, place, on_interrupt=parsed_args.on_interrupt) as following:
            outcome = following.client.migrate(
                parsed_args.vm,
                parsed_args.to or "",
                pool=app.options.pool or place.default_pool,
                request_id=parsed_args.request_id or "",
                reason=parsed_args.reason,
                strict=parsed_args.strict,
            )
            code = following.judge(outcome)
        return Answer(OUTCOME_COLUMNS, make_outcome_row(outcome, code), tell_outcome(outcome), code)
