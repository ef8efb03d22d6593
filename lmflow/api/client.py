"""lmflow in one process: migrate, resume, cancel, look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from lmflow import checks, visualize
from lmflow.api import asking
from lmflow.api.asking import Wanted, make_wanted
from lmflow.api.going import Going
from lmflow.api.ways import Ways
from lmflow.exceptions import UnreachableError, UsageError
from lmflow.models import (
    Cancellation,
    CheckReport,
    MoveOptions,
    Outcome,
    ResumePlan,
    Run,
    RunState,
    StatusReport,
    WhyReport,
)
from lmflow.runner import checking, plans, reports
from lmflow.runner.conditions import is_to_be_taken_up
from lmflow.runner.engine import make_flows
from lmflow.tasks.steering import Steering


class Client(Going):
    """A database of runs and the pools they are in. Context manager; may be used from several threads.

    ``password`` gets the name of a profile and returns the password; it is asked at each login and never kept.
    ``site`` holds the site's own rules, hooks and ways of placing VMs.
    ``notify`` is told what goes on while a run goes on, from the threads that do it; what it raises is logged.
    ``on_interrupt``: what a first SIGINT, SIGTERM or SIGHUP does to a run that is driven from the main thread:
    ``detach`` lets go of it, resumable; ``cancel`` asks for its cancel and waits for its end.

    The methods that drive a run take a ``steering``, by which another thread lets go of the run or has it cancelled.
    """

    def migrate(
        self,
        vm: str,
        destination: str = "",
        *,
        pool: str = "",
        request_id: str = "",
        reason: str = "",
        requested_by: str = "",
        steering: Steering | None = None,
        **ways: Unpack[Ways],
    ) -> Outcome:
        """Migrate the VM to the destination host of its pool and return how it ended. Blocks.

        ``vm`` and ``destination`` are names, UUIDs or unique beginnings. Without a destination one of the hosts that
        all rules pass is chosen, by the site's ``strategy`` or this one; when it turns out unfit, up to ``max_retries``
        more are tried, by default as many as the site has set. A VM that runs there already is a success without a
        call, refused with ``strict``. The same ``request_id`` returns the first run's outcome, or goes on with it; also
        when its records were pruned: then the outcome is what was kept of it, and its run has a ``remnant``.
        ``reason`` and ``requested_by``, else this process's user, are kept with the run, and so are the ``ways``: a
        resume goes by them.
        UsageError for names and for ways that contradict each other, or another request's; RefusedError, LockedError
        when another run holds the VM, UnreachableError. Where a run of another database was faster by a moment, the
        outcome's ``reason`` is ``locked``.
        """
        hand = steering or Steering()
        wanted = make_wanted(
            vm, destination, ways=ways, request_id=request_id, reason=reason, requested_by=requested_by
        )
        return self._go(self._migrating(wanted, pool, hand), hand)

    def resume(self, run: str = "", *, steering: Steering | None = None) -> tuple[Outcome, ...]:
        """Take over the run, or every open run whose owner is gone, and bring it to its end. Blocks.

        Of several, one that could not be taken up has an outcome too, whose ``reason`` is unreachable, locked or
        misconfigured. A single one that was named raises UnreachableError, ConfigurationError, or LockedError when a
        living owner holds it.
        """
        hand = steering or Steering()
        if run:
            return (self._go(self._resuming(self.run(run), hand), hand),)
        return self._await_all(self._resume_open(hand), hand)

    def plan_resume(self, selector: str = "") -> tuple[ResumePlan, ...]:
        """Say what a resume of that run, or of every run that it would take up, would do. Changes nothing.

        A run is told by its UUID, a unique beginning of one, its request id, or the VM of an open run. What would keep
        a resume from it (a living owner, another pool, an unreachable one) is said in its plan. Blocks as ``why``.
        """
        checks.find_rules_for(self._site)
        if selector:
            found = [self.run(selector)]
        else:
            found = [run for run in self._list_open() if is_to_be_taken_up(self._database, run)]
        return tuple(self._plan(self._database.runs.get_newest(run.uuid)) for run in found)

    def _plan(self, run: Run) -> ResumePlan:
        return plans.make_plan(self._database, lambda: self._open(run.request.pool_profile), run, waits=self._waits)

    def cancel(
        self,
        run: str,
        *,
        reason: str = "",
        timeout_seconds: float | None = None,
        steering: Steering | None = None,
    ) -> Cancellation:
        """Ask for the run to be cancelled, wherever it is driven, and return what came of it. Blocks.

        Before the submit it is rolled back; while the task can be cancelled it is, and then the truth is found out;
        later it goes on to its end. A run whose owner is gone is taken up here, and cancelled if it still can be.
        """
        hand = steering or Steering()
        return self._go(self._cancelling(self.run(run), reason, timeout_seconds, hand), hand)

    def resolve(self, run: str, *, runs_on: str, reason: str, steering: Steering | None = None) -> Outcome:
        """Record a person's decision on where the VM of an unknown run is, and bring the run to its end by it. Blocks.

        ``runs_on`` is the source or the destination, by name, UUID or unique beginning; '' says on neither.
        RefusedError when the evidence can settle it, or when a host itself says the opposite.
        """
        hand = steering or Steering()
        return self._go(self._resolving(self.run(run), runs_on, reason, hand), hand)

    def repair(self, run: str, *, steering: Steering | None = None) -> Outcome:
        """Finish what the reverts of a dirty run could not, by the same rules; other runs are only reported."""
        hand = steering or Steering()
        return self._go(self._repairing(self.run(run), hand), hand)

    def check(
        self,
        vms: Sequence[str],
        destination: str = "",
        *,
        pool: str = "",
        ask_pool: bool = False,
        network: str = "",
        strict: bool = False,
        force: bool = False,
        eject_local_iso: bool = False,
    ) -> CheckReport:
        """Ask every rule for these VMs and the destination, or all hosts; changes nothing.

        ``ask_pool`` asks XAPI itself, too, for each pair that our rules pass. With ``network``, ``strict``,
        ``force`` or ``eject_local_iso`` they are asked about a migration in that way. UsageError for names.
        """
        options = MoveOptions(strict=strict, force=force, eject_local_iso=eject_local_iso)
        way = Wanted("", network=network, options=options)
        with self._open(self._choose(pool).name) as connection:
            found = asking.resolve_vms(connection, vms)
            host = asking.resolve_host(connection, destination) if destination else None
            return checking.make_check(
                connection,
                [vm.uuid for vm in found],
                host_uuid=host.uuid if host else "",
                ask_pool=ask_pool,
                site=self._site,
                options=asking.resolve_options(connection, way),
                waits=self._waits,
                doubted=[vm.uuid for vm in found if self._is_in_doubt(connection.pool_uuid, vm.uuid)],
            )

    def _is_in_doubt(self, pool_uuid: str, vm_uuid: str) -> bool:
        run = self._database.runs.find_active(pool_uuid, vm_uuid)
        return run is not None and run.state is RunState.UNKNOWN

    def status(self) -> StatusReport:
        """Say of each open run how it stands, and first whether a VM is down; reads the pools now."""
        return reports.make_status(self._database, self._open, waits=self._waits)

    def why(self, run: str) -> WhyReport:
        """Explain a run: what we wrote last, what the pool says now, what follows. Changes nothing."""
        found = self.run(run)
        if found.state.is_terminal:
            return reports.recall_why(self._database, found, self._open, waits=self._waits)
        try:
            with self._open(found.request.pool_profile) as connection:
                return reports.make_why(self._database, connection, found, waits=self._waits)
        except UnreachableError as error:
            return reports.make_blind_why(self._database, found, error)

    def picture(self, run: str) -> visualize.Picture:
        """Return the picture of a run: its flows with states, durations and progress; UsageError for a pruned one."""
        found = self.run(run)
        if found.remnant:
            short = found.uuid[:8]
            raise UsageError(f"the records of run {short} were pruned", advice=f"lmflow run show {short}")
        return visualize.make_run_picture(
            make_flows(self._database, found),
            found,
            atoms=self._database.atoms(found, "move") + self._database.atoms(found, "settle"),
            events=self._database.events.list(found.uuid),
            attempts=self._database.attempts.list(found.uuid),
            interrupted=self.condition(found) == "interrupted",
        )
