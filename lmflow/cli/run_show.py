"""``lmflow run show``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from lmflow.cli.base import Answer, ShowCommand
from lmflow.cli.door import get_place
from lmflow.cli.formatters import Nested
from lmflow.cli.sentences import RUN_COLUMNS, describe_move, describe_time, make_run_row, shorten, wrap, wrap_event
from lmflow.models import Event, Run

# These hold the request, which is shown above.
_REPEATED = ("created", "intent")


class RunShow(ShowCommand):
    """Show one run: request, state, picture and events."""

    columns = (*RUN_COLUMNS, "reason", "requested_by", "pool", "vm_uuid", "events")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the run."""
        parser = super().get_parser(prog_name)
        parser.add_argument("run", metavar="RUN", help="UUID, unique prefix or request id")
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Read the run, its events and its picture; asks no pool."""
        from lmflow.visualize import render  # noqa: PLC0415 - only when a picture is asked for

        with get_place(self.get_app()).open_client() as client:
            run = client.run(parsed_args.run)
            events = client.events(run.uuid)
            picture = render(client.picture(run.uuid), "text") if parsed_args.formatter == "text" else ""
        kept = Nested([event.to_json() for event in events], "\n".join(_tell_event(event) for event in events))
        request = run.request
        more = (request.reason, request.requested_by, request.pool_profile, request.vm_uuid, kept)
        return Answer(self.columns, (*make_run_row(run), *more), _tell(run, events, picture))


def _tell(run: Run, events: Sequence[Event], picture: str) -> Iterator[str]:
    request = run.request
    yield f"run {run.uuid}  {run.state.value.upper()}"
    yield from wrap("moves", f"{describe_move(run)}  (pool {request.pool_profile}, VM {request.vm_uuid})")
    yield from wrap("asked", f"{describe_time(run.created_at)} by {request.requested_by or 'unknown'}")
    yield from wrap("request", request.request_id)
    if request.reason:
        yield from wrap("reason", request.reason)
    if run.summary:
        yield from wrap("summary", run.summary)
    yield ""
    yield picture.rstrip("\n")
    yield ""
    yield f"events of {shorten(run.uuid)}"
    for event in events:
        # The picture tells of atoms.
        if event.kind != "atom":
            yield from wrap_event(describe_time(event.at), event.kind, _tell_data(event))


def _tell_event(event: Event) -> str:
    return f"{describe_time(event.at)} {event.kind} {_tell_data(event)}".rstrip()


def _tell_data(event: Event) -> str:
    """Return what is short enough to be read; all of it is in the data formats."""
    told = ((key, value) for key, value in event.data.items() if value and isinstance(value, (str, int, float)))
    return "" if event.kind in _REPEATED else ", ".join(f"{key}: {value}" for key, value in told)
