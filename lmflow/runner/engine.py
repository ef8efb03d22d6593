"""One flow of a run, driven by TaskFlow's engine until it ends or is let go of."""

from __future__ import annotations

import concurrent.futures
import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from taskflow import engines, states
from taskflow import exceptions as taskflow_exceptions
from taskflow.flow import Flow

from lmflow.db.database import Database
from lmflow.exceptions import DamagedError, UnreachableError
from lmflow.flows import move, settle
from lmflow.flows.versions import CURRENT, OLDEST, check_version
from lmflow.models import Run
from lmflow.tasks.context import Context

T = TypeVar("T")

_KEPT = (states.RUNNING, states.SUCCESS, states.FAILURE, states.REVERTING, states.REVERTED, states.REVERT_FAILURE)

LOG = logging.getLogger(__name__)


class _InPlace(concurrent.futures.Executor):
    """Does what it is given at once, in the calling thread; before a body that is ``DURABLE`` it calls ``barrier``.

    So a step's body begins when everything that must be known after a crash is on disk. What is no Exception (a step
    that parks, a run that was let go of, a lease or a database that is lost) goes straight through the engine.
    """

    def __init__(self, barrier: Callable[[], None]) -> None:
        self._barrier = barrier

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[T]:
        """Call it, and return its result in a future. Source: TaskFlow gives the task as the first argument."""
        if getattr(args[0], "DURABLE", True):
            try:
                self._barrier()
            except UnreachableError as error:
                raise _DatabaseLost from error
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        future.set_result(fn(*args, **kwargs))
        return future


class _DatabaseLost(BaseException):
    """What was to be committed before a step could not be: it is not begun, and the flow is left as by a crash."""


def run_flow(context: Context, run: Run, which: str) -> str:
    """Drive the flow ``move`` or ``settle`` and return TaskFlow's state at the end: SUCCESS, REVERTED or FAILURE.

    A flow that ended before is not run again. FlowSuspended, LeaseLost and Parked pass through and leave the flow as a
    crash would; UnreachableError when the database was lost. What the flow's end has written may still be deferred.
    """
    context.database.barrier(context.fence)  # what a stretch before this one has deferred is now to be read
    detail = context.database.load_flow(run, which)
    if detail.state in (states.SUCCESS, states.REVERTED):
        return str(detail.state)
    engine = engines.load_from_detail(
        detail,
        backend=context.database.taskflow_backend(run.uuid, context.fence),
        engine="parallel",
        executor=_InPlace(functools.partial(context.database.barrier, context.fence)),
        never_resolve=which == "settle",
    )
    engine.storage.inject({"context": context}, transient=True)
    engine.atom_notifier.register("*", functools.partial(_report, context))
    try:
        engine.run()
    except _DatabaseLost as error:
        raise UnreachableError(f"the database was lost: {error.__cause__}") from error
    except taskflow_exceptions.StorageFailure as error:
        raise UnreachableError(f"the database was lost: {error}") from error
    except Exception as error:  # whatever failed a task: the flow's state says what followed
        LOG.info(
            "flow %s of run %s: %s: %s", which, run.uuid, type(error).__name__, error, extra={"run_uuid": run.uuid}
        )
    return str(engine.storage.get_flow_state())


def check_flows(database: Database, run: Run) -> None:
    """Raise ConfigurationError for a run whose flows this lmflow cannot build, before anything is done with it.

    DamagedError, which is one, for events or attempts that cannot be read, and for a flow that names another factory
    than ours: whatever it is, it is not called.
    """
    database.events.list(run.uuid)
    database.attempts.list(run.uuid)
    for flow in (move, settle):
        stored = (database.load_flow(run, flow.NAME).meta or {}).get("factory") or {}
        named, version = stored.get("name"), (stored.get("kwargs") or {}).get("version")
        if named != flow.FACTORY.replace(":", "."):
            raise DamagedError(run.uuid, f"its {flow.NAME} flow is made by {named or 'nothing'}, which is not ours")
        if not isinstance(version, int):
            raise DamagedError(run.uuid, f"its {flow.NAME} flow has no version")
        check_version(flow.NAME, version, run.request.to_json(), run_uuid=run.uuid)


def make_flows(database: Database, run: Run) -> tuple[Flow, Flow]:
    """Return move and settle of the version that the run was created with, or of the nearest that can be built."""
    request, version = run.request.to_json(), CURRENT
    if run.logbook_uuid:
        stored = (database.load_flow(run, move.NAME).meta or {}).get("factory") or {}
        version = max(OLDEST, min(CURRENT, int((stored.get("kwargs") or {}).get("version", CURRENT))))
    return move.make_move_flow(request, version), settle.make_settle_flow(request, version)


def _report(context: Context, state: str, details: Mapping[str, Any]) -> None:
    """Keep when each step began and ended, for pictures and reports, and tell whoever watches."""
    name = str(details.get("task_name", ""))
    if name and state in _KEPT:
        context.database.events.defer(context.fence, "atom", {"atom": name, "state": state})
        context.say("atom", f"{name} {state}", atom=name, state=state)
