"""Tries to submit: each is committed before the call that it names."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from lmflow.db import records, schema
from lmflow.db.clock import Now
from lmflow.db.fence import Fence, lock_all
from lmflow.db.transactions import Transactor
from lmflow.models import Attempt

_OUTCOME_LENGTH = 255
_RUNS_OF = sa.select(schema.attempts.c.uuid, schema.attempts.c.run_uuid).where(
    schema.attempts.c.uuid.in_(sa.bindparam("uuids", expanding=True))
)
_PROGRESS = sa.update(schema.attempts).where(schema.attempts.c.uuid == sa.bindparam("attempt"))


class AttemptStore:
    """Attempts of all runs; an attempt goes intended, accepted, ended, and may skip accepted."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    def begin(
        self,
        fence: Fence,
        *,
        attempt_uuid: str,
        session_uuid: str,
        starts: Mapping[str, str],
        disabled: Sequence[str],
        domid: int = -1,
    ) -> Attempt:
        """Commit the intent to submit; beginning the same attempt again returns it as it is."""
        records.check_session_uuid(session_uuid)
        table = schema.attempts

        def work(conn: sa.Connection) -> Attempt:
            found = conn.execute(sa.select(table).where(table.c.uuid == attempt_uuid)).first()
            if found is not None:
                return records.make_attempt(found)
            last = sa.select(sa.func.coalesce(sa.func.max(table.c.number), 0)).where(table.c.run_uuid == fence.run_uuid)
            conn.execute(
                sa.insert(table).values(
                    uuid=attempt_uuid,
                    run_uuid=fence.run_uuid,
                    number=int(conn.execute(last).scalar_one()) + 1,
                    state="intended",
                    created_at=Now(),
                    session_uuid=session_uuid,
                    starts=records.to_text(dict(starts)),
                    disabled=records.to_text(builtins.list(disabled)),
                    domid=domid,
                    task_uuid="",
                    ref_digits="",
                    progress=0.0,
                    outcome="",
                )
            )
            return records.make_attempt(conn.execute(sa.select(table).where(table.c.uuid == attempt_uuid)).one())

        return self._transactor.write(work, fence)

    def accepted(self, fence: Fence, attempt_uuid: str, task_uuid: str, ref_digits: str) -> None:
        """Store the pool's task; ``ref_digits`` are at most 12 hex digits, never the whole reference."""
        if len(ref_digits) > 12:
            raise ValueError("ref_digits are the first 12 hex digits of a task's reference, and nothing longer")
        self._update(fence, attempt_uuid, state="accepted", task_uuid=task_uuid, ref_digits=ref_digits)

    def progress(self, fence: Fence, attempt_uuid: str, value: float) -> None:
        """Store the progress last seen, 0..1."""
        self._update(fence, attempt_uuid, progress=float(value))

    def progress_many(self, values: Mapping[str, float], fences: Sequence[Fence]) -> None:
        """Store the progress last seen of many attempts, by their UUIDs, in one transaction.

        Those whose run is not behind one of these fences any more are left out. UnreachableError at once.
        """
        ours = {fence.run_uuid: fence.token for fence in fences}

        def work(conn: sa.Connection) -> None:
            runs = {row.uuid: row.run_uuid for row in conn.execute(_RUNS_OF, {"uuids": list(values)})}
            found = lock_all(conn, sorted(set(runs.values()) & set(ours)))
            wanted = [
                {"attempt": uuid, "progress": float(values[uuid])}
                for uuid, run_uuid in runs.items()
                if run_uuid in found and found[run_uuid] == ours[run_uuid]
            ]
            if wanted:
                conn.execute(_PROGRESS, wanted)

        if values:
            self._transactor.write(work, patient=False, alone=True)

    def ended(self, fence: Fence, attempt_uuid: str, outcome: str) -> None:
        """Store how the attempt ended."""
        self._update(fence, attempt_uuid, state="ended", outcome=records.mask(outcome)[:_OUTCOME_LENGTH])

    def latest(self, run_uuid: str) -> Attempt | None:
        """Return the attempt with the highest number, or None when nothing was ever to be sent."""
        attempts = self.list(run_uuid)
        return attempts[-1] if attempts else None

    def get_age_seconds(self, attempt: Attempt) -> float:
        """Return how long ago the attempt was begun, by the database's clock; negative when that was set back."""
        return (
            self._transactor.read(lambda conn: float(conn.execute(sa.select(Now())).scalar_one())) - attempt.created_at
        )

    def list(self, run_uuid: str) -> tuple[Attempt, ...]:
        """Return all attempts of a run, the first one first."""
        table = schema.attempts
        query = sa.select(table).where(table.c.run_uuid == run_uuid).order_by(table.c.number)
        return self._transactor.read(lambda conn: tuple(records.make_attempt(row) for row in conn.execute(query)))

    def _update(self, fence: Fence, attempt_uuid: str, **values: Any) -> None:
        table = schema.attempts
        statement = sa.update(table).where(table.c.uuid == attempt_uuid, table.c.run_uuid == fence.run_uuid)

        def work(conn: sa.Connection) -> None:
            if conn.execute(statement.values(**values)).rowcount != 1:
                raise LookupError(f"run {fence.run_uuid} has no attempt {attempt_uuid}")

        self._transactor.write(work, fence)
