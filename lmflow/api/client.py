"""lmflow in one process: migrate, resume, cancel, look."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from lmflow import visualize
from lmflow.api import asking
from lmflow.api.asking import Wanted
from lmflow.api.records import Records
from lmflow.db.database import RequestExists
from lmflow.exceptions import LmflowError, LockedError, RefusedError, UnreachableError, UsageError
from lmflow.flows.move import make_move_flow
from lmflow.flows.settle import make_settle_flow
from lmflow.models import (
    VM,
    Cancellation,
    CheckReport,
    Host,
    MoveRequest,
    Notice,
    Outcome,
    PoolProfile,
    Run,
    RunState,
    Site,
    StatusReport,
    Waits,
    WhyReport,
)
from lmflow.runner import checking, reports, runs
from lmflow.runner.cancels import cancel_run
from lmflow.runner.conditions import is_to_be_taken_up
from lmflow.runner.heartbeat import CANCEL
from lmflow.runner.resolving import Decision, resolve_run
from lmflow.runner.runs import Drive
from lmflow.tasks.context import ignore_notice
from lmflow.tasks.steering import Steering
from lmflow.xapi.connection import Connection

LOG = logging.getLogger(__name__)

Notify = Callable[[Notice], None]

_LEFT: tuple[tuple[type[LmflowError], str], ...] = (
    (UnreachableError, "unreachable"),
    (LockedError, "locked"),
    (UsageError, "misconfigured"),
)


class Client(Records):
    """A database of runs and the pools they are in. Context manager; may be used from several threads.

    ``password`` gets the name of a profile and returns the password; it is asked at each login and never kept.
    ``site`` holds the site's own rules, hooks and ways of placing VMs.
    ``notify`` is told what goes on while a run goes on, from the threads that do it; what it raises is logged.
    ``on_interrupt``: what a first SIGINT, SIGTERM or SIGHUP does to a run that is driven from the main thread:
    ``detach`` lets go of it, resumable; ``cancel`` asks for its cancel and waits for its end.

    The methods that drive a run take a ``steering``, by which another thread lets go of the run or has it cancelled.
    """

    def __init__(
        self,
        *,
        database_url: str,
        profiles: Mapping[str, PoolProfile],
        password: Callable[[str], str],
        waits: Waits | None = None,
        site: Site | None = None,
        notify: Notify | None = None,
        on_interrupt: str = "detach",
    ) -> None:
        super().__init__(database_url=database_url, waits=waits)
        self._site = site or Site()
        self._profiles = dict(profiles)
        self._password = password
        self._notify = _make_harmless(notify) if notify else ignore_notice
        self._cancel_by = asking.find_user() if on_interrupt == "cancel" else ""

    def migrate(
        self,
        vm: str,
        destination: str = "",
        *,
        pool: str = "",
        request_id: str = "",
        reason: str = "",
        requested_by: str = "",
        strict: bool = False,
        steering: Steering | None = None,
    ) -> Outcome:
        """Migrate the VM to the destination host of its pool and return how it ended. Blocks.

        ``vm`` and ``destination`` are names, UUIDs or unique beginnings. Without a destination the host that all rules
        pass and that has the most headroom is chosen. A VM that runs there already is a success without a call, refused
        with ``strict``. The same ``request_id`` returns the first run's outcome, or goes on with it. ``reason`` and
        ``requested_by``, else this process's user, are kept with the run.
        UsageError for names, RefusedError, LockedError when another run holds the VM, UnreachableError.
        """
        wanted = Wanted(vm, destination, request_id, reason, requested_by)
        first = self._database.runs.find_by_request_id(request_id) if request_id else None
        if first is None:
            try:
                return self._begin(wanted, self._choose(pool), strict=strict, steering=steering)
            except RequestExists as exists:
                first = exists.run
        asking.check_same(first, wanted, pool)
        return self._go_on(first, steering)

    def resume(self, run: str = "", *, steering: Steering | None = None) -> tuple[Outcome, ...]:
        """Take over the run, or every open run whose owner is gone, and bring it to its end. Blocks.

        Of several, one that could not be taken up has an outcome too, whose ``reason`` is unreachable, locked or
        misconfigured. A single one that was named raises UnreachableError, ConfigurationError, or LockedError when a
        living owner holds it.
        """
        if run:
            return (self._resume(self.run(run), steering),)
        steering = steering or Steering()
        outcomes: list[Outcome] = []
        for found in self.runs(active_only=True, limit=None):
            if not is_to_be_taken_up(self._database, found):
                continue
            try:
                outcomes.append(self._resume(found, steering))
            except LmflowError as error:  # one pool that cannot be reached is no reason to leave the others' runs
                outcomes.append(self._tell_left(found, error))
            # Whoever wants this one to end wants no other begun.
            if steering.stop.is_set() or steering.wish is not None:
                break
        return tuple(outcomes)

    def _tell_left(self, run: Run, error: LmflowError) -> Outcome:
        text = f"run {run.uuid[:8]} of {run.request.vm_name}: {error.message}"
        self._notify(Notice(kind="message", text=text, run_uuid=run.uuid))
        reason = next((word for kind, word in _LEFT if isinstance(error, kind)), "error")
        place = f"cannot say where {run.request.vm_name} is: {error.message}"
        return dataclasses.replace(self._recall(run, reason), vm_state=place, advice=error.advice)

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
        found = self.run(run)
        return cancel_run(
            self._drive(steering),
            lambda: self._open(found.request.pool_profile),
            found,
            by=asking.find_user(),
            reason=reason,
            timeout_seconds=timeout_seconds,
        )

    def resolve(self, run: str, *, runs_on: str, reason: str, steering: Steering | None = None) -> Outcome:
        """Record a person's decision on where the VM of an unknown run is, and bring the run to its end by it. Blocks.

        ``runs_on`` is the source or the destination, by name, UUID or unique beginning; '' says on neither.
        RefusedError when the evidence can settle it, or when a host itself says the opposite.
        """
        found, text = self.run(run), reason.strip()
        if not text:
            raise UsageError(
                "a decision needs a reason: it is kept for those who read it later", advice="--reason TEXT"
            )
        decision = Decision(_find_place(found.request, runs_on), asking.find_user(), text)
        return resolve_run(self._drive(steering), lambda: self._open(found.request.pool_profile), found, decision)

    def repair(self, run: str, *, steering: Steering | None = None) -> Outcome:
        """Finish what the reverts of a dirty run could not, by the same rules; other runs are only reported."""
        found = self.run(run)
        if not found.state.is_terminal:
            raise UsageError(f"run {found.uuid[:8]} has not ended", advice=f"lmflow resume {found.uuid[:8]}")
        return runs.repair_run(self._drive(steering), lambda: self._open(found.request.pool_profile), found)

    def check(
        self, vms: Sequence[str], destination: str = "", *, pool: str = "", ask_pool: bool = False
    ) -> CheckReport:
        """Ask every rule for these VMs and the destination, or all hosts; changes nothing.

        ``ask_pool`` asks XAPI itself, too, for each pair that our rules pass. UsageError for names.
        """
        with self._open(self._choose(pool).name) as connection:
            found = asking.resolve_vms(connection, vms)
            host = asking.resolve_host(connection, destination) if destination else None
            return checking.make_check(
                connection, [vm.uuid for vm in found], host_uuid=host.uuid if host else "", ask_pool=ask_pool
            )

    def status(self) -> StatusReport:
        """Say of each open run how it stands, and first whether a VM is down; reads the pools now."""
        return reports.make_status(self._database, self._open, waits=self._waits)

    def why(self, run: str) -> WhyReport:
        """Explain a run: what we wrote last, what the pool says now, what follows. Changes nothing."""
        found = self.run(run)
        if found.state.is_terminal:
            return reports.recall_why(self._database, found)
        try:
            with self._open(found.request.pool_profile) as connection:
                return reports.make_why(self._database, connection, found, waits=self._waits)
        except UnreachableError as error:
            return reports.make_blind_why(self._database, found, error)

    def picture(self, run: str) -> visualize.Picture:
        """Return the picture of a run: its flows with states, durations and progress."""
        found = self.run(run)
        request = found.request.to_json()
        return visualize.make_run_picture(
            (make_move_flow(request), make_settle_flow(request)),
            found,
            atoms=self._database.atoms(found, "move") + self._database.atoms(found, "settle"),
            events=self._database.events.list(found.uuid),
            attempts=self._database.attempts.list(found.uuid),
            interrupted=self.condition(found) == "interrupted",
        )

    def _begin(self, wanted: Wanted, profile: PoolProfile, *, strict: bool, steering: Steering | None) -> Outcome:
        """Resolve the names, choose a destination if none is named, and start; RequestExists for a known id."""
        with self._open(profile.name) as connection:
            vm = asking.resolve_vm(connection, wanted.vm)
            if not wanted.destination:
                return self._begin_chosen(connection, wanted, vm, steering)
            host = self._find_host(connection, wanted.destination, vm)
            request = asking.make_request(connection, wanted, vm, (host.uuid, host.name_label))
            if vm.power_state == "Running" and vm.resident_on_uuid == host.uuid:
                self._database.runs.check_vm_is_free(request)
                asking.check_at_rest(vm, host)
                return self._end_before(request, strict=strict, keep=bool(wanted.request_id))
            return runs.start_run(self._drive(steering), connection, request)

    def _begin_chosen(self, connection: Connection, wanted: Wanted, vm: VM, steering: Steering | None) -> Outcome:
        try:
            choice = checking.choose_destination(connection, vm.uuid)
        except RefusedError as error:
            request = asking.make_request(connection, wanted, vm, ("", ""))
            findings = {"findings": [f.to_json() for f in error.findings]}
            run = self._database.runs.record_settled(
                request,
                kind=runs.KIND,
                state=RunState.REFUSED,
                summary=f"{error.state_now}; {error.message}" if error.state_now else error.message,
                notes=[("refusal", findings)],
            )
            return self._recall(run)
        request = asking.make_request(connection, wanted, vm, (choice.host_uuid, choice.host_name))
        notes = [("choice", choice.to_json())]
        return runs.start_run(self._drive(steering), connection, request, chosen=choice.because, notes=notes)

    def _find_host(self, connection: Connection, text: str, vm: VM) -> Host:
        """Return the host of this pool; RefusedError when only another configured pool has it."""
        try:
            return asking.resolve_host(connection, text)
        except UsageError:
            for name in sorted(self._profiles.keys() - {connection.profile.name}):
                try:
                    with self._open(name) as other:
                        asking.refuse_foreign(other, text, vm)
                except RefusedError:
                    raise
                except LmflowError as error:
                    message = f"pool {name} could not be asked: {error.message}"
                    self._notify(Notice(kind="message", text=message))
            raise

    def _end_before(self, request: MoveRequest, *, strict: bool, keep: bool) -> Outcome:
        """Answer for a VM that runs on the destination already; nothing is sent."""
        place = f"{request.vm_name} runs on {request.destination_name} already"
        if strict:
            raise RefusedError(place, state_now=place, advice="leave out --strict to count this as done")
        if keep:
            run = self._database.runs.record_settled(request, kind=runs.KIND, state=RunState.SUCCESS, summary=place)
        else:
            run = _make_unrecorded(request, place)
        return Outcome(run=run, vm_state=place, already_there=True)

    def _go_on(self, run: Run, steering: Steering | None) -> Outcome:
        """Return the outcome of a run that exists, wait for its living owner, or take it over."""
        hand, passed_on = steering or Steering(), None
        patience = time.monotonic() + self._waits.lease_seconds
        while True:
            while not run.state.is_terminal and self.condition(run) == "running":
                if hand.stop.wait(self._waits.poll_seconds):
                    return self._recall(run, "timeout")
                if hand.wish is not None and hand.wish is not passed_on:  # the owner is another: it has to be asked
                    passed_on = hand.wish
                    asked = {"by": passed_on.by, "reason": passed_on.reason}
                    self._database.control.append(run.uuid, CANCEL, asked)
                run = self._database.runs.get(run.uuid)
                patience = time.monotonic() + self._waits.lease_seconds
            try:
                return self._resume(run, hand)
            except LockedError:  # its owner is just letting go of it
                if time.monotonic() > patience:
                    raise
            time.sleep(self._waits.poll_seconds)
            run = self._database.runs.get(run.uuid)

    def _resume(self, run: Run, steering: Steering | None) -> Outcome:
        return runs.resume_run(self._drive(steering), lambda: self._open(run.request.pool_profile), run)

    def _drive(self, steering: Steering | None) -> Drive:
        return Drive(
            database=self._database,
            waits=self._waits,
            site=self._site,
            notify=self._notify,
            steering=steering or Steering(),
            cancel_by=self._cancel_by,
        )

    def _open(self, profile_name: str) -> Connection:
        profile = self._choose(profile_name)
        return Connection.open(profile, lambda: self._password(profile.name))

    def _choose(self, name: str) -> PoolProfile:
        if not name and len(self._profiles) == 1:
            return next(iter(self._profiles.values()))
        if name in self._profiles:
            return self._profiles[name]
        what = f"no pool profile is called {name!r}" if name else "several pools are configured"
        raise UsageError(what, candidates=sorted(self._profiles), advice="name one with --pool")


def _find_place(request: MoveRequest, text: str) -> str:
    """Return the UUID of source or destination that the text means, '' for neither; UsageError for another host."""
    if not text:
        return ""
    hosts = {request.source_uuid: request.source_name, request.destination_uuid: request.destination_name}
    found = [u for u, name in hosts.items() if text in (u, name)]
    found = found or [u for u, name in hosts.items() if u.startswith(text) or name.startswith(text)]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"{text!r} is neither the source nor the destination of this run",
        candidates=tuple(hosts.values()),
        advice="say that it runs on neither of them: --nowhere",
    )


def _make_harmless(notify: Notify) -> Notify:
    """Let nothing that a watcher does wrong befall the migration that it watches."""

    def tell(notice: Notice) -> None:
        try:
            notify(notice)
        except Exception:
            LOG.exception("a watcher failed on %r", notice.text)

    return tell


def _make_unrecorded(request: MoveRequest, summary: str) -> Run:
    now = time.time()
    return Run(
        uuid="",
        kind=runs.KIND,
        state=RunState.SUCCESS,
        phase="",
        request=request,
        logbook_uuid="",
        move_uuid="",
        settle_uuid="",
        created_at=now,
        updated_at=now,
        summary=summary,
    )
