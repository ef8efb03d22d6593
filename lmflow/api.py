"""The door for embedding: migrate, resume, look. Configuration comes as values; there is no global state."""

from __future__ import annotations

import getpass
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from lmflow import visualize
from lmflow.db.database import Database, RequestExists
from lmflow.exceptions import LmflowError, LockedError, RefusedError, UnreachableError, UsageError
from lmflow.flows.move import make_move_flow
from lmflow.flows.settle import make_settle_flow
from lmflow.models import (
    VM,
    Event,
    Finding,
    Host,
    MoveRequest,
    Notice,
    Outcome,
    PoolProfile,
    Run,
    RunState,
    StatusReport,
    Waits,
    WhyReport,
)
from lmflow.runner import ending, reports, runs
from lmflow.runner.names import find_matches, get_match
from lmflow.tasks.context import ignore_notice
from lmflow.xapi import reads
from lmflow.xapi.connection import Connection

LOG = logging.getLogger(__name__)

_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


class Client:
    """lmflow in one process. Context manager; may be used from several threads.

    ``password`` gets the name of a profile and returns the password; it is asked at each login and never kept.
    ``notify`` is told what goes on while a run goes on, from the threads that do it.
    """

    def __init__(
        self,
        *,
        database_url: str,
        profiles: Mapping[str, PoolProfile],
        password: Callable[[str], str],
        waits: Waits | None = None,
        notify: Callable[[Notice], None] | None = None,
    ) -> None:
        self._waits = waits or Waits()
        self._database = Database.open(database_url, outage_seconds=self._waits.outage_seconds)
        self._profiles = dict(profiles)
        self._password = password
        self._notify = _make_harmless(notify) if notify else ignore_notice

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def migrate(
        self,
        vm: str,
        destination: str,
        *,
        pool: str = "",
        request_id: str = "",
        reason: str = "",
        strict: bool = False,
    ) -> Outcome:
        """Migrate the VM to the destination host of its pool and return how it ended. Blocks.

        ``vm`` and ``destination`` are names, UUIDs or unique beginnings. A VM that runs there already is a success
        without a call, refused with ``strict``. The same ``request_id`` returns the first run's outcome, or goes on
        with it. UsageError for names, RefusedError, LockedError when another run holds the VM, UnreachableError.
        """
        first = self._database.runs.find_by_request_id(request_id) if request_id else None
        if first is not None:
            _check_same(first, vm, destination, pool)
            return self._go_on(first)
        profile = self._choose(pool)
        with self._open(profile.name) as connection:
            request, found = self._resolve(
                connection, vm, destination, request_id=request_id or str(uuid.uuid4()), reason=reason
            )
            there = found.power_state == "Running" and found.resident_on_uuid == request.destination_uuid
            try:
                if there:
                    return self._end_before(request, strict=strict, keep=bool(request_id))
                return runs.start_run(self._database, connection, request, waits=self._waits, notify=self._notify)
            except RequestExists as exists:
                first = exists.run
        _check_same(first, request.vm_uuid, request.destination_uuid, profile.name)
        return self._go_on(first)

    def resume(self, run: str = "") -> tuple[Outcome, ...]:
        """Take over the run, or every open run whose owner is gone, and bring it to its end. Blocks.

        LockedError when the one run that was named is held by a living owner.
        """
        if run:
            return (self._resume(self.run(run)),)
        outcomes: list[Outcome] = []
        errors: list[LmflowError] = []
        for found in self._database.runs.list(active_only=True):
            if reports.find_condition(self._database, found) == "running":
                continue
            try:
                outcomes.append(self._resume(found))
            except LmflowError as error:  # one pool that cannot be reached is no reason to leave the others' runs
                errors.append(error)
                text = f"run {found.uuid[:8]} of {found.request.vm_name}: {error.message}"
                self._notify(Notice(kind="message", text=text, run_uuid=found.uuid))
            if outcomes and outcomes[-1].reason == "detached":
                break
        if errors and not outcomes:
            raise errors[0]
        return tuple(outcomes)

    def repair(self, run: str) -> Outcome:
        """Finish what the reverts of a dirty run could not, by the same rules; other runs are only reported."""
        found = self.run(run)
        if not found.state.is_terminal:
            raise UsageError(f"run {found.uuid[:8]} has not ended", advice=f"lmflow resume {found.uuid[:8]}")
        return runs.repair_run(
            self._database,
            lambda: self._open(found.request.pool_profile),
            found,
            waits=self._waits,
            notify=self._notify,
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

    def runs(self, *, active_only: bool = False, limit: int = 100) -> tuple[Run, ...]:
        """Return the latest runs, newest first."""
        return self._database.runs.list(active_only=active_only, limit=limit)

    def run(self, text: str) -> Run:
        """Return the run of that UUID, unique beginning of one, or request id; UsageError with candidates."""
        by_request = self._database.runs.find_by_request_id(text)
        if by_request is not None:
            return by_request
        found = self._database.runs.find_by_prefix(text)
        if len(found) == 1:
            return found[0]
        names = [f"{r.uuid}  {r.request.vm_name}  {r.state}" for r in found or self.runs(limit=10)]
        what = f"{len(found)} runs begin with" if found else "no run is called"
        raise UsageError(f"{what} {text!r}", candidates=names, advice="lmflow run list --all")

    def outcome(self, run: str) -> Outcome:
        """Return the outcome of a run from its records."""
        found = self.run(run)
        return ending.recall_outcome(found, self.events(found.uuid))

    def events(self, run_uuid: str) -> tuple[Event, ...]:
        """Return what happened to the run, oldest first."""
        return self._database.events.list(run_uuid)

    def picture(self, run: str) -> visualize.Picture:
        """Return the picture of a run: its flows with states, durations and progress."""
        found = self.run(run)
        request = found.request.to_json()
        return visualize.make_run_picture(
            (make_move_flow(request), make_settle_flow(request)),
            found,
            atoms=self._database.atoms(found, "move") + self._database.atoms(found, "settle"),
            events=self.events(found.uuid),
            attempts=self._database.attempts.list(found.uuid),
            interrupted=reports.find_condition(self._database, found) == "interrupted",
        )

    def _go_on(self, run: Run) -> Outcome:
        """Return the outcome of a run that exists, wait for its living owner, or take it over."""
        patience = time.monotonic() + self._waits.lease_seconds
        while True:
            while not run.state.is_terminal and reports.find_condition(self._database, run) == "running":
                time.sleep(self._waits.poll_seconds)
                run = self._database.runs.get(run.uuid)
                patience = time.monotonic() + self._waits.lease_seconds
            try:
                return self._resume(run)
            except LockedError:  # its owner is just letting go of it
                if time.monotonic() > patience:
                    raise
            time.sleep(self._waits.poll_seconds)
            run = self._database.runs.get(run.uuid)

    def _resume(self, run: Run) -> Outcome:
        return runs.resume_run(
            self._database,
            lambda: self._open(run.request.pool_profile),
            run,
            waits=self._waits,
            notify=self._notify,
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

    def _resolve(
        self, connection: Connection, vm: str, destination: str, *, request_id: str, reason: str
    ) -> tuple[MoveRequest, VM]:
        found = _find_by_uuid(connection, vm) or get_match(vm, reads.list_vms(connection), what="VM")
        hosts = reads.list_hosts(connection)
        if not find_matches(destination, hosts):
            self._refuse_foreign(connection, destination, found)
        host = get_match(destination, hosts, what="host")
        names = {h.uuid: h.name_label for h in hosts}
        source_uuid = found.resident_on_uuid or ""
        request = MoveRequest(
            request_id=request_id,
            pool_profile=connection.profile.name,
            pool_uuid=connection.pool_uuid,
            vm_uuid=found.uuid,
            vm_name=found.name_label,
            source_uuid=source_uuid,
            source_name=names.get(source_uuid, ""),
            destination_uuid=host.uuid,
            destination_name=host.name_label,
            reason=reason,
            requested_by=getpass.getuser(),
        )
        return request, found

    def _refuse_foreign(self, connection: Connection, destination: str, vm: VM) -> None:
        """Raise RefusedError when another configured pool has a host of that name; return when none has."""
        for name in sorted(self._profiles.keys() - {connection.profile.name}):
            try:
                with self._open(name) as other:
                    found: tuple[Host, ...] = find_matches(destination, reads.list_hosts(other))
            except LmflowError as error:
                self._notify(Notice(kind="message", text=f"pool {name} could not be asked: {error.message}"))
                continue
            if found:
                host = found[0].name_label
                message = f"{host} is in pool {name}, not in the same pool as {vm.name_label}"
                finding = Finding(
                    rule="pool.membership", code="HOST_NOT_IN_POOL", message=message, remedy="name a host of its pool"
                )
                raise RefusedError(
                    f"{vm.name_label} -> {host}: {message}",
                    findings=(finding,),
                    state_now=f"{vm.name_label} is {vm.power_state}; nothing was changed",
                )

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


def _check_same(run: Run, vm: str, destination: str, pool: str) -> None:
    """Raise UsageError when a request id that has a run is used for another request: it names the first for ever."""
    request = run.request
    same = (
        _can_mean(vm, request.vm_uuid, request.vm_name)
        and _can_mean(destination, request.destination_uuid, request.destination_name)
        and pool in ("", request.pool_profile)
    )
    if not same:
        raise UsageError(
            f"request id {request.request_id!r} names another request: {request.vm_name} to"
            f" {request.destination_name} (run {run.uuid[:8]}, {run.state})",
            advice="give this one a request id of its own",
        )


def _can_mean(text: str, uuid_: str, name: str) -> bool:
    return uuid_.startswith(text) or name.startswith(text)


def _make_harmless(notify: Callable[[Notice], None]) -> Callable[[Notice], None]:
    """Let nothing that a watcher does wrong befall the migration that it watches."""

    def tell(notice: Notice) -> None:
        try:
            notify(notice)
        except Exception:
            LOG.exception("a watcher failed on %r", notice.text)

    return tell


def _find_by_uuid(connection: Connection, text: str) -> VM | None:
    return reads.read_vm(connection, text) if _UUID.fullmatch(text) else None


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
