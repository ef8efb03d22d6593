"""What a resume would do, told beforehand: pool, witnesses and database are read as for ``why``, nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from taskflow import flow, states

from lmflow.db.database import AtomRow, Database
from lmflow.db.leases import locked_by
from lmflow.db.owner import current_owner, describe, is_beside, is_dead
from lmflow.exceptions import LmflowError, LockedError, UnreachableError, UsageError, XapiFailureError
from lmflow.flows import move, settle
from lmflow.models import PlannedStep, ResumePlan, Run, RunState, Waits
from lmflow.runner.conditions import find_condition
from lmflow.runner.engine import check_flows, make_flows
from lmflow.runner.heartbeat import CANCEL
from lmflow.runner.places import describe_place
from lmflow.runner.profiles import check_pool
from lmflow.runner.reports import advise, describe_sight, explain, look_until_verdict
from lmflow.tasks.await_pool_migrate import AwaitPoolMigrate
from lmflow.tasks.cancelling import ANSWER
from lmflow.tasks.submit_pool_migrate import SubmitPoolMigrate
from lmflow.tasks.watch import Sight
from lmflow.verdict import Sent, VerdictKind
from lmflow.verdict.page import say_kind
from lmflow.xapi.connection import Connection

_WHY_NOT: tuple[tuple[type[LmflowError], str], ...] = (
    (UnreachableError, "unreachable"),
    (XapiFailureError, "unreachable"),
    (LockedError, "locked"),
    (UsageError, "misconfigured"),
)
_OF_MIGRATION = (SubmitPoolMigrate.NAME, AwaitPoolMigrate.NAME)
_UNDER_REVERT = (states.FAILURE, states.REVERTING, states.REVERTED, states.REVERT_FAILURE)


def make_plan(database: Database, open_connection: Callable[[], Connection], run: Run, *, waits: Waits) -> ResumePlan:
    """Look at the run as its next owner would, and say what that one would do.

    Blocks as ``why`` does, when something was lost. What would keep a resume from the run is told in the plan; errors
    of any other kind are raised.
    """
    if run.state.is_terminal:
        return ResumePlan(
            run=run,
            condition=run.state.value,
            verdict=run.state.value.upper(),
            explanation=f"it has ended, a resume would only report it: {run.summary}",
            advice=f"lmflow {'repair' if run.state is RunState.DIRTY else 'run show'} {run.uuid[:8]}",
        )
    owner = ""
    try:
        check_flows(database, run)
        owner = _find_owner(database, run)
        with open_connection() as connection:
            check_pool(connection, run)
            return _plan(database, connection, run, owner, waits)
    except LmflowError as error:
        reason = next((word for kind, word in _WHY_NOT if isinstance(error, kind)), "")
        if not reason:
            raise
        return ResumePlan(
            run=run,
            condition=find_condition(database, run),
            verdict="",
            explanation=error.message,
            takes_over=owner,
            refused=reason,
            advice=error.advice,
        )


def _plan(database: Database, connection: Connection, run: Run, owner: str, waits: Waits) -> ResumePlan:
    sight = look_until_verdict(database, connection, run, waits=waits)
    cancelled = _is_cancel_asked(database, run)
    explanation = explain(run, sight)
    if cancelled:
        explanation += "; a cancel was asked for, and is served first"
    steps = tuple(_list_steps(database, run, sight, cancelled=cancelled))
    if any(step.what == "revert" for step in steps) and run.request.max_retries is not None:
        explanation += "; then another host may be tried"
    kind = sight.verdict.kind
    return ResumePlan(
        run=run,
        condition=find_condition(database, run),
        verdict=say_kind(kind),
        explanation=explanation,
        evidence=(describe_place(connection, run.request, sight.vm), *describe_sight(run, sight)),
        steps=steps,
        takes_over=owner,
        advice=advise(run, kind),
    )


def _find_owner(database: Database, run: Run) -> str:
    """Return whose place a resume would take; LockedError for an owner beside us who lives."""
    lease = database.leases.get(run.uuid)
    if lease is None:
        return ""
    who = describe(lease.owner)
    if is_dead(lease.owner, current_owner()):
        return f"{who}, which is gone"
    if lease.expires_in_seconds <= 0:
        return f"{who}, which let go of it"
    if is_beside(lease.owner, current_owner()):
        raise locked_by(lease)
    return f"{who}, when its lease has expired, in {lease.expires_in_seconds:.0f} s, unless it is renewed"


def _is_cancel_asked(database: Database, run: Run) -> bool:
    answers = database.events.list(run.uuid, kind=ANSWER)
    answered = max((int(event.data["number"]) for event in answers), default=0)
    return any(asked.kind == CANCEL for asked in database.control.list(run.uuid, after=answered))


def _list_steps(database: Database, run: Run, sight: Sight, *, cancelled: bool) -> Iterator[PlannedStep]:
    moving = _list_atoms(database, run, move.NAME)
    settling = [PlannedStep(name, _go_on(row)) for name, row in _list_atoms(database, run, settle.NAME)]
    if run.phase == settle.NAME or all(_is_done(row) for _, row in moving):
        yield from (PlannedStep(name, "skip") for name, _ in moving)
        yield from settling
        return
    unsent = sight.evidence.sent is Sent.NOTHING or sight.verdict.kind is VerdictKind.REDO
    reverting = any(row.state in _UNDER_REVERT or row.intention == "REVERT" for _, row in moving if row is not None)
    if reverting or sight.verdict.kind is VerdictKind.ROLL_BACK or (cancelled and unsent):
        yield from _go_back(moving)
        return
    yield from (PlannedStep(name, "skip") for name, row in moving if _is_done(row))
    remaining = [name for name, row in moving if not _is_done(row)]
    if sight.verdict.kind in (VerdictKind.UNKNOWN, VerdictKind.WAIT, VerdictKind.ASK):
        yield PlannedStep(remaining[0], "ask")
        return
    yield from _go_forward(remaining, sight)
    yield from settling


def _go_back(moving: list[tuple[str, AtomRow | None]]) -> Iterator[PlannedStep]:
    """Yield what was begun, the last first; what was not begun never will be."""
    begun = [(name, row) for name, row in reversed(moving) if row is not None and row.state != states.PENDING]
    yield from (PlannedStep(name, "skip" if row.state == states.REVERTED else "revert") for name, row in begun)


def _go_forward(remaining: list[str], sight: Sight) -> Iterator[PlannedStep]:
    word = ""
    if sight.verdict.kind is VerdictKind.RE_ATTACH:
        word = "re-attach"
    elif sight.verdict.kind is VerdictKind.REDO and sight.evidence.sent is not Sent.NOTHING:
        word = "redo"
    for name in remaining:
        yield PlannedStep(name, word if word and name in _OF_MIGRATION else "run")
        if name in _OF_MIGRATION:
            word = ""


def _is_done(row: AtomRow | None) -> bool:
    return row is not None and row.state == states.SUCCESS


def _go_on(row: AtomRow | None) -> str:
    return "skip" if _is_done(row) else "run"


def _list_atoms(database: Database, run: Run, which: str) -> list[tuple[str, AtomRow | None]]:
    """Return the steps of a flow, in their order, each as it is stored; None for what TaskFlow never came to."""
    stored = {row.name: row for row in database.atoms(run, which)}
    (made,) = (each for each in make_flows(database, run) if each.name == which)
    return [(name, stored.get(name)) for name in _name_atoms(made)]


def _name_atoms(part: flow.Flow) -> Iterator[str]:
    for child, _ in part.iter_nodes():
        if isinstance(child, flow.Flow):
            yield from _name_atoms(child)
        else:
            yield child.name
