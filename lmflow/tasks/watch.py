"""Looking at a migration until there is a verdict on it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from lmflow import verdict
from lmflow.db.database import Database
from lmflow.models import VM, Attempt, Host, MoveRequest, TaskView, Waits, WitnessView
from lmflow.verdict import Evidence, Looks, Verdict, VerdictKind
from lmflow.xapi import async_tasks, reads, witness
from lmflow.xapi.connection import Connection


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """One look: what was seen, what follows, and the records it was made from."""

    evidence: Evidence
    verdict: Verdict
    vm: VM | None
    hosts: tuple[Host, ...]
    attempt: Attempt | None


class Watch:
    """A series of looks at one run's migration. It reads pool, witnesses and database, and changes nothing.

    ``looks`` is what the series has shown so far; a new one goes on from there.
    """

    def __init__(
        self,
        connection: Connection,
        database: Database,
        *,
        run_uuid: str,
        request: MoveRequest,
        waits: Waits,
        clock: Callable[[], float] = time.monotonic,
        looks: Looks | None = None,
    ) -> None:
        self._connection = connection
        self._database = database
        self._run_uuid = run_uuid
        self._request = request
        self._waits = waits
        self._clock = clock
        self.looks = looks

    def look(self) -> Sight:
        """Recall the latest attempt and look at it."""
        return self.look_at(self.recall())

    def recall(self) -> Attempt | None:
        """Return the run's latest attempt, None before the first."""
        return self._database.attempts.latest(self._run_uuid)

    def look_at(self, attempt: Attempt | None) -> Sight:
        """Read task, VM and hosts, in this order, and the witnesses once the pool has settled; decide.

        The task is read before the VM: a VM read first could be from before the end that the task then shows.
        UnreachableError when the pool does not answer.
        """
        with self._connection.look():
            task = self._find_task(attempt)
            vm = reads.read_vm(self._connection, self._request.vm_uuid, guest=False)
            hosts = reads.read_hosts(self._connection)
        settled, overdue = self._settle(attempt, task, hosts)
        evidence = verdict.make_evidence(
            attempt,
            source_uuid=self._request.source_uuid,
            destination_uuid=self._request.destination_uuid,
            vm=vm,
            hosts=hosts,
            task=task,
            settled=settled,
            overdue=overdue,
            recent=attempt is None or self._is_recent(attempt),
        )
        result = verdict.decide(evidence)
        if result.kind is VerdictKind.ASK:
            evidence = dataclasses.replace(evidence, witness=self.ask(hosts), rivals=self._count_rivals(attempt))
            result = verdict.decide(evidence)
        return Sight(evidence=evidence, verdict=result, vm=vm, hosts=hosts, attempt=attempt)

    def _is_recent(self, attempt: Attempt) -> bool:
        """Tell by the clock that dated the attempt; our own machine's may be hours off, or be set in the meantime."""
        return abs(self._database.attempts.get_age_seconds(attempt)) < self._waits.redo_seconds

    def _find_task(self, attempt: Attempt | None) -> TaskView | None:
        if attempt is None or attempt.state == "ended":
            return None
        return async_tasks.find_task(self._connection, task_uuid=attempt.task_uuid, attempt_id=attempt.uuid)

    def _settle(self, attempt: Attempt | None, task: TaskView | None, hosts: tuple[Host, ...]) -> tuple[bool, bool]:
        if attempt is None or (task is not None and task.status == "pending"):
            self.looks = None
            return False, False
        now = self._clock()
        ends = (self._request.source_uuid, self._request.destination_uuid)
        self.looks = verdict.look(self.looks, hosts, attempt=attempt, now=now, ends=ends)
        settled = verdict.is_settled(self.looks, now=now, waits=self._waits)
        return settled, verdict.is_overdue(self.looks, now=now, waits=self._waits)

    def ask(self, hosts: tuple[Host, ...]) -> tuple[WitnessView, ...]:
        """Ask both hosts, the destination first: a copy that ends between the questions is then seen as under way."""
        if not self._connection.profile.use_witness:
            return ()
        known = {h.uuid: h for h in hosts}
        asked = [known[u] for u in (self._request.destination_uuid, self._request.source_uuid) if u in known]
        return tuple(witness.ask(self._connection, host, self._request.vm_uuid) for host in asked)

    def _count_rivals(self, attempt: Attempt | None) -> int:
        if attempt is None or attempt.state != "intended":
            return 0
        pending = async_tasks.list_pending_migrations(self._connection, vm_uuid=self._request.vm_uuid)
        return len([t for t in pending if t.attempt_id in (None, attempt.uuid)])
