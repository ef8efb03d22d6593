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
    """Delete the records of old requests that ended; shows what it would be without --yes.

    A request id goes on to name its request, and how that ended.
    """

    columns = ("deleted", "requests", "runs", "states", "oldest", "newest", "forgotten")

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
            "--forget-ids",
            action="store_true",
            help="free the request ids too, also those of requests pruned earlier that ended so long ago: whoever "
            "repeats such a request begins a new one, and the VM is moved again",
        )
        parser.add_argument("--yes", action="store_true", help="delete; without it nothing is deleted and only counted")
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Prune, or count."""
        with get_place(self.get_app()).open_records() as records:
            pruned = records.prune(
                older_than_seconds=parsed_args.older_than * 86400.0,
                states=[RunState(name) for name in parsed_args.state],
                keep=parsed_args.keep,
                forget_ids=parsed_args.forget_ids,
                delete=parsed_args.yes,
            )
        states = Nested(dict(pruned.states), " ".join(f"{name}={count}" for name, count in pruned.states.items()))
        moments = [None if at is None else describe_time(at) for at in (pruned.oldest_at, pruned.newest_at)]
        row = (pruned.deleted, pruned.requests, pruned.runs)
        return Answer(self.columns, (*row, states, *moments, pruned.forgotten), _tell(pruned))


def _tell(pruned: Pruned) -> Iterator[str]:
    did = "deleted" if pruned.deleted else "would be deleted"
    requests, runs = (
        f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((pruned.requests, "request"), (pruned.runs, "run"))
    )
    yield f"{requests} ({runs}) {did}"
    if pruned.oldest_at is not None and pruned.newest_at is not None:
        yield from wrap("ended", ", ".join(f"{name} {count}" for name, count in pruned.states.items()))
        yield from wrap("begun", f"{describe_time(pruned.oldest_at)} to {describe_time(pruned.newest_at)}")
    if pruned.forgotten:
        yield from wrap(
            "ids", f"{pruned.forgotten} {'are' if pruned.deleted else 'would be'} free: the same id moves again"
        )
    elif pruned.requests:
        yield from wrap("ids", "each goes on to name its request, and how that ended")
    if not pruned.deleted and (pruned.requests or pruned.forgotten):
        yield "nothing was deleted; --yes deletes them"
