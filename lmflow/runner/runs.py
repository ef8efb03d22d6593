"""Starting a run, and going on with one that was interrupted."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from lmflow.db.database import Database, Fence
from lmflow.db.owner import current_owner, is_dead
from lmflow.exceptions import FlowSuspended, LeaseLost, LockedError, UnreachableError
from lmflow.flows import move, settle
from lmflow.models import Lease, MoveRequest, Notice, Outcome, Run, RunState, Site, Waits
from lmflow.runner import ending, retrying
from lmflow.runner.engine import check_flows, run_flow
from lmflow.runner.profiles import check_pool
from lmflow.runner.recall import recall_outcome
from lmflow.runner.retrying import Handed
from lmflow.runner.specs import make_flow_specs
from lmflow.runner.takeover import check_owner, take_lease
from lmflow.runner.turns import Pause
from lmflow.tasks.claim_vm import ClaimVM
from lmflow.tasks.connect_storage import ConnectStorage
from lmflow.tasks.context import Context, ignore_notice
from lmflow.tasks.copy_kernel import CopyKernel
from lmflow.tasks.eject_local_iso import EjectLocalISO
from lmflow.tasks.hooks import load_hooks
from lmflow.tasks.record_intent import RecordIntent
from lmflow.tasks.steering import Steering
from lmflow.xapi.connection import Connection

KIND = "migrate"

Work = Callable[[Context, Run], Outcome | Handed | None]
"""What an owner does with a run: it ends it, or lets go of it, or hands over to the next try; None: go on with it."""

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Drive:
    """How a run is driven from here: where it is kept, how long is waited, what the site has set, who is told, whose
    hand is on it.

    ``cancel_by``: on a first signal the cancel of the run is asked for, in this name; '' lets go of it.
    """

    database: Database
    waits: Waits
    site: Site = dataclasses.field(default_factory=Site)
    notify: Callable[[Notice], None] = ignore_notice
    steering: Steering = dataclasses.field(default_factory=Steering)
    cancel_by: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Begun:
    """A run that is ours, with what is to be done with it. Whoever gets it sees to it, and logs out at the end."""

    drive: Drive
    context: Context
    run: Run
    work: Work


Going = Generator[Pause | Begun, Outcome | None, Outcome]
"""The way of a run from here to its outcome: it pauses, and asks for what it has begun to be driven (``driver``)."""


def start_run(
    drive: Drive,
    connection: Connection,
    request: MoveRequest,
    *,
    chosen: str = "",
    notes: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> Begun:
    """Create the run in one transaction; it is ours then, and has to be driven.

    ``chosen`` says in a few words why this destination was chosen; ``notes`` are events that are kept with the run.

    LockedError when another run holds the VM, RequestExists (of lmflow.db) for a request id that has a run, PluginError
    when a hook that the site calls fatal cannot be loaded.
    """
    load_hooks(drive.site)
    run, fence = drive.database.runs.create(
        request,
        kind=KIND,
        owner=current_owner(),
        lease_seconds=drive.waits.lease_seconds,
        flows=make_flow_specs(request),
        notes=notes,
    )
    context = make_context(drive, connection, run, fence)
    say_begun(context, run, chosen)
    return Begun(drive, context, run, go_on)


def resume_run(drive: Drive, open_connection: Callable[[], Connection], run: Run) -> Going:
    """Take over a run whose owner is gone and bring it to its end. A run that has ended is only reported.

    The former owner's session is ended in the pool before anything else: a call that it has not sent yet can then
    never begin. LockedError while its owner lives; ConfigurationError when the profile leads to another pool, and,
    with nothing written, for a run with flows of another version.
    """
    if run.state.is_terminal:
        return recall_outcome(run, drive.database.events.list(run.uuid))
    check_flows(drive.database, run)
    return (yield from take_up(drive, open_connection, run, go_on))


def repair_run(drive: Drive, open_connection: Callable[[], Connection], run: Run) -> Going:
    """Finish what the reverts of a dirty run could not; any other run is only reported.

    The same rules hold as in the revert: the VM is looked for first, and only what is proved to be ours is undone.
    """
    if run.state is not RunState.DIRTY:
        return recall_outcome(run, drive.database.events.list(run.uuid))
    return (yield from take_up(drive, open_connection, run, _repair))


def take_up(drive: Drive, open_connection: Callable[[], Connection], run: Run, work: Work) -> Going:
    """Take the run over from an owner who is gone, end that one's session in the pool, and do the work as its owner.

    Nothing is written, and no lease is taken, where the profile leads to another pool, or to none that answers. Told to
    stop before the run is ours, its outcome is as it stands, with the reason ``detached``.
    """
    database = drive.database
    check_owner(database, run)
    with contextlib.ExitStack() as undone:
        connection = undone.enter_context(open_connection())
        check_pool(connection, run)
        try:
            taken = yield from take_lease(
                database, run, waits=drive.waits, notify=drive.notify, stop=drive.steering.stop
            )
        except FlowSuspended as why:
            return _recall(database, run, why.reason)
        begun = _take_over(drive, connection, run, work, taken)
        if isinstance(begun, Outcome):
            return begun
        undone.pop_all()
    ended = yield begun
    if ended is None:
        raise RuntimeError("whoever drives a run returns its outcome")
    return ended


def _take_over(
    drive: Drive, connection: Connection, run: Run, work: Work, taken: tuple[Fence, Lease | None]
) -> Begun | Outcome:
    """End the former owner's session; the outcome of a run that has ended meanwhile."""
    database, (fence, previous) = drive.database, taken
    with contextlib.ExitStack() as undone, reported_loss(run):
        undone.callback(database.leases.release, fence)
        now = database.runs.get(run.uuid)
        if now.state.is_terminal and now.state is not run.state:
            return _recall(database, run)
        context = make_context(drive, connection, now, fence)
        if previous is not None and previous.session_uuid:
            connection.end_session(previous.session_uuid)
        context.adopt_session()
        _say_taken_over(context, now, previous)
        undone.pop_all()
    return Begun(drive, context, now, work)


def _recall(database: Database, run: Run, reason: str = "") -> Outcome:
    return recall_outcome(database.runs.get(run.uuid), database.events.list(run.uuid), reason=reason)


def _repair(context: Context, run: Run) -> Outcome:
    context.record("repairing", {})
    for task in (CopyKernel(), ConnectStorage(), EjectLocalISO(), ClaimVM(), RecordIntent()):
        task.revert(context)
    return ending.end_reverted(context, run)


def _say_taken_over(context: Context, run: Run, previous: Lease | None) -> None:
    owner = previous.owner if previous else current_owner()
    context.record("taken_over", {"previous_pid": owner.pid, "previous_machine": owner.machine})
    word = "is gone" if is_dead(owner, current_owner()) else "let go of it"
    context.say("run", f"run {run.uuid[:8]}  {run.request.vm_name}: taken over (owner pid {owner.pid} {word})")


def release(context: Context) -> None:
    """Give the lease back; when the database is away it will expire."""
    try:
        context.database.leases.release(context.fence)
    except UnreachableError as error:
        LOG.warning(
            "the lease of run %s was not given back, it will expire: %s",
            context.run_uuid,
            error,
            extra={"run_uuid": context.run_uuid},
        )


def say_begun(context: Context, run: Run, chosen: str) -> None:
    """Tell whoever watches what moves where, and why there."""
    request = run.request
    move_said = f"{request.vm_name}  {request.source_name} -> {request.destination_name}"
    context.say("run", f"run {run.uuid[:8]}  {move_said}" + (f"  ({chosen})" if chosen else ""))


@contextlib.contextmanager
def reported_loss(run: Run) -> Iterator[None]:
    """Turn the signal that our lease was taken into an error of this house."""
    try:
        yield
    except LeaseLost as error:
        raise make_locked(run.uuid) from error


def make_locked(run_uuid: str) -> LockedError:
    """Make the error of this house for the signal that our lease was taken."""
    return LockedError(
        f"run {run_uuid} was taken over by another owner",
        run_uuid=run_uuid,
        advice=f"lmflow run show {run_uuid[:8]}",
    )


def go_on(context: Context, run: Run) -> Outcome | Handed:
    """From wherever the run stands to its end. The run's own phase decides; TaskFlow's state only within a flow.

    Where another host is to be tried, the next try has begun and is returned. Parked leaves it: to be called again.
    """
    context.adopt_session()
    if run.state is not RunState.RUNNING:
        context.database.runs.set_state(context.fence, RunState.RUNNING, summary="")
    if run.phase != settle.NAME:
        state = run_flow(context, run, move.NAME)
        if state == "REVERTED":
            return retrying.end_try(context, run)
        _check_success(move.NAME, state)
        context.database.runs.set_state(context.fence, RunState.RUNNING, phase=settle.NAME)
        context.say("verdict", f"{run.request.vm_name} is confirmed on {run.request.destination_name}")
    _check_success(settle.NAME, run_flow(context, run, settle.NAME))
    return ending.end_moved(context, run)


def _check_success(which: str, state: str) -> None:
    if state != "SUCCESS":
        raise FlowSuspended("error", f"the flow {which} stopped in state {state}")


def make_context(drive: Drive, connection: Connection, run: Run, fence: Fence) -> Context:
    """Return one owner's hold on a run."""
    return Context(
        connection=connection,
        database=drive.database,
        fence=fence,
        run_uuid=run.uuid,
        request=run.request,
        waits=drive.waits,
        site=drive.site,
        notify=drive.notify,
        steering=drive.steering,
    )
