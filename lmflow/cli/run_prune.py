"""``lmflow run prune``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from lmflow.cli.arguments import parse_days, parse_retries
from lmflow.cli.base import Answer, ShowCommand
from lmflow.cli.door import get_place
from lmflow.cli.formatters import Nested
from lmflow.cli.sentences import describe_time, wrap
from lmflow.models import Pruned, RunState

_STATES = ("success", "refused", "failed")


class RunPrune(ShowCommand):
    """Delete old requests that ended, with everything recorded of them; shows what it would be without --yes."""

    columns = ("deleted", "requests", "runs", "states", "oldest", "newest")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what goes and what stays."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--older-than",
            type=parse_days,
            required=True,
            metavar="DAYS",
            help="of requests that ended more than so many days ago (1.5: a day and a half)",
        )
        parser.add_argument(
            "--state",
            action="append",
            choices=_STATES,
            default=[],
            help="only of those that ended so (repeatable); an open, unknown or dirty run is never deleted",
        )
        parser.add_argument(
            "--keep", type=parse_retries, default=0, metavar="N", help="keep the N newest that ended, however old"
        )
        parser.add_argument(
            "--yes",
            action="store_true",
            help="delete; without it nothing is deleted and only counted. A deleted request's id is free again",
        )
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Prune, or count."""
        with get_place(self.get_app()).open_records() as records:
            pruned = records.prune(
                older_than_seconds=parsed_args.older_than * 86400.0,
                states=[RunState(name) for name in parsed_args.state],
                keep=parsed_args.keep,
                delete=parsed_args.yes,
            )
        states = Nested(dict(pruned.states), " ".join(f"{name}={count}" for name, count in pruned.states.items()))
        moments = [None if at is None else describe_time(at) for at in (pruned.oldest_at, pruned.newest_at)]
        return Answer(self.columns, (pruned.deleted, pruned.requests, pruned.runs, states, *moments), _tell(pruned))


def _tell(pruned: Pruned) -> Iterator[str]:
    did = "deleted" if pruned.deleted else "would be deleted"
    requests, runs = (
        f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((pruned.requests, "request"), (pruned.runs, "run"))
    )
    yield f"{requests} ({runs}) {did}"
    if pruned.oldest_at is not None and pruned.newest_at is not None:
        yield from wrap("ended", ", ".join(f"{name} {count}" for name, count in pruned.states.items()))
        yield from wrap("begun", f"{describe_time(pruned.oldest_at)} to {describe_time(pruned.newest_at)}")
    if not pruned.deleted and pruned.requests:
        yield "nothing was deleted; --yes deletes them"
