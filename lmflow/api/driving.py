"""What is behind the methods that drive a run: beginning one, choosing where to, going on with one that exists."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Mapping

from lmflow import checks
from lmflow.api import asking
from lmflow.api.asking import Wanted
from lmflow.api.records import Records
from lmflow.db.database import RequestExists
from lmflow.exceptions import LmflowError, LockedError, RefusedError, UsageError
from lmflow.models import VM, Finding, Host, MoveRequest, Notice, Outcome, PoolProfile, Run, RunState, Site, Waits
from lmflow.runner import checking, runs
from lmflow.runner.driver import THREADS, Driver, Way
from lmflow.runner.forcing import confirm_forced
from lmflow.runner.heartbeat import CANCEL
from lmflow.runner.runs import Begun, Drive
from lmflow.runner.turns import Pause
from lmflow.tasks.context import ignore_notice
from lmflow.tasks.steering import CancelWish, Steering
from lmflow.xapi.connection import Connection
from lmflow.xapi.links import Links

LOG = logging.getLogger(__name__)

Notify = Callable[[Notice], None]


class Driving(Records):
    """Records, and the pools that their runs are in."""

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
        threads: int = THREADS,
    ) -> None:
        super().__init__(database_url=database_url, waits=waits)
        self._driver = Driver(self._database, self._waits, threads=threads)
        self._site = site or Site()
        self._profiles = dict(profiles)
        self._password = password
        self._links = Links()  # one login a pool for all that is done here at a time
        self._notify = _make_harmless(notify) if notify else ignore_notice
        self._cancel_by = asking.find_user() if on_interrupt == "cancel" else ""

    def _migrating(self, wanted: Wanted, pool: str, steering: Steering) -> Way[Outcome]:
        """Begin the migration and have it driven; or go on with the run that its request has."""
        runs_ = self._database.runs
        first = runs_.find_by_request_id(wanted.request_id) if wanted.request_id else None
        if first is None:
            try:
                begun = self._begin(wanted, self._choose(pool), steering=steering)
            except RequestExists as exists:
                first = exists.run
            else:
                if isinstance(begun, Outcome):
                    return begun
                outcome: Outcome = yield begun
                return outcome
        asking.check_same(first, wanted, pool)
        return (yield from self._go_on(first, steering))

    def _begin(self, wanted: Wanted, profile: PoolProfile, *, steering: Steering) -> Begun | Outcome:
        """Resolve the names, choose a destination if none is named, and begin; RequestExists for a known id."""
        checks.find_rules_for(self._site)  # a rule that is switched off by a wrong name is told before anything begins
        with contextlib.ExitStack() as leaving:
            connection = leaving.enter_context(self._open(profile.name))
            begun = self._begin_here(connection, wanted, steering)
            if isinstance(begun, Begun):
                leaving.pop_all()  # who drives it logs out
            return begun

    def _begin_here(self, connection: Connection, wanted: Wanted, steering: Steering) -> Begun | Outcome:
        vm = asking.resolve_vm(connection, wanted.vm)
        if not wanted.destination:
            return self._begin_chosen(connection, wanted, vm, steering)
        host = self._find_host(connection, wanted.destination, vm)
        request = asking.make_request(connection, wanted, vm, (host.uuid, host.name_label))
        self._check_unclaimed(request, vm)
        if vm.power_state == "Running" and vm.resident_on_uuid == host.uuid:
            self._database.runs.check_vm_is_free(request)
            asking.check_at_rest(vm, host)
            return self._end_before(request, host, keep=bool(wanted.request_id))
        notes = confirm_forced(connection, request, self._site, wanted.confirm)
        return runs.start_run(self._drive(steering), connection, request, notes=notes)

    def _begin_chosen(self, connection: Connection, wanted: Wanted, vm: VM, steering: Steering) -> Begun | Outcome:
        retries = self._site.max_retries if wanted.max_retries is None else wanted.max_retries
        request = asking.make_request(connection, wanted, vm, ("", ""))
        request = dataclasses.replace(request, max_retries=retries)
        self._check_unclaimed(request, vm)
        try:
            choice = checking.choose_destination(connection, vm.uuid, site=self._site, options=request.options)
        except RefusedError as error:
            summary = f"{error.state_now}; {error.message}" if error.state_now else error.message
            return self._record_refused(request, summary, error.findings)
        request = dataclasses.replace(
            request, destination_uuid=choice.host_uuid, destination_name=choice.host_name, max_retries=retries
        )
        notes = [("choice", choice.to_json()), *confirm_forced(connection, request, self._site, wanted.confirm)]
        return runs.start_run(self._drive(steering), connection, request, chosen=choice.because, notes=notes)

    def _check_unclaimed(self, request: MoveRequest, vm: VM) -> None:
        """Raise LockedError when the VM says that a run holds it, before anything is recorded: later it may be free.

        A run of our own database is named with its owner; RequestExists when it is this request's.
        """
        if vm.claimed_by:
            self._database.runs.check_vm_is_free(request)
            finding = checks.object_to_claim(vm.name_label, vm.uuid, vm.claimed_by)
            raise LockedError(finding.message, run_uuid=vm.claimed_by, advice=finding.remedy)

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

    def _record_refused(self, request: MoveRequest, summary: str, findings: tuple[Finding, ...]) -> Outcome:
        """Record a request that was refused before any run of it began."""
        run = self._database.runs.record_settled(
            request,
            kind=runs.KIND,
            state=RunState.REFUSED,
            summary=summary,
            notes=[("refusal", {"findings": [f.to_json() for f in findings]})],
        )
        return self._recall(run)

    def _end_before(self, request: MoveRequest, host: Host, *, keep: bool) -> Outcome:
        """Answer for a VM that runs on the destination already; nothing is sent."""
        place = f"{request.vm_name} runs on {host.name_label} already"
        if request.options.strict:
            finding = Finding(
                rule="vm.already_there",
                code="VM_ALREADY_THERE",
                message=f"{request.vm_name} ({request.vm_uuid}) runs on {host.name_label} ({host.uuid}) already",
                remedy="leave out --strict to count this as done",
            )
            return self._record_refused(request, place, (finding,))
        if keep:
            run = self._database.runs.record_settled(request, kind=runs.KIND, state=RunState.SUCCESS, summary=place)
        else:
            run = _make_unrecorded(request, place)
        return Outcome(run=run, vm_state=place, already_there=True)

    def _go_on(self, run: Run, steering: Steering) -> Way[Outcome]:
        """Return the outcome of a run that exists, wait for its living owner, or take it over.

        Whatever is done is done to the newest try of the request.
        """
        passed_on: tuple[CancelWish, str] | None = None
        patience = time.monotonic() + self._waits.lease_seconds
        while True:
            run = self._database.runs.get_newest(run.uuid)
            while not run.state.is_terminal and self.condition(run) == "running":
                yield Pause(self._waits.poll_seconds)
                if steering.stop.is_set():
                    return self._recall(run, "timeout")
                wish = steering.wish
                if wish is not None and (wish, run.uuid) != passed_on:  # the owner is another: it has to be asked
                    passed_on = (wish, run.uuid)
                    self._database.control.append(run.uuid, CANCEL, {"by": wish.by, "reason": wish.reason})
                run = self._database.runs.get_newest(run.uuid)
                patience = time.monotonic() + self._waits.lease_seconds
            try:
                return (yield from self._resuming(run, steering))
            except LockedError:  # its owner is just letting go of it
                if time.monotonic() > patience:
                    raise
            yield Pause(self._waits.poll_seconds)

    def _resuming(self, run: Run, steering: Steering) -> Way[Outcome]:
        """Bring the newest try of the run's request to its end; another owner may just have begun the next one."""
        checks.find_rules_for(self._site)
        while True:
            run = self._database.runs.get_newest(run.uuid)
            opening = functools.partial(self._open, run.request.pool_profile)
            outcome = yield from runs.resume_run(self._drive(steering), opening, run)
            if self._database.runs.get_newest(outcome.run.uuid).uuid == outcome.run.uuid:
                return outcome

    def _drive(self, steering: Steering) -> Drive:
        return Drive(
            database=self._database,
            waits=self._waits,
            site=self._site,
            notify=self._notify,
            steering=steering,
            cancel_by=self._cancel_by,
        )

    def _open(self, profile_name: str) -> Connection:
        profile = self._choose(profile_name)
        return self._links.open(profile, lambda: self._password(profile.name))

    def _choose(self, name: str) -> PoolProfile:
        if not name and len(self._profiles) == 1:
            return next(iter(self._profiles.values()))
        if name in self._profiles:
            return self._profiles[name]
        what = f"no pool profile is called {name!r}" if name else "several pools are configured"
        raise UsageError(what, candidates=sorted(self._profiles), advice="name one with --pool")


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
