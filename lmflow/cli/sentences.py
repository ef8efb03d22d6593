"""Outcomes, runs and reports in sentences of at most one terminal line each."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lmflow.cli.errors import WIDTH, explain_findings
from lmflow.cli.formatters import Nested
from lmflow.cli.views import nest_view, tell_view
from lmflow.models import RunState

if TYPE_CHECKING:
    from lmflow.models import Cancellation, Choice, MoveRequest, Outcome, Run, StatusLine, StatusReport, Try, WhyReport

_SHORT = 8
_WHILE_OPEN = {
    "interrupted": "interrupted: its owner is gone, nobody drives it",
    "timeout": "not ended within the time given: the run goes on",
}

OUTCOME_COLUMNS = (
    "run", "request_id", "vm", "vm_uuid", "source", "source_uuid", "destination", "destination_uuid", "state",
    "exit_code", "already_there", "summary", "vm_state", "seconds", "interruptions", "cancelled", "error", "findings",
    "left", "choice", "tries", "warnings", "advice", "pruned",
)  # fmt: skip
RUN_COLUMNS = (
    "run", "vm", "source", "destination", "state", "condition", "phase", "created", "updated", "request_id", "summary"
)  # fmt: skip
CANCEL_COLUMNS = ("answer", "because", *OUTCOME_COLUMNS)
STATUS_COLUMNS = (
    "run", "vm", "source", "destination", "state", "condition", "seconds_since", "seconds_old", "vm_state", "advice",
    "xapi_view",
)  # fmt: skip
WHY_COLUMNS = ("run", "vm", "state", "last_written", "evidence", "verdict", "explanation", "advice", "xapi_view")


def shorten(run_uuid: str) -> str:
    """Return the prefix by which people call a run."""
    return run_uuid[:_SHORT]


def describe_move(run: Run) -> str:
    """Return ``web-01  xcp-a -> xcp-b``."""
    request = run.request
    if not request.destination_name:  # none was named, and none was found
        return request.vm_name
    return f"{request.vm_name}  {request.source_name or '?'} -> {request.destination_name}"


def describe_age(seconds: float) -> str:
    """Return a span of time as people say it."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


def describe_time(at: float) -> str:
    """Return a moment in local time with its offset (RFC 3339), so that a ticket from elsewhere can be read."""
    return datetime.datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def wrap(label: str, text: str) -> Iterator[str]:
    """Yield ``label`` and the text beside it, folded to the width of a ticket."""
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=f"  {label:<9}", subsequent_indent=" " * 11, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def wrap_event(at: str, kind: str, told: str) -> Iterator[str]:
    """Yield an event, its data folded beside it."""
    head = f"  {at}  {kind:<12} "
    yield from textwrap.wrap(
        f"{head}{told}", WIDTH, subsequent_indent=" " * len(head), break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True,
    )  # fmt: skip


def tell_outcome(outcome: Outcome) -> Iterator[str]:
    """Yield how a run stands; where the VM is comes right behind the state."""
    run = outcome.run
    if outcome.already_there:
        yield f"{run.request.vm_name}  already there: it runs on {run.request.destination_name}, nothing was sent"
        yield from tell_pruned(run)
        return
    past = f" ({outcome.seconds:.1f} s{_tell_interruptions(outcome.interruptions)})" if outcome.seconds else ""
    yield f"run {shorten(run.uuid)}  {describe_move(run)}  {run.state.value.upper()}{past}"
    if outcome.reason in _WHILE_OPEN:
        yield f"  {_WHILE_OPEN[outcome.reason]}"
    yield from tell_pruned(run)
    if outcome.vm_state:
        yield from wrap("the VM", outcome.vm_state)
    if outcome.choice:
        yield from tell_choice(outcome.choice)
    yield from tell_tries(outcome.tries)
    if outcome.findings and run.state is RunState.REFUSED:
        yield from wrap("UUIDs", _tell_uuids(run.request))
        yield f"  refused by {_count(len(outcome.findings), 'check')}, nothing was changed"
    elif run.summary not in ("", outcome.vm_state) and run.state is not RunState.SUCCESS:
        yield from wrap("why", run.summary.removeprefix(f"{outcome.vm_state}; "))
    yield from explain_findings(outcome.findings)
    if outcome.error:
        yield from wrap("XAPI", " ".join((outcome.error.code, *outcome.error.params)))
    for each in outcome.warnings:
        yield from wrap("warning", each)
    for each in outcome.left:
        yield from wrap("left", each)
    if outcome.advice:
        yield from wrap("try", outcome.advice)


def tell_pruned(run: Run) -> Iterator[str]:
    """Yield when the run ended and when its records were pruned, if they were."""
    if run.remnant:
        at = describe_time(run.remnant.pruned_at)
        yield from wrap("pruned", f"it ended {describe_time(run.updated_at)}; its records were pruned on {at}")


def find_pruned(run: Run) -> str | None:
    """Return when the run's records were pruned, for a cell; None when they are there."""
    return describe_time(run.remnant.pruned_at) if run.remnant else None


def _tell_uuids(request: MoveRequest) -> str:
    """Return the identities behind the names: a name need not be unique."""
    named = {request.vm_name: request.vm_uuid, request.destination_name: request.destination_uuid}
    return ", ".join(f"{name} {uuid}" for name, uuid in named.items() if uuid)


def _tell_interruptions(count: int) -> str:
    return "" if not count else f", {_count(count, 'interruption')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def tell_choice(choice: Choice) -> Iterator[str]:
    """Yield why this destination, the runners-up, and why not the others."""
    yield from wrap("chosen", f"{choice.host_name}: {choice.because}")
    others = [c for c in choice.candidates if c.name != choice.host_name]
    if others:
        yield from wrap("also fit", ", ".join(f"{c.name} ({c.because})" if c.because else c.name for c in others))
    for refusal in choice.refused:
        yield from wrap("not", f"{refusal.name}: {'; '.join(f'{f.message} [{f.code}]' for f in refusal.findings)}")


def tell_tries(tries: Sequence[Try]) -> Iterator[str]:
    """Yield a table of every host that was tried, in order, and of those that were not any more: how, and why."""
    width = max((len(each.host_name) for each in tries), default=0)
    for number, each in enumerate(tries):
        head = f"  {'' if number else 'tries':<9}{each.host_name:<{width}}  "
        yield from textwrap.wrap(
            f"{head}{_tell_try(each)}", WIDTH, subsequent_indent=" " * len(head), break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip


def _nest_tries(tries: Sequence[Try]) -> Nested:
    return Nested([each.to_json() for each in tries], "\n".join(f"{t.host_name}: {_tell_try(t)}" for t in tries))


def _tell_try(each: Try) -> str:
    reasons = "; ".join(f"{f.message} [{f.code}]" for f in each.findings) or each.because
    run = f" (run {shorten(each.run_uuid)})" if each.run_uuid else ", not tried"
    return f"{each.state.value}{run}" + (f": {reasons}" if reasons else "")


def tell_cancellation(found: Cancellation) -> Iterator[str]:
    """Yield the answer, and how the run stands."""
    word = {
        "cancelled": "cancelled",
        "too_late": "too late",
        "not_now": "not cancellable now",
        "waiting": "no answer yet",
    }
    yield f"{word[found.answer]}: {found.because}"
    yield from tell_outcome(found.outcome)


def make_cancel_row(found: Cancellation, exit_code: int) -> tuple[Any, ...]:
    """Return an answer under ``CANCEL_COLUMNS``."""
    return (found.answer, found.because, *make_outcome_row(found.outcome, exit_code))


def make_outcome_row(outcome: Outcome, exit_code: int) -> tuple[Any, ...]:
    """Return an outcome under ``OUTCOME_COLUMNS``."""
    run, request, error = outcome.run, outcome.run.request, outcome.error
    findings = [f.to_json() for f in outcome.findings]
    return (
        run.uuid, request.request_id, request.vm_name, request.vm_uuid, request.source_name, request.source_uuid,
        request.destination_name, request.destination_uuid, run.state.value, int(exit_code),
        outcome.already_there, run.summary, outcome.vm_state,
        round(outcome.seconds, 3), outcome.interruptions, outcome.cancelled,
        Nested(error.to_json() if error else None, " ".join((error.code, *error.params)) if error else ""),
        Nested(findings, "\n".join(f"{f.code}: {f.message}" for f in outcome.findings)),
        Nested(list(outcome.left), "\n".join(outcome.left)),
        Nested(outcome.choice.to_json() if outcome.choice else None, outcome.choice.because if outcome.choice else ""),
        _nest_tries(outcome.tries),
        Nested(list(outcome.warnings), "\n".join(outcome.warnings)),
        outcome.advice,
        find_pruned(run),
    )  # fmt: skip


def make_run_row(run: Run, condition: str) -> tuple[Any, ...]:
    """Return a run under ``RUN_COLUMNS``; the condition is its state, or interrupted when its owner is gone."""
    request = run.request
    return (
        run.uuid, request.vm_name, request.source_name, request.destination_name, run.state.value, condition, run.phase,
        describe_time(run.created_at), describe_time(run.updated_at), request.request_id, run.summary,
    )  # fmt: skip


def tell_status(report: StatusReport) -> Iterator[str]:
    """Yield the headline, which says whether a VM is down, and then each open run, those that need a person first."""
    yield report.headline
    for line in sorted(report.lines, key=lambda line: line.condition == "running"):
        age = describe_age(line.seconds_since)
        yield f"  {shorten(line.run.uuid)}  {describe_move(line.run)}  {line.condition.upper()} for {age}"
        if line.vm_state:
            yield from wrap("  the VM", line.vm_state)
        if line.xapi_view:
            yield from tell_view(line.xapi_view, wrap, "  ")
        if line.advice:
            yield from wrap("  next", line.advice)


def make_status_row(line: StatusLine) -> tuple[Any, ...]:
    """Return an open run under ``STATUS_COLUMNS``."""
    request = line.run.request
    return (
        line.run.uuid, request.vm_name, request.source_name, request.destination_name, line.run.state.value,
        line.condition, round(line.seconds_since, 1), None if line.seconds_old is None else round(line.seconds_old, 1),
        line.vm_state, line.advice, nest_view(line.xapi_view),
    )  # fmt: skip


def tell_why(report: WhyReport) -> Iterator[str]:
    """Yield what was written last, what the pool says now, the verdict and what to do."""
    condition = report.condition or report.run.state.value
    yield f"run {shorten(report.run.uuid)}  {describe_move(report.run)}  {condition.upper()}"
    yield from fold("last written", report.last_written)
    for number, each in enumerate(report.evidence):
        yield from fold("" if number else "evidence now", each)
    yield from fold("verdict", report.verdict.upper() + (f": {report.explanation}" if report.explanation else ""))
    if report.xapi_view:
        yield from tell_view(report.xapi_view, fold)
    if report.advice:
        yield from fold("next", report.advice)


def fold(label: str, text: str) -> Iterator[str]:
    """Yield a wider ``label`` and the text beside it, folded to the width of a ticket."""
    indent = " " * 16
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=f"  {label:<14}", subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def make_why_row(report: WhyReport) -> tuple[Any, ...]:
    """Return a report under ``WHY_COLUMNS``."""
    evidence: Sequence[str] = report.evidence
    return (
        report.run.uuid, report.run.request.vm_name, report.run.state.value, report.last_written,
        Nested(list(evidence), "\n".join(evidence)), report.verdict, report.explanation, report.advice,
        nest_view(report.xapi_view),
    )  # fmt: skip
