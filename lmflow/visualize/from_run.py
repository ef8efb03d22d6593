"""A picture of a run: the flows' definition, and over it what the database remembers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from lmflow.models import Attempt, Event, Run, RunState
from lmflow.visualize.from_flow import PIVOT, make_picture
from lmflow.visualize.picture import Node, Picture

if TYPE_CHECKING:
    from taskflow import flow as taskflow_flow

_CODE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_UNDER_WAY = ("RUNNING", "REVERTING", "RETRYING")
_INTERRUPTED = (RunState.SUSPENDED, RunState.UNKNOWN)


class StoredAtom(Protocol):
    """What is needed of an atom's row (``lmflow.db`` calls it AtomRow)."""

    @property
    def name(self) -> str:
        """The persisted name."""

    @property
    def state(self) -> str:
        """TaskFlow's state."""

    @property
    def failure(self) -> str:
        """One line, '' when it did not fail."""


def make_run_picture(
    flows: Sequence[taskflow_flow.Flow],
    run: Run,
    *,
    atoms: Iterable[StoredAtom] = (),
    events: Iterable[Event] = (),
    attempts: Sequence[Attempt] = (),
    interrupted: bool = False,
) -> Picture:
    """Draw a run. ``atoms`` are those of all ``flows``; ``interrupted`` says that a running run's owner is gone.

    Durations come from the ``atom`` events, progress from the last attempt, notes from the ``left`` events.
    """
    drawn = make_picture(*flows)
    stored = {atom.name: atom for atom in atoms}
    times = _measure(events)
    notes = _collect_notes(events)
    last = attempts[-1] if attempts else None
    nodes = tuple(_fill(node, stored.get(node.id), times, notes, last) for node in drawn.nodes)
    stopped = interrupted or run.state in _INTERRUPTED
    request = run.request
    return dataclasses.replace(
        drawn,
        title=f"run {run.uuid[:8]}  {request.vm_name}  {request.source_name} -> {request.destination_name}",
        subtitle=("INTERRUPTED" if interrupted else run.state.value.upper())
        + (f": {run.summary}" if run.summary else ""),
        nodes=nodes,
        frontier=tuple(node.id for node in nodes if node.state in _UNDER_WAY) if stopped else (),
    )


@dataclasses.dataclass
class _Times:
    """When an atom was last begun, how long that took (not its revert), how often it was begun.

    TaskFlow reports no new beginning when an atom is executed again after a crash; the take-over is one.
    """

    begun: float | None = None
    seconds: float | None = None
    attempts: int = 0


def _measure(events: Iterable[Event]) -> Mapping[str, _Times]:
    times: dict[str, _Times] = {}
    for event in events:
        if event.kind == "taken_over":
            for each in times.values():
                if each.begun is not None:
                    each.begun, each.attempts = event.at, each.attempts + 1
        if event.kind != "atom":
            continue
        mine = times.setdefault(str(event.data.get("atom", "")), _Times())
        if event.data.get("state") == "RUNNING":
            mine.begun, mine.attempts = event.at, mine.attempts + 1
        elif mine.begun is not None:
            mine.seconds, mine.begun = max(event.at - mine.begun, 0.0), None
    return times


def _collect_notes(events: Iterable[Event]) -> Mapping[str, str]:
    return {str(e.data.get("task", "")): f"left: {e.data.get('text', '')}" for e in events if e.kind == "left"}


def _fill(
    node: Node,
    atom: StoredAtom | None,
    times: Mapping[str, _Times],
    notes: Mapping[str, str],
    attempt: Attempt | None,
) -> Node:
    mine = times.get(node.id, _Times())
    state = atom.state if atom else "PENDING"
    shows_progress = node.id == PIVOT and attempt is not None and state != "SUCCESS"
    return dataclasses.replace(
        node,
        state=state,
        seconds=mine.seconds,
        attempts=mine.attempts,
        progress=attempt.progress if shows_progress and attempt else None,
        error_code=_find_code(atom.failure) if atom else "",
        note=notes.get(node.id, ""),
    )


def _find_code(failure: str) -> str:
    found = _CODE.search(failure)
    return found.group() if found else failure[:40]
