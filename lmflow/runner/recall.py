"""How a run ended, from its records alone."""

from __future__ import annotations

from lmflow.models import Choice, Event, Finding, Outcome, Refusal, Remnant, Run, RunState, Try, XapiError

HANDED_OVER = "handed_over"
TRIES = "tries"
CLAIMED = "VM_CLAIMED"
NO_MORE_TRIES = "no_more_tries"


def recall_outcome(run: Run, events: tuple[Event, ...], *, reason: str = "") -> Outcome:
    """Return the outcome of a run from its records alone; where the VM is, is what was said at its end.

    ``reason``: why it is asked for before the end of the run. Of a run whose records were pruned it is what was kept.
    """
    if run.remnant is not None:
        return _recall_pruned(run, run.remnant)
    return Outcome(
        run=run,
        vm_state=run.summary if run.state.is_terminal else "not looked at: lmflow status asks the pool",
        reason=reason or ("locked" if is_claimed(run, events) else ""),
        already_there=run.state is RunState.SUCCESS and not run.move_uuid,  # recorded without a flow
        findings=find_findings(events),
        error=_find_error(events),
        left=() if run.state in (RunState.REFUSED, RunState.FAILED) else find_left(events),
        advice=_advise(run, events, reason),
        seconds=run.updated_at - run.created_at,
        interruptions=len([e for e in events if e.kind == "taken_over"]),
        cancelled=run.state in (RunState.FAILED, RunState.DIRTY) and is_cancelled(events),
        tries=find_tries(run, events),
        choice=next((Choice.from_json(e.data) for e in events if e.kind == "choice"), None),
        warnings=find_warnings(events),
    )


def make_remnant(run: Run, events: tuple[Event, ...]) -> Remnant:
    """Return what is to be kept of a run that has ended, when its records are pruned."""
    outcome = recall_outcome(run, events)
    return Remnant(
        reason=outcome.reason,
        already_there=outcome.already_there,
        interruptions=outcome.interruptions,
        cancelled=outcome.cancelled,
        xapi_code=outcome.error.code if outcome.error else "",
        xapi_params=outcome.error.params if outcome.error else (),
    )


def _recall_pruned(run: Run, remnant: Remnant) -> Outcome:
    return Outcome(
        run=run,
        vm_state=run.summary,
        reason=remnant.reason,
        already_there=remnant.already_there,
        error=XapiError(remnant.xapi_code, remnant.xapi_params) if remnant.xapi_code else None,
        advice=_advise(run, (), ""),
        seconds=run.updated_at - run.created_at,
        interruptions=remnant.interruptions,
        cancelled=remnant.cancelled,
    )


def is_claimed(run: Run, events: tuple[Event, ...]) -> bool:
    """Tell whether the run ended because another run, of whatever database, holds the VM."""
    ended = run.state in (RunState.REFUSED, RunState.FAILED)
    return ended and any(finding.code == CLAIMED for finding in find_findings(events))


def is_cancelled(events: tuple[Event, ...]) -> bool:
    """Tell whether the last step that failed did so because somebody had asked for a cancel."""
    failures = [e for e in events if e.kind == "failure"]
    return bool(failures) and bool(failures[-1].data.get("cancelled"))


def find_findings(events: tuple[Event, ...]) -> tuple[Finding, ...]:
    """Return every reason for a refusal, each once."""
    found = {
        (f["rule"], f["code"], f["message"]): Finding.from_json(f)
        for e in events
        if e.kind == "refusal"
        for f in e.data["findings"]
    }
    return tuple(found.values())


def find_tries(run: Run, events: tuple[Event, ...]) -> tuple[Try, ...]:
    """Return each host that was tried up to this run, and those that were not tried any more; () for only one host."""
    before = [Try.from_json(each) for e in events if e.kind == TRIES for each in e.data["tries"]]
    ends = [e.data for e in events if e.kind == NO_MORE_TRIES]
    refused = [Refusal.from_json(each) for end in ends[-1:] for each in end["refused"]]
    if not before and not refused:
        return ()
    mine = make_try(run, events, RunState(ends[-1]["state"]) if ends else run.state)
    return (*before, mine, *(_make_untried(each) for each in refused))


def make_try(run: Run, events: tuple[Event, ...], state: RunState) -> Try:
    """Return what came of this run's host."""
    failed = state in (RunState.REFUSED, RunState.FAILED, RunState.DIRTY)
    return Try(
        run.request.destination_name,
        state,
        run_uuid=run.uuid,
        because=say_why(events) if failed else "",
        findings=find_findings(events) if failed else (),
        error=_find_error(events) if failed else None,
        host_uuid=run.request.destination_uuid,
    )


def _make_untried(refused: Refusal) -> Try:
    return Try(refused.name, RunState.REFUSED, findings=refused.findings, host_uuid=refused.uuid)


def say_why(events: tuple[Event, ...]) -> str:
    """Return what a run failed of: the reasons of its refusal, or what its last failed step said."""
    findings = find_findings(events)
    if findings:
        return "; ".join(f.message for f in findings)
    failures = [str(e.data["text"]) for e in events if e.kind == "failure"]
    return failures[-1] if failures else "a step failed"


def find_warnings(events: tuple[Event, ...]) -> tuple[str, ...]:
    """Return what is worth knowing of a run and ended nothing, each once; what force overrode is among it."""
    return tuple(dict.fromkeys(str(e.data["text"]) for e in events if e.kind == "warning"))


def find_left(events: tuple[Event, ...]) -> tuple[str, ...]:
    """Return what of ours may be left in the pool since the last repair began, each once."""
    repairs = [n for n, e in enumerate(events) if e.kind == "repairing"]
    since = events[repairs[-1] :] if repairs else events
    return tuple(dict.fromkeys(str(e.data["text"]) for e in since if e.kind == "left"))


def _find_error(events: tuple[Event, ...]) -> XapiError | None:
    errors = [e.data["error"] for e in events if e.kind in ("verdict", "failure") and e.data.get("error")]
    return XapiError.from_json(errors[-1]) if errors else None


def _advise(run: Run, events: tuple[Event, ...], reason: str) -> str:
    """Name one command to try; a run that was rolled back is never resumed, a new one is offered."""
    short, request = run.uuid[:8], run.request
    following = [str(e.data["run_uuid"]) for e in events if e.kind == HANDED_OVER]
    if following:
        return f"lmflow run show {following[0][:8]} (the next try)"
    if run.state is RunState.FAILED:
        named = request.destination_name and request.max_retries is None
        to = f" --to {request.destination_name}" if named else ""
        return f"lmflow migrate {request.vm_name}{to} (a new run)"
    if run.state is RunState.REFUSED:
        by_warning = request.options.strict and any(finding.warning for finding in find_findings(events))
        return f"lmflow check {request.vm_name}" + (" --strict" if by_warning else "")
    if run.state is RunState.RUNNING:
        return f"lmflow resume {short}" if reason == "interrupted" else f"lmflow run wait {short}"
    of_state = {
        RunState.DIRTY: f"lmflow repair {short}",
        RunState.UNKNOWN: f"lmflow why {short}",
        RunState.SUSPENDED: f"lmflow resume {short}",
    }
    return of_state.get(run.state, "")
