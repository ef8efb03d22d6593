"""The end of a try: where lmflow chose the host and that one turned out unfit, the next one is tried.

Each try is a run of its own. Its end and the beginning of the next are one transaction, so that whoever dies before it
leaves a try to be ended, and whoever dies after it leaves the next one to be resumed.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from typing import Any

from lmflow import planner
from lmflow.db.database import Fence, NewRun, RequestExists
from lmflow.db.owner import current_owner
from lmflow.db.runs import RequestsWaiting
from lmflow.db.schema import REQUEST_ID_LENGTH
from lmflow.exceptions import FlowSuspended, PluginError, UnreachableError, XapiFailureError
from lmflow.models import Choice, Outcome, Refusal, Run, RunState, XapiError
from lmflow.runner import ending
from lmflow.runner.checking import NoDestinationError, choose_destination
from lmflow.runner.ending import Reverted
from lmflow.runner.forcing import confirm_forced
from lmflow.runner.recall import NO_MORE_TRIES, TRIES, find_findings, find_tries, make_try, say_why
from lmflow.runner.specs import make_flow_specs
from lmflow.tasks.cancelling import ANSWER
from lmflow.tasks.context import Context
from lmflow.verdict import Sent, VerdictKind, find_sent, is_ordered

Notes = tuple[tuple[str, Mapping[str, Any]], ...]

_MARK = 12
_RETURNED = (RunState.REFUSED, RunState.FAILED)


@dataclasses.dataclass(frozen=True, slots=True)
class Handed:
    """The next try, begun and ours. ``because`` says why its host was chosen."""

    run: Run
    fence: Fence
    because: str


def end_try(context: Context, run: Run) -> Outcome | Handed:
    """Store how a reverted run ended and return that; or begin the next try, when another host may do better.

    Blocks for the reads of a choice. FlowSuspended when the pool does not answer, or the run is to be let go of: it has
    not ended then, and a resume comes here again.
    """
    reverted = ending.weigh_reverted(context, run)
    if run.request.max_retries is None:
        return ending.store_reverted(context, run, reverted)
    objection = planner.find_objection(_make_ended(context, run, reverted))
    if objection:
        return _end_all(context, run, reverted, objection)
    context.check_hold()
    request = run.request
    ignored = (*request.ignored_uuids, request.destination_uuid)
    context.say("message", f"{request.destination_name} turned out unfit: {say_why(reverted.events)}")
    try:
        choice = choose_destination(
            context.connection, request.vm_uuid, site=context.site, options=request.options, ignored=ignored
        )
        forced = confirm_forced(context.connection, request, context.site, None)
    except UnreachableError as error:
        raise FlowSuspended("unreachable", error.message) from error
    except NoDestinationError as error:
        return _end_all(context, run, reverted, error.message, error.refused)
    except (PluginError, XapiFailureError) as error:
        return _end_all(context, run, reverted, error.message)
    try:
        return _begin_next(context, run, reverted, choice, forced)
    except RequestsWaiting:  # a cancel came at the last moment: the run that it names is the last try
        return _end_all(context, run, reverted, "a cancel was asked for")


def _make_ended(context: Context, run: Run, reverted: Reverted) -> planner.Ended:
    failures = [e.data for e in reverted.events if e.kind == "failure"]
    last = failures[-1] if failures else {}
    error = XapiError.from_json(last["error"]) if last.get("error") else None
    request, vm = run.request, reverted.vm
    left = None if request.max_retries is None else request.max_retries - len(request.ignored_uuids)
    verdicts = [e.data["kind"] for e in reverted.events if e.kind == "verdict"]
    return planner.Ended(
        state=reverted.state,
        findings=find_findings(reverted.events),
        task="" if last.get("unexpected") else str(last.get("task", "")),
        error=error,
        ordered=is_ordered(error),
        elsewhere=bool(last.get("elsewhere", True)),
        sent=any(find_sent(a) is not Sent.NOTHING for a in context.database.attempts.list(run.uuid)),
        cancelled=bool(last.get("cancelled")) or bool(context.find_wishes()),
        was_unknown=VerdictKind.UNKNOWN.value in verdicts,
        on_source=vm is not None and vm.power_state == "Running" and vm.resident_on_uuid == request.source_uuid,
        retries_left=left,
    )


def _end_all(
    context: Context, run: Run, reverted: Reverted, because: str, refused: tuple[Refusal, ...] = ()
) -> Outcome:
    """End the last try, and with it the request: refused only if no host that was tried got past the checks."""
    data = {"because": because, "state": reverted.state.value, "refused": [each.to_json() for each in refused]}
    context.record(NO_MORE_TRIES, data)
    tried = find_tries(run, reverted.events)[:-1]
    state, summary = reverted.state, reverted.summary
    if state is RunState.REFUSED and any(each.state is not RunState.REFUSED for each in tried):
        state = RunState.FAILED
    if state in _RETURNED:
        summary = f"{summary}; no other host is tried: {because}"
    return ending.store_reverted(context, run, dataclasses.replace(reverted, state=state, summary=summary))


def _begin_next(context: Context, run: Run, reverted: Reverted, choice: Choice, forced: Notes) -> Handed:
    runs, ignored = context.database.runs, (*run.request.ignored_uuids, run.request.destination_uuid)
    first = runs.get(run.parent_uuid) if run.parent_uuid else run
    tried = [*find_tries(run, reverted.events)[:-1], make_try(run, reverted.events, reverted.state)]
    name = f"{_shorten(first.request.request_id)}#{len(ignored) + 1}"
    new = NewRun(
        request=dataclasses.replace(
            run.request,
            request_id=name,
            destination_uuid=choice.host_uuid,
            destination_name=choice.host_name,
            ignored_uuids=ignored,
        ),
        kind=run.kind,
        owner=current_owner(),
        lease_seconds=context.waits.lease_seconds,
        notes=(("choice", choice.to_json()), (TRIES, {"tries": [each.to_json() for each in tried]}), *forced),
        first_uuid=first.uuid,
        session_uuid=context.connection.session_uuid if context.connection.armed else "",
    )
    try:
        following, fence = _hand_over(context, reverted, new)
    except RequestExists:  # somebody has named a request of theirs like this
        other = dataclasses.replace(new.request, request_id=f"{name}-{uuid.uuid4().hex[:8]}")
        following, fence = _hand_over(context, reverted, dataclasses.replace(new, request=other))
    return Handed(following, fence, choice.because)


def _hand_over(context: Context, reverted: Reverted, new: NewRun) -> tuple[Run, Fence]:
    new = dataclasses.replace(new, flows=make_flow_specs(new.request))
    answered = max((int(e.data["number"]) for e in reverted.events if e.kind == ANSWER), default=0)
    return context.database.runs.hand_over(
        context.fence, reverted.state, new, summary=reverted.summary, answered=answered
    )


def _shorten(request_id: str) -> str:
    """Return as much of a request id as leaves room for the number of a try."""
    return request_id[: REQUEST_ID_LENGTH - _MARK]
