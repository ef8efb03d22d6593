"""``lmflow migrate``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lmflow.cli.arguments import add_on_interrupt, add_way, parse_name, parse_retries, parse_seconds
from lmflow.cli.base import Answer, ShowCommand
from lmflow.cli.door import get_place
from lmflow.cli.errors import explain_findings
from lmflow.cli.progress import follow
from lmflow.cli.sentences import OUTCOME_COLUMNS, make_outcome_row, tell_outcome
from lmflow.exceptions import UsageError

if TYPE_CHECKING:
    from lmflow.api.ways import Ways
    from lmflow.cli.printer import Printer
    from lmflow.models import Finding


class Migrate(ShowCommand):
    """Migrate a running VM to another host of its pool."""

    columns = OUTCOME_COLUMNS
    moves_vms = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the VM, the destination, how the request is named, and how the VM is to be moved."""
        parser = super().get_parser(prog_name)
        parser.add_argument("vm", metavar="VM", help="name, UUID or unique prefix")
        parser.add_argument(
            "--to",
            type=parse_name,
            metavar="HOST",
            help="destination: name, UUID or unique prefix; without it lmflow chooses among the valid hosts",
        )
        parser.add_argument(
            "--request-id",
            type=parse_name,
            metavar="ID",
            help="names this request for ever: the same ID returns, or re-attaches to, the first run",
        )
        parser.add_argument("--reason", default="", metavar="TEXT", help="kept with the run")
        parser.add_argument(
            "--strict",
            action="store_true",
            help="refuse also for warnings, and a VM that is on the destination already",
        )
        add_way(parser)
        parser.add_argument("--yes", action="store_true", help="what --force overrides is confirmed")
        _add_choice(parser)
        _add_times(parser)
        parser.add_argument(
            "--compress",
            action=argparse.BooleanOptionalAction,
            default=None,
            help="compress the copy, or do not; default: as the pool has it",
        )
        parser.add_argument(
            "--keep-source-kernel", action="store_true", help="leave the source's copy of an external kernel"
        )
        add_on_interrupt(parser)
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Migrate, showing what happens; the answer is the run's outcome."""
        app = self.get_app()
        if parsed_args.to and (parsed_args.strategy or parsed_args.max_retries is not None):
            raise UsageError(
                "--strategy and --max-retries are for a choice of lmflow's, and --to names a host",
                advice="leave out --to, or the others",
            )
        place = get_place(app)
        with follow(app.printer, place, on_interrupt=parsed_args.on_interrupt) as following:
            outcome = following.client.migrate(
                parsed_args.vm,
                parsed_args.to or "",
                pool=app.options.pool or place.default_pool,
                request_id=parsed_args.request_id or "",
                reason=parsed_args.reason,
                **_make_ways(parsed_args, None if parsed_args.yes else make_confirm(app.printer)),
            )
            code = following.judge(outcome)
        return Answer(OUTCOME_COLUMNS, make_outcome_row(outcome, code), tell_outcome(outcome), code)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--strategy",
        type=parse_name,
        metavar="NAME",
        help="without --to: how the valid hosts are ranked: headroom, spread, pack, or one that a plugin adds",
    )
    parser.add_argument(
        "--max-retries",
        type=parse_retries,
        default=None,
        metavar="N",
        help="without --to: how many more hosts are tried when the chosen one turns out unfit",
    )


def _add_times(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--deadline",
        type=parse_seconds,
        default=None,
        metavar="SECONDS",
        help="cancel the run when it has not ended so long after it was begun; too late, it goes on",
    )
    parser.add_argument(
        "--no-progress",
        type=parse_seconds,
        default=None,
        metavar="SECONDS",
        help="cancel the run when its migration stands still for so long; too late, it goes on",
    )
    parser.add_argument(
        "--wait-guest",
        type=parse_seconds,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for the guest's agent after the arrival, and warn when it does not report",
    )


def _make_ways(parsed_args: argparse.Namespace, confirm: Callable[[Sequence[Finding]], bool] | None) -> Ways:
    return {
        "strict": parsed_args.strict,
        "force": parsed_args.force,
        "confirm": confirm,
        "network": parsed_args.network or "",
        "compress": parsed_args.compress,
        "deadline_seconds": parsed_args.deadline,
        "no_progress_seconds": parsed_args.no_progress,
        "guest_seconds": parsed_args.wait_guest,
        "eject_local_iso": parsed_args.eject_local_iso,
        "keep_source_kernel": parsed_args.keep_source_kernel,
        "max_retries": parsed_args.max_retries,
        "strategy": parsed_args.strategy or "",
    }


def make_confirm(printer: Printer) -> Callable[[Sequence[Finding]], bool]:
    """Return what asks a person whether these findings may be overridden; UsageError where nobody can be asked."""

    def confirm(findings: Sequence[Finding]) -> bool:
        printer.insist("--force overrides:")
        for line in explain_findings(tuple(findings)):
            printer.insist(line)
        if not (printer.is_terminal and sys.stdin and sys.stdin.isatty()):
            raise UsageError("nobody can be asked to confirm this: nothing was sent", advice="confirm it with --yes")
        printer.insist("Migrate all the same? [y/N]")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return confirm
