"""What is recorded of runs: for those who only look, without an engine and without a pool."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from lmflow.db.database import Database, RunFilter, Selection
from lmflow.exceptions import UsageError
from lmflow.models import RunState, Waits
from lmflow.runner.conditions import find_condition

if TYPE_CHECKING:
    from lmflow.models import Description, Event, Outcome, PoolObject, Pruned, Run

_CANDIDATES = 10


class WantedRuns(TypedDict, total=False):
    """Which runs are wanted: those to which all of it applies.

    ``vm``: its name or UUID. ``pool``: the name of a profile. ``since`` and ``until``, which is left out itself, are
    moments of the creation in seconds since 1970, by the database's clock.
    """

    states: Collection[RunState]
    vm: str
    pool: str
    since: float | None
    until: float | None


class Records:
    """A database of runs. Context manager; may be used from several threads, and not across a fork."""

    def __init__(self, *, database_url: str, waits: Waits | None = None) -> None:
        self._waits = waits or Waits()
        self._database = Database.open(database_url, outage_seconds=self._waits.outage_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def runs(
        self, *, active_only: bool = False, limit: int | None = 100, **wanted: Unpack[WantedRuns]
    ) -> tuple[Run, ...]:
        """Return the latest runs, newest first; None for all of them. One that cannot be read is left out."""
        return self.find_runs(active_only=active_only, limit=limit, **wanted).runs

    def find_runs(
        self, *, active_only: bool = False, limit: int | None = 100, **wanted: Unpack[WantedRuns]
    ) -> Selection:
        """Return the latest runs, and of those that cannot be read what is wrong with them (``damaged``)."""
        states = wanted.get("states") or None
        if active_only:
            states = [state for state in RunState if not state.is_terminal and (states is None or state in states)]
        chosen = RunFilter(
            states=states,
            vm=wanted.get("vm", ""),
            pool_profile=wanted.get("pool", ""),
            since=wanted.get("since"),
            until=wanted.get("until"),
        )
        return self._database.runs.select(chosen, limit=limit)

    def prune(
        self,
        *,
        older_than_seconds: float,
        states: Collection[RunState] = (),
        keep: int = 0,
        forget_ids: bool = False,
        delete: bool = False,
    ) -> Pruned:
        """Delete what is known of requests that ended so long ago, or only say what that would be. Blocks.

        ``states``: of those whose last try ended in one of these; by default success, refused, failed. A run that is
        open, unknown or dirty is never deleted, nor any other try of its request, nor one of the ``keep`` newest
        requests that ended. Request ids go on to name what was deleted, and how it ended; with ``forget_ids`` they
        are free, also those of requests pruned earlier that ended so long ago: such a request is a new one.
        """
        from lmflow.db.pruning import PRUNABLE, Retention  # noqa: PLC0415 - not for those who only list
        from lmflow.runner.recall import make_remnant  # noqa: PLC0415 - as above

        wanted = tuple(states) or PRUNABLE
        never = sorted(state.value for state in set(wanted) - set(PRUNABLE))
        if never or older_than_seconds < 0 or keep < 0:
            raise UsageError(f"never pruned: {', '.join(never)}" if never else "a retention is not negative")
        until = self._database.read_clock() - older_than_seconds
        retention = Retention(until=until, states=wanted, keep=keep, forget=forget_ids)
        return self._database.past.prune(retention, delete=delete, recall=make_remnant)

    def run(self, text: str) -> Run:
        """Return the run of that UUID, unique beginning of one, or request id; or the open run of the VM of that name.

        A request for which several hosts were tried is the run of the latest try. A run whose records were pruned has a
        ``remnant`` instead of them. UsageError with candidates.
        """
        by_request = self.find_request(text)
        if by_request is not None:
            return by_request
        found = self._database.runs.find_by_prefix(text)
        if len(found) == 1:
            return found[0]
        moving = [r for r in self.runs(active_only=True, limit=None) if text in (r.request.vm_name, r.request.vm_uuid)]
        if len(moving) == 1 and not found:
            return moving[0]
        names = [f"{r.uuid}  {r.request.vm_name}  {r.state}" for r in found or self.runs(limit=_CANDIDATES)]
        what = f"{len(found)} runs begin with" if found else "no run is called"
        raise UsageError(f"{what} {text!r}", candidates=names, advice="lmflow run list --all")

    def find_request(self, request_id: str) -> Run | None:
        """Return the latest try of the request of exactly this id, also a pruned one; None when it was never made."""
        first = self._database.runs.find_by_request_id(request_id)
        return None if first is None else self._database.runs.get_newest(first.uuid)

    def condition(self, run: Run) -> str:
        """Return the run's state, or ``interrupted`` when it is running and its owner is gone."""
        return find_condition(self._database, run)

    def outcome(self, run: str) -> Outcome:
        """Return the outcome of a run from its records."""
        found = self.run(run)
        return self._recall(found)

    def events(self, run: str, *, after: int = 0) -> tuple[Event, ...]:
        """Return what happened to the run behind that sequence number, oldest first."""
        return self._database.events.list(self.run(run).uuid, after=after)

    def describe(self, run: str) -> Description:
        """Return everything that is recorded of a run; asks no pool."""
        from lmflow.models import Description  # noqa: PLC0415 - not for those who only list
        from lmflow.runner.recall import recall_outcome  # noqa: PLC0415 - as above

        found = self.run(run)
        events = self.events(found.uuid)
        return Description(
            run=found, condition=self.condition(found), outcome=recall_outcome(found, events), events=events
        )

    def objects(self, run: str) -> tuple[PoolObject, ...]:
        """Return everything that the run created or changed in its pool, with its fate; asks no pool.

        Of a request id it is what all tries of the request did, in their order.
        """
        from lmflow.runner.objects import recall_objects  # noqa: PLC0415 - not for those who only list

        of_request = self.find_request(run)
        tries = self._database.runs.list_tries(of_request.uuid) if of_request else (self.run(run),)
        events, attempts = self._database.events, self._database.attempts
        return tuple(
            each
            for found in tries
            for each in recall_objects(found, events.list(found.uuid), attempts.list(found.uuid))
        )

    def follow(self, run: str, *, after: int = 0) -> Iterator[Event]:
        """Yield the run's events, also those to come, until it has ended or nobody drives it any more. Blocks.

        Whoever breaks off goes on later behind the ``sequence`` of the last event seen.
        """
        run_uuid = self.run(run).uuid
        while True:
            over = self.condition(self._database.runs.get(run_uuid)) != "running"
            for event in self._database.events.list(run_uuid, after=after):
                after = event.sequence
                yield event
            if over:
                return
            time.sleep(self._waits.poll_seconds)

    def wait(self, run: str, *, timeout_seconds: float | None = None) -> Outcome:
        """Wait until the run has ended, or nobody drives it any more, and return how it stands. Blocks.

        It only reads: a run that was interrupted is not taken up (``reason`` is ``interrupted``). After the time-out
        ``reason`` is ``timeout``; the run goes on. A run that was followed by another try is waited for in that one.
        """
        run_uuid = self.run(run).uuid
        until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            found = self._database.runs.get_newest(run_uuid)
            condition = self.condition(found)
            if condition != "running":
                return self._recall(found, "interrupted" if condition == "interrupted" else "")
            left = self._waits.poll_seconds if until is None else until - time.monotonic()
            if left <= 0:
                return self._recall(found, "timeout")
            time.sleep(min(left, self._waits.poll_seconds))

    def _recall(self, run: Run, reason: str = "") -> Outcome:
        from lmflow.runner.recall import recall_outcome  # noqa: PLC0415 - not for those who only list

        return recall_outcome(run, self._database.events.list(run.uuid), reason=reason)
