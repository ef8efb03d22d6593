"""A person's decision, where evidence cannot settle it, and only there."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from lmflow.exceptions import RefusedError, UsageError
from lmflow.models import Run
from lmflow.runner.engine import check_flows
from lmflow.runner.reports import describe_sight
from lmflow.runner.runs import Drive, Going, take_up
from lmflow.tasks.context import Context
from lmflow.tasks.verdicts import make_watch
from lmflow.tasks.watch import Sight, Watch
from lmflow.verdict import DECIDED, VerdictKind
from lmflow.xapi.connection import Connection


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """Where a person says that the VM runs; ``host_uuid`` '' means on neither of the two hosts."""

    host_uuid: str
    by: str
    reason: str


def resolve_run(drive: Drive, open_connection: Callable[[], Connection], run: Run, decision: Decision) -> Going:
    """Take over a run that nobody can judge, record the decision, and bring the run to its end by it.

    It is looked once more: RefusedError, and nothing is recorded, when the evidence settles the question, or when the
    witness of a host says the opposite of the decision. UsageError for a run that has ended, or has flows of another
    version.
    """
    if run.state.is_terminal:
        raise UsageError(
            f"run {run.uuid[:8]} has ended ({run.state}): there is nothing to decide",
            advice=f"lmflow run show {run.uuid[:8]}",
        )
    check_flows(drive.database, run)
    return (yield from take_up(drive, open_connection, run, functools.partial(_resolve, decision)))


def _resolve(decision: Decision, context: Context, run: Run) -> None:
    """Record the decision, so that the run goes on by it."""
    watch = make_watch(context)
    sight = _look_open(context, run, watch, decision)
    context.pause(context.waits.quiet_seconds)  # what the two hosts say is heard twice, as for a verdict
    sight = _look_open(context, run, watch, decision)
    _record(context, sight, decision)


def _look_open(context: Context, run: Run, watch: Watch, decision: Decision) -> Sight:
    """Return a look that leaves the question open, with what the hosts themselves say; RefusedError otherwise."""
    sight = watch.look()
    # Ends: a pool that does not settle is overdue. A copy in flight is no question to wait for: somebody has answered.
    while sight.verdict.kind is VerdictKind.WAIT and not sight.verdict.by:
        context.pause(context.waits.poll_seconds)
        sight = watch.look()
    _check_open(run, sight)
    if sight.evidence.witness is None:  # a pool that does not settle was not asked
        evidence = dataclasses.replace(sight.evidence, witness=watch.ask(sight.hosts))
        sight = dataclasses.replace(sight, evidence=evidence)
    _check_witnesses(run, sight, decision)
    return sight


def _check_open(run: Run, sight: Sight) -> None:
    """Refuse where no decision is asked for: what can be known must be known."""
    if sight.verdict.kind is not VerdictKind.UNKNOWN or sight.attempt is None:
        raise RefusedError(
            f"run {run.uuid[:8]} needs no decision: {sight.verdict.because}",
            state_now="; ".join(describe_sight(run, sight)),
            advice=f"lmflow resume {run.uuid[:8]}",
        )


def _check_witnesses(run: Run, sight: Sight, decision: Decision) -> None:
    """Refuse a decision that a host itself, asked just now, contradicts."""
    request = run.request
    for host_uuid, name in (
        (request.source_uuid, request.source_name),
        (request.destination_uuid, request.destination_name),
    ):
        view = sight.evidence.testimony(host_uuid)
        if view is None:
            continue
        digits = sight.evidence.ref_digits
        moving = any(digits and t.ref_digits == digits and t.state == "Pending" for t in view.tasks)
        agrees = (view.power_state == "Running") == (host_uuid == decision.host_uuid)
        if agrees and not (view.incoming or moving):
            continue
        says = f"says that {request.vm_name} is {view.power_state}" if view.power_state else "does not know it"
        if view.incoming or moving:
            says = f"says that {request.vm_name} is on its way"
        raise RefusedError(
            f"{name} itself {says}, against this decision",
            state_now="; ".join(describe_sight(run, sight)),
            advice=f"lmflow why {run.uuid[:8]}",
        )


def _record(context: Context, sight: Sight, decision: Decision) -> None:
    request, attempt = context.request, sight.attempt
    names = {request.source_uuid: request.source_name, request.destination_uuid: request.destination_name}
    moved = decision.host_uuid == request.destination_uuid
    place = f"runs on {names[decision.host_uuid]}" if decision.host_uuid else "runs on neither host"
    because = f"{decision.by} decided that {request.vm_name} {place}: {decision.reason}"
    kind = VerdictKind.CONCLUDE if moved else VerdictKind.ROLL_BACK
    data = {"kind": kind.value, "because": because, "by": "person", "evidence": sight.evidence.to_json()}
    context.record("verdict", data)
    if attempt is not None:
        context.database.attempts.ended(context.fence, attempt.uuid, DECIDED + ("moved" if moved else "stayed"))
    context.say("verdict", because)
