"""One migration as an atom of somebody else's TaskFlow graph; what it does inside is a run of lmflow's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Unpack

from taskflow import task

from lmflow.api.asking import check_same, make_wanted
from lmflow.api.client import Client
from lmflow.api.ways import Ways, split
from lmflow.exceptions import (
    CancelledError,
    FlowSuspended,
    LmflowError,
    LockedError,
    MigrationFailedError,
    RefusedError,
    UsageError,
)
from lmflow.models import Outcome, Run, RunState
from lmflow.tasks.steering import Steering

LOG = logging.getLogger(__name__)


class MigrateTask(task.Task):
    """Starts the migration that ``request_id`` names, or re-attaches to it, and waits for its end.

    Running it twice is safe: the id names one run in lmflow's own database for ever, also for a graph that was killed.
    The graph has to inject two live things, transiently, each time it is loaded: ``lmflow_client``, and optionally
    ``lmflow_steering``. ``vm``, ``destination`` and ``reason`` may come from other atoms instead: ``rebind`` gives the
    symbol for each, such as ``{"destination": "chosen_host"}``. The ``ways`` are those of ``Client.migrate``.

    The result is strict JSON: ``run``, ``state``, ``vm_state`` (a sentence), ``vm_uuid``, ``source_uuid``,
    ``destination_uuid``, ``destination``, ``already_there``, ``seconds``.

    It fails, so that the graph reverts, only where it is known that the VM has not moved: RefusedError,
    MigrationFailedError (CancelledError), or what ``Client.migrate`` raises before it has begun a run. As long as the
    run is open, FlowSuspended passes through TaskFlow and leaves the graph as a crash would: run it again later.

    A migration is never taken back: the revert of one that has ended only says where the VM is. One that is still open
    is cancelled first; while that cannot be settled, FlowSuspended keeps the graph from reverting more.
    """

    def __init__(
        self,
        request_id: str,
        *,
        vm: str = "",
        destination: str = "",
        pool: str = "",
        reason: str = "",
        name: str | None = None,
        provides: str | None = None,
        rebind: Mapping[str, str] | None = None,
        **ways: Unpack[Ways],
    ) -> None:
        given = dict(rebind or {})
        if not request_id or not (vm or "vm" in given) or given.keys() - {"vm", "destination", "reason"}:
            raise ValueError("a migration needs a request id and a VM; vm, destination and reason can be rebound")
        super().__init__(
            name=name or f"lmflow migrate {request_id}",
            provides=provides,
            requires=("lmflow_client", *given),
            rebind=given,
            revert_requires=("lmflow_client",),
        )
        self.request_id = request_id
        self._pool = pool
        self._asked = {"vm": vm, "destination": destination, "reason": reason}
        split(ways, chosen=not destination)  # whoever composes the graph hears of a mistake at once
        self._ways = ways

    def execute(self, lmflow_client: Client, lmflow_steering: Steering | None = None, **found: str) -> dict[str, Any]:
        """Migrate, or go on with the migration that was begun, and return how it ended."""
        asked = {**self._asked, **found}
        try:
            outcome = lmflow_client.migrate(
                asked["vm"],
                asked["destination"],
                pool=self._pool,
                request_id=self.request_id,
                reason=asked["reason"],
                steering=lmflow_steering,
                **self._ways,
            )
        except Exception as error:  # whatever it was, it does not say how the run stands; its records do
            outcome = self._recall(lmflow_client, error)
        return make_result(outcome)

    def revert(self, lmflow_client: Client, result: Any = None, flow_failures: Any = None, **kwargs: Any) -> None:
        """Take nothing back; see to it that the run has ended before the graph reverts what was there before it."""
        try:
            run = self._find_run(lmflow_client)
            if run is not None and not run.state.is_terminal:
                wanted = make_wanted(self._asked["vm"], self._asked["destination"], ways=self._ways)
                check_same(run, wanted, self._pool)
                run = _end(lmflow_client, run)
        except Exception as error:  # TaskFlow would mark the graph reverted, and revert nothing below this atom
            raise FlowSuspended("error", f"{self.name}: {_say(error)}") from error
        if run is None:
            LOG.info("%s: no run was begun", self.name)
        elif not run.state.is_terminal:
            raise FlowSuspended(_reason_of(run), f"{self.name}: run {run.uuid} is {run.state}: {run.summary}")
        else:
            LOG.warning("%s: the graph reverts; the migration stays as it ended: %s", self.name, run.summary)

    def _recall(self, client: Client, error: Exception) -> Outcome:
        """Return the outcome of our run if it has ended; raise the error if none was begun, else FlowSuspended."""
        try:
            run = self._find_run(client)
            if run is not None and run.state.is_terminal and not isinstance(error, UsageError):
                return client.outcome(run.uuid)
        except Exception as lost:  # then nobody here knows whether the VM is on its way
            raise FlowSuspended("unreachable", f"{self.name}: {_say(error)}; {_say(lost)}") from error
        if run is None or run.state.is_terminal:
            raise error
        raise FlowSuspended("error", f"{self.name}: run {run.uuid} is open: {_say(error)}") from error

    def _find_run(self, client: Client) -> Run | None:
        """Return the latest try of exactly this request id; a run's UUID may begin with the same letters."""
        return client.find_request(self.request_id)


def make_result(outcome: Outcome) -> dict[str, Any]:
    """Return the result of a success; raise what lets the graph revert, or FlowSuspended while that is not known."""
    run = outcome.run
    if run.state is RunState.SUCCESS:
        return {
            "run": run.uuid,
            "state": run.state.value,
            "vm_state": outcome.vm_state,
            "vm_uuid": run.request.vm_uuid,
            "source_uuid": run.request.source_uuid,
            "destination_uuid": run.request.destination_uuid,
            "destination": run.request.destination_name,
            "already_there": outcome.already_there,
            "seconds": outcome.seconds,
        }
    if not run.state.is_terminal:
        raise FlowSuspended(outcome.reason or _reason_of(run), f"run {run.uuid} is {run.state}: {outcome.vm_state}")
    message = f"run {run.uuid} {run.state}: {run.summary}"
    if outcome.reason == "locked":
        raise LockedError(message, advice=outcome.advice)
    if run.state is RunState.REFUSED:
        raise RefusedError(message, findings=outcome.findings, state_now=outcome.vm_state, advice=outcome.advice)
    left = f"; left in the pool: {'; '.join(outcome.left)}" if outcome.left else ""
    error = outcome.error
    raise (CancelledError if outcome.cancelled else MigrationFailedError)(
        message + left,
        xapi_code=error.code if error else "",
        xapi_params=error.params if error else (),
        state_now=outcome.vm_state,
        advice=outcome.advice,
    )


def _end(client: Client, run: Run) -> Run:
    """Have an open run cancelled, and where it is too late for that wait for its end; return how it stands."""
    outcome = client.cancel(run.uuid, reason="the graph that asked for it reverts").outcome
    if not outcome.run.state.is_terminal and client.condition(outcome.run) == "running":
        outcome = client.wait(run.uuid)
    return outcome.run


def _reason_of(run: Run) -> str:
    return "unknown" if run.state is RunState.UNKNOWN else "detached"


def _say(error: Exception) -> str:
    return error.message if isinstance(error, LmflowError) else f"{type(error).__name__}: {error}"
