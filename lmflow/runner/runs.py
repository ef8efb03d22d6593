"""Starting a run, and going on with one that was interrupted."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from lmflow.db.database import Database, Fence, FlowSpec
from lmflow.db.owner import current_owner, is_dead
from lmflow.exceptions import ConfigurationError, FlowSuspended, LeaseLost, LockedError, UnreachableError
from lmflow.flows import move, settle
from lmflow.flows.versions import CURRENT
from lmflow.models import Lease, MoveRequest, Notice, Outcome, Run, RunState, Waits
from lmflow.runner import ending
from lmflow.runner.engine import run_flow
from lmflow.runner.heartbeat import Heartbeat
from lmflow.runner.signals import stop_on_signals
from lmflow.runner.takeover import take_lease
from lmflow.tasks.context import Context
from lmflow.tasks.pre_migrate import PreMigrate
from lmflow.tasks.record_intent import RecordIntent
from lmflow.xapi.connection import Connection

KIND = "migrate"

LOG = logging.getLogger(__name__)


def start_run(
    database: Database,
    connection: Connection,
    request: MoveRequest,
    *,
    waits: Waits,
    notify: Callable[[Notice], None],
) -> Outcome:
    """Create the run in one transaction, drive it, and return how it stands when it is let go of.

    LockedError when another run holds the VM, RequestExists (of lmflow.db) for a request id that has a run.
    """
    kwargs = {"request": request.to_json(), "version": CURRENT}
    flows = [FlowSpec(name=f.NAME, factory=f.FACTORY, kwargs=kwargs) for f in (move, settle)]
    run, fence = database.runs.create(
        request, kind=KIND, owner=current_owner(), lease_seconds=waits.lease_seconds, flows=flows
    )
    context = _make_context(database, connection, run, fence, waits=waits, notify=notify)
    context.say("run", f"run {run.uuid[:8]}  {request.vm_name}  {request.source_name} -> {request.destination_name}")
    return _drive(context, run, _go_on)


def resume_run(
    database: Database,
    open_connection: Callable[[], Connection],
    run: Run,
    *,
    waits: Waits,
    notify: Callable[[Notice], None],
) -> Outcome:
    """Take over a run whose owner is gone and bring it to its end. A run that has ended is only reported.

    The former owner's session is ended in the pool before anything else: a call that it has not sent yet can then
    never begin. LockedError while its owner lives; ConfigurationError when the profile leads to another pool.
    """
    if run.state.is_terminal:
        return ending.recall_outcome(run, database.events.list(run.uuid))
    return _take_up(database, open_connection, run, _go_on, waits=waits, notify=notify)


def repair_run(
    database: Database,
    open_connection: Callable[[], Connection],
    run: Run,
    *,
    waits: Waits,
    notify: Callable[[Notice], None],
) -> Outcome:
    """Finish what the reverts of a dirty run could not; any other run is only reported.

    The same rules hold as in the revert: the VM is looked for first, and only what is proved to be ours is undone.
    """
    if run.state is not RunState.DIRTY:
        return ending.recall_outcome(run, database.events.list(run.uuid))
    return _take_up(database, open_connection, run, _repair, waits=waits, notify=notify)


def _take_up(
    database: Database,
    open_connection: Callable[[], Connection],
    run: Run,
    work: Callable[[Context, Run], Outcome],
    *,
    waits: Waits,
    notify: Callable[[Notice], None],
) -> Outcome:
    fence, previous = take_lease(database, run, waits=waits, notify=notify)
    with _released_on_error(database, fence):
        now = database.runs.get(run.uuid)
        if now.state.is_terminal and now.state is not run.state:  # ended by the other owner since we looked
            database.leases.release(fence)
            return ending.recall_outcome(now, database.events.list(run.uuid))
        connection = open_connection()
    with connection:
        context = _make_context(database, connection, run, fence, waits=waits, notify=notify)
        with _released_on_error(database, fence), _reported_loss(run):
            _take_over(context, run, previous)
        return _drive(context, now, work)


def _repair(context: Context, run: Run) -> Outcome:
    context.record("repairing", {})
    for task in (PreMigrate(), RecordIntent()):
        task.revert(context)
    return ending.end_reverted(context, run)


def _take_over(context: Context, run: Run, previous: Lease | None) -> None:
    if context.connection.pool_uuid != run.request.pool_uuid:
        raise ConfigurationError(
            f"profile {run.request.pool_profile!r} leads to pool {context.connection.pool_uuid},"
            f" the run was begun in pool {run.request.pool_uuid}",
            advice="mend the profile's addresses in lmflow.conf",
        )
    if previous is not None and previous.session_uuid:
        context.connection.end_session(previous.session_uuid)
    context.adopt_session()
    owner = previous.owner if previous else current_owner()
    context.record("taken_over", {"previous_pid": owner.pid, "previous_machine": owner.machine})
    word = "is gone" if is_dead(owner, current_owner()) else "let go of it"
    context.say("run", f"run {run.uuid[:8]}  {run.request.vm_name}: taken over (owner pid {owner.pid} {word})")


def _drive(context: Context, run: Run, work: Callable[[Context, Run], Outcome]) -> Outcome:
    heartbeat = Heartbeat(context)
    heartbeat.start()
    try:
        with _reported_loss(run), stop_on_signals(context.stop):
            try:
                return work(context, run)
            except FlowSuspended as why:
                return ending.suspend(context, run, why)
    finally:
        heartbeat.finish()
        context.connection.close()
        try:
            context.database.leases.release(context.fence)
        except UnreachableError as error:
            LOG.warning("the lease of run %s was not given back, it will expire: %s", run.uuid, error)


@contextlib.contextmanager
def _reported_loss(run: Run) -> Iterator[None]:
    """Turn the signal that our lease was taken into an error of this house."""
    try:
        yield
    except LeaseLost as error:
        raise LockedError(
            f"run {run.uuid} was taken over by another owner",
            run_uuid=run.uuid,
            advice=f"lmflow run show {run.uuid[:8]}",
        ) from error


def _go_on(context: Context, run: Run) -> Outcome:
    """From wherever the run stands to its end. The run's own phase decides; TaskFlow's state only within a flow."""
    context.adopt_session()
    if run.state is not RunState.RUNNING:
        context.database.runs.set_state(context.fence, RunState.RUNNING, summary="")
    if run.phase != settle.NAME:
        state = run_flow(context, run, move.NAME)
        if state == "REVERTED":
            return ending.end_reverted(context, run)
        _check_success(move.NAME, state)
        context.database.runs.set_state(context.fence, RunState.RUNNING, phase=settle.NAME)
        context.say("verdict", f"{run.request.vm_name} is confirmed on {run.request.destination_name}")
    _check_success(settle.NAME, run_flow(context, run, settle.NAME))
    return ending.end_moved(context, run)


def _check_success(which: str, state: str) -> None:
    if state != "SUCCESS":
        raise FlowSuspended("error", f"the flow {which} stopped in state {state}")


def _make_context(
    database: Database,
    connection: Connection,
    run: Run,
    fence: Fence,
    *,
    waits: Waits,
    notify: Callable[[Notice], None],
) -> Context:
    return Context(
        connection=connection,
        database=database,
        fence=fence,
        run_uuid=run.uuid,
        request=run.request,
        waits=waits,
        notify=notify,
    )


@contextlib.contextmanager
def _released_on_error(database: Database, fence: Fence) -> Iterator[None]:
    """Give the lease back when the run cannot be taken over after all, so that the next one need not wait."""
    try:
        yield
    except BaseException:
        database.leases.release(fence)
        raise
