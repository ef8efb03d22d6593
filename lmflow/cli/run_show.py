"""``lmflow run show``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from lmflow.cli.arguments import add_run
from lmflow.cli.base import Answer, ShowCommand
from lmflow.cli.door import get_place
from lmflow.cli.formatters import Nested
from lmflow.cli.sentences import (
    RUN_COLUMNS,
    describe_move,
    describe_time,
    find_pruned,
    make_run_row,
    shorten,
    tell_choice,
    tell_pruned,
    tell_tries,
    wrap,
    wrap_event,
)
from lmflow.models import Description, Event, PoolObject, Run

# These hold the request, which is shown above.
_REPEATED = ("created", "intent")


class RunShow(ShowCommand):
    """Show one run: request, state, picture and events."""

    columns = (*RUN_COLUMNS, "reason", "requested_by", "pool", "vm_uuid", "events", "objects", "pruned")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the run, and what is shown of it."""
        parser = super().get_parser(prog_name)
        add_run(parser)
        parser.add_argument(
            "--objects",
            action="store_true",
            help="show everything that it created or changed in the pool, and its fate; of a request, by every try",
        )
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Read the run, its events and its picture; asks no pool."""
        place, picture = get_place(self.get_app()), ""
        with place.open_records() as records:
            found, objects = records.describe(parsed_args.run), records.objects(parsed_args.run)
        run, events = found.run, found.events
        if parsed_args.formatter == "text" and not parsed_args.objects and not run.remnant:
            from lmflow.visualize import render  # noqa: PLC0415 - only when a picture is asked for

            with place.open_client() as client:
                picture = render(client.picture(run.uuid), "text")
        kept = Nested([event.to_json() for event in events], "\n".join(_tell_event(event) for event in events))
        request = run.request
        touched = Nested([each.to_json() for each in objects], "\n".join(_tell_object(each) for each in objects))
        asked = (request.reason, request.requested_by, request.pool_profile, request.vm_uuid)
        more = (*asked, kept, touched, find_pruned(run))
        lines = _tell_objects(run, objects) if parsed_args.objects else _tell(found, picture)
        return Answer(self.columns, (*make_run_row(run, found.condition), *more), lines)


def _tell(found: Description, picture: str) -> Iterator[str]:
    run, request = found.run, found.run.request
    yield f"run {run.uuid}  {found.condition.upper()}"
    yield from wrap("moves", f"{describe_move(run)}  (pool {request.pool_profile}, VM {request.vm_uuid})")
    yield from wrap("asked", f"{describe_time(run.created_at)} by {request.requested_by or 'unknown'}")
    yield from wrap("request", request.request_id)
    if request.reason:
        yield from wrap("reason", request.reason)
    if run.summary:
        yield from wrap("summary", run.summary)
    if run.remnant:
        yield from tell_pruned(run)
        return
    if found.outcome.choice:
        yield from tell_choice(found.outcome.choice)
    yield from tell_tries(found.outcome.tries)
    for event in found.events:
        if event.kind == "handed_over":
            following = shorten(str(event.data["run_uuid"]))
            yield from wrap("then", f"{event.data['host']} was tried: lmflow run show {following}")
    yield ""
    yield picture.rstrip("\n")
    yield ""
    yield f"events of {shorten(run.uuid)}"
    for event in found.events:
        # The picture tells of atoms.
        if event.kind != "atom":
            yield from wrap_event(describe_time(event.at), event.kind, _tell_data(event))


def _tell_objects(run: Run, objects: tuple[PoolObject, ...]) -> Iterator[str]:
    ours = list(dict.fromkeys((*(each.run_uuid for each in objects), run.uuid)))
    named = f"run {shorten(run.uuid)}" if len(ours) == 1 else f"runs {', '.join(map(shorten, ours))}"
    yield f"objects that {named} created or changed in pool {run.request.pool_profile}"
    for each in objects:
        where = f" on {each.host}" if each.host else ""
        where += f", run {shorten(each.run_uuid)}" if len(ours) > 1 else ""
        uuid = f" ({each.uuid})" if each.uuid else ""
        yield from wrap(each.fate, f"{each.kind}: {each.name}{uuid}{where}, {describe_time(each.at)}")
    if not objects:
        yield "  none" if not run.remnant else "  not known any more: its records were pruned"


def _tell_object(each: PoolObject) -> str:
    return " ".join(filter(None, (each.fate, each.kind, each.name, each.uuid, each.host, describe_time(each.at))))


def _tell_event(event: Event) -> str:
    return f"{describe_time(event.at)} {event.kind} {_tell_data(event)}".rstrip()


def _tell_data(event: Event) -> str:
    """Return what is short enough to be read; all of it is in the data formats."""
    told = ((key, value) for key, value in event.data.items() if value and isinstance(value, (str, int, float)))
    return "" if event.kind in _REPEATED else ", ".join(f"{key}: {value}" for key, value in told)
