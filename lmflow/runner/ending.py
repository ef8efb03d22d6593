"""How a run ends: its own state, from what was recorded, never from an exception alone."""

from __future__ import annotations

from lmflow.exceptions import FlowSuspended, UnreachableError
from lmflow.models import Event, Finding, Outcome, Run, RunState, XapiError
from lmflow.runner.places import describe_place
from lmflow.tasks.changes import list_changes
from lmflow.tasks.context import Context
from lmflow.tasks.traces import remove_traces
from lmflow.xapi import reads


def end_reverted(context: Context, run: Run) -> Outcome:
    """Store how a reverted run ended, refused, failed or dirty, and return it.

    Refused means that nothing was sent and nothing was changed; dirty that something of ours may be left.
    """
    if not find_left(context.database.events.list(run.uuid)):
        for text in find_unsettled(context):
            context.record("left", {"task": "", "text": text})
    events = context.database.events.list(run.uuid)
    findings, left = find_findings(events), find_left(events)
    attempts = context.database.attempts.list(run.uuid)
    changed = any(e.kind == "change" and e.data["step"] in ("done", "unproved") for e in events)
    sent = any(a.state != "ended" or a.outcome in ("moved", "stayed") for a in attempts)
    state = RunState.DIRTY if left else RunState.FAILED
    if findings and not (changed or sent or left):
        state = RunState.REFUSED
    vm = reads.read_vm(context.connection, run.request.vm_uuid)
    remove_traces(context)
    place = describe_place(context.connection, run.request, vm)
    summary = f"{place}; {_say_why(events, findings)}"
    context.database.runs.set_state(context.fence, state, summary=summary)
    return make_outcome(context, run.uuid, vm_state=place)


def end_moved(context: Context, run: Run) -> Outcome:
    """Store that the run succeeded, in the words of its last step."""
    atoms = {a.name: a for a in context.database.atoms(run, "settle")}
    results = atoms["conclude"].results
    summary = str(results["summary"]) if isinstance(results, dict) else f"{run.request.vm_name} moved"
    context.database.runs.set_state(context.fence, RunState.SUCCESS, summary=summary)
    return make_outcome(context, run.uuid, vm_state=summary)


def suspend(context: Context, run: Run, why: FlowSuspended) -> Outcome:
    """Store that the run was let go of, or that a person must decide, and say what is seen of the VM now."""
    state = RunState.UNKNOWN if why.reason == "unknown" else RunState.SUSPENDED
    if run.state is RunState.DIRTY:  # a repair that was interrupted leaves it as it was: rolled back, something left
        state = RunState.DIRTY
    summary = run.summary if state is RunState.DIRTY else why.message
    context.database.runs.set_state(context.fence, state, summary=summary)
    try:
        vm = reads.read_vm(context.connection, run.request.vm_uuid)
        place = describe_place(context.connection, run.request, vm)
    except UnreachableError as error:
        place = f"cannot say where {run.request.vm_name} is: {error.message}"
    if state is RunState.UNKNOWN:
        place = f"UNKNOWN where {run.request.vm_name} runs: {why.message}. {place} (this proves nothing)"
    return make_outcome(context, run.uuid, vm_state=place, reason=why.reason)


def make_outcome(context: Context, run_uuid: str, *, vm_state: str = "", reason: str = "") -> Outcome:
    """Put together what is recorded of a run."""
    run = context.database.runs.get(run_uuid)
    outcome = recall_outcome(run, context.database.events.list(run_uuid))
    return Outcome(
        run=run,
        vm_state=vm_state,
        reason=reason,
        findings=outcome.findings,
        error=outcome.error,
        left=outcome.left,
        advice=outcome.advice,
        seconds=outcome.seconds,
        interruptions=outcome.interruptions,
    )


def recall_outcome(run: Run, events: tuple[Event, ...]) -> Outcome:
    """Return the outcome of a run from its records alone; where the VM is, is what was said at its end."""
    return Outcome(
        run=run,
        vm_state=run.summary,
        findings=find_findings(events),
        error=_find_error(events),
        left=find_left(events),
        advice=_advise(run),
        seconds=run.updated_at - run.created_at,
        interruptions=len([e for e in events if e.kind == "taken_over"]),
    )


def find_findings(events: tuple[Event, ...]) -> tuple[Finding, ...]:
    """Return every reason for a refusal, each once."""
    found = {
        (f["rule"], f["code"], f["message"]): Finding.from_json(f)
        for e in events
        if e.kind == "refusal"
        for f in e.data["findings"]
    }
    return tuple(found.values())


def find_left(events: tuple[Event, ...]) -> tuple[str, ...]:
    """Return what of ours may be left in the pool since the last repair began, each once."""
    repairs = [n for n, e in enumerate(events) if e.kind == "repairing"]
    since = events[repairs[-1] :] if repairs else events
    return tuple(dict.fromkeys(str(e.data["text"]) for e in since if e.kind == "left"))


def find_unsettled(context: Context) -> tuple[str, ...]:
    """Return the changes that our own book does not show as undone: whatever was or was not said of them."""
    open_steps = ("intended", "done", "undoing", "unproved")
    return tuple(
        f"{change.kind} {change.object_uuid} is {change.step}"
        for change in list_changes(context)
        if change.step in open_steps
    )


def _find_error(events: tuple[Event, ...]) -> XapiError | None:
    errors = [e.data["error"] for e in events if e.kind in ("verdict", "failure") and e.data.get("error")]
    return XapiError.from_json(errors[-1]) if errors else None


def _say_why(events: tuple[Event, ...], findings: tuple[Finding, ...]) -> str:
    if findings:
        return "; ".join(f.message for f in findings)
    failures = [str(e.data["text"]) for e in events if e.kind == "failure"]
    return failures[-1] if failures else "a step failed"


def _advise(run: Run) -> str:
    """Name one command to try; a run that was rolled back is never resumed, a new one is offered."""
    short, request = run.uuid[:8], run.request
    if run.state is RunState.FAILED:
        return f"lmflow migrate {request.vm_name} --to {request.destination_name} (a new run)"
    of_state = {
        RunState.DIRTY: f"lmflow repair {short}",
        RunState.UNKNOWN: f"lmflow why {short}",
        RunState.SUSPENDED: f"lmflow resume {short}",
    }
    return of_state.get(run.state, "")
