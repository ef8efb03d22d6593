"""How a run ends: its own state, from what was recorded, never from an exception alone."""

from __future__ import annotations

import dataclasses

from lmflow.exceptions import FlowSuspended, UnreachableError
from lmflow.models import VM, Event, Outcome, Run, RunState
from lmflow.runner.objects import describe_change
from lmflow.runner.places import describe_place
from lmflow.runner.recall import find_findings, find_left, recall_outcome, say_why
from lmflow.tasks import cancelling
from lmflow.tasks.changes import list_changes
from lmflow.tasks.context import Context
from lmflow.tasks.traces import remove_traces
from lmflow.verdict import Sent, find_sent
from lmflow.xapi import reads


@dataclasses.dataclass(frozen=True, slots=True)
class Reverted:
    """How a reverted run ends, before that is stored. ``place`` says where XAPI shows ``vm``, None if no more."""

    state: RunState
    summary: str
    place: str
    vm: VM | None
    events: tuple[Event, ...]


def end_reverted(context: Context, run: Run) -> Outcome:
    """Store how a reverted run ended, refused, failed or dirty, and return it."""
    return store_reverted(context, run, weigh_reverted(context, run))


def weigh_reverted(context: Context, run: Run) -> Reverted:
    """Return how a reverted run ends: refused, failed or dirty. What is left is recorded, our traces are removed.

    Refused means that nothing was sent and nothing was changed; dirty that something of ours may be left. That is
    for the book of changes to say: what a revert once told of may have been taken back when it was repeated.
    """
    left = find_unsettled(context)
    if not find_left(context.database.events.list(run.uuid)):
        for text in left:
            context.record("left", {"task": "", "text": text})
    events = context.database.events.list(run.uuid)
    findings = find_findings(events)
    attempts = context.database.attempts.list(run.uuid)
    changed = any(e.kind == "change" and e.data["step"] in ("done", "unproved") for e in events)
    sent = any(find_sent(a) is not Sent.NOTHING for a in attempts)
    state = RunState.DIRTY if left else RunState.FAILED
    if findings and not (changed or sent or left):
        state = RunState.REFUSED
    vm = reads.read_vm(context.connection, run.request.vm_uuid)
    remove_traces(context)
    place = describe_place(context.connection, run.request, vm)
    return Reverted(state, f"{place}; {say_why(events)}", place, vm, events)


def store_reverted(context: Context, run: Run, reverted: Reverted) -> Outcome:
    """Log out, store it, and return the outcome."""
    _log_out(context)
    context.database.runs.set_state(context.fence, reverted.state, summary=reverted.summary)
    return make_outcome(context, run.uuid, vm_state=reverted.place)


def end_moved(context: Context, run: Run) -> Outcome:
    """Log out and store that the run succeeded, in the words of its last step."""
    atoms = {a.name: a for a in context.database.atoms(run, "settle")}
    results = atoms["conclude"].results
    summary = str(results["summary"]) if isinstance(results, dict) else f"{run.request.vm_name} moved"
    _log_out(context)
    context.database.runs.set_state(context.fence, RunState.SUCCESS, summary=summary)
    return make_outcome(context, run.uuid, vm_state=summary)


def _log_out(context: Context) -> None:
    """Leave the pool before the end is stored: nobody takes up a run that has ended, so nobody would end its session.

    Killed in between, the run has not ended, and a resume comes here again.
    """
    context.connection.close()


def suspend(context: Context, run: Run, why: FlowSuspended) -> Outcome:
    """Store that the run was let go of, or that a person must decide, and say what is seen of the VM now."""
    state, summary = RunState.SUSPENDED, why.message
    if why.reason == "unknown":
        state = RunState.UNKNOWN
    elif run.state is RunState.DIRTY or (run.state is RunState.UNKNOWN and not _is_settled_since(context)):
        state, summary = run.state, run.summary  # taken up and let go of again: it is as it was
    context.database.runs.set_state(context.fence, state, summary=summary)
    if state is RunState.UNKNOWN:
        cancelling.answer(context, cancelling.NOT_NOW, f"where it runs is unknown: {summary}")
    try:
        vm = reads.read_vm(context.connection, run.request.vm_uuid)
        place = describe_place(context.connection, run.request, vm)
    except UnreachableError as error:
        place = f"cannot say where {run.request.vm_name} is: {error.message}"
    if state is RunState.UNKNOWN:
        place = f"UNKNOWN where {run.request.vm_name} runs: {summary}. {place} (this proves nothing)"
    return make_outcome(context, run.uuid, vm_state=place, reason=why.reason)


def make_outcome(context: Context, run_uuid: str, *, vm_state: str = "", reason: str = "") -> Outcome:
    """Put together what is recorded of a run."""
    run = context.database.runs.get(run_uuid)
    outcome = recall_outcome(run, context.database.events.list(run_uuid))
    return dataclasses.replace(outcome, vm_state=vm_state, reason=reason or outcome.reason)


def _is_settled_since(context: Context) -> bool:
    """Tell whether this owner has a verdict on a run that was unknown when it was taken up."""
    events = context.database.events.list(context.run_uuid)
    taken = max((e.sequence for e in events if e.kind == "taken_over"), default=0)
    verdicts = [e for e in events if e.kind == "verdict" and e.sequence > taken]
    return bool(verdicts) and verdicts[-1].data["kind"] != "unknown"


def find_unsettled(context: Context) -> tuple[str, ...]:
    """Return the changes that our own book does not show as undone: whatever was or was not said of them."""
    open_steps = ("intended", "done", "undoing", "unproved")
    return tuple(
        f"{describe_change(dataclasses.asdict(change))} is {change.step}"
        for change in list_changes(context)
        if change.step in open_steps
    )
