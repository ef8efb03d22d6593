"""Rows to models and back, and the one way to append an event. Used by the stores only."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from lmflow.db import schema
from lmflow.db.clock import Now
from lmflow.exceptions import DamagedError
from lmflow.models import Attempt, Event, Lease, MoveRequest, Owner, Run, RunState

_REFERENCE = re.compile(r"OpaqueRef:[0-9A-Za-z][0-9A-Za-z-]{7,}")


def to_text(value: Any) -> str:
    """Return strict JSON without references; NaN and foreign types are refused with ValueError or TypeError."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return mask(text)


def mask(text: str) -> str:
    """Return the text with XAPI's references blotted out.

    XAPI repeats the session's reference in some errors, and whoever holds it is logged in. Other rooms keep it
    out of what they say; here is the last door before the disk.
    """
    return _REFERENCE.sub("OpaqueRef:(masked)", text)


def mask_all(value: Any) -> Any:
    """Return a JSON value with every text in it masked; what needs no masking is returned as it is."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask_all(k): mask_all(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask_all(v) for v in value]
    return value


def check_session_uuid(text: str) -> None:
    """Raise ValueError, without repeating it, for a reference where a session's UUID belongs."""
    if text.startswith("OpaqueRef:"):
        raise ValueError("a session is stored by its UUID; its reference is a secret")


@contextlib.contextmanager
def reading(run_uuid: str, what: str) -> Iterator[None]:
    """Turn what a row is that no lmflow has written into DamagedError."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DamagedError(run_uuid, f"{what}: {type(error).__name__}: {mask(str(error))}") from error


def make_run(row: sa.Row[Any]) -> Run:
    """Make a run of a row of ``lmflow_runs``. DamagedError."""
    with reading(row.uuid, "its row of lmflow_runs"):
        return Run(
            uuid=row.uuid,
            kind=row.kind,
            state=RunState(row.state),
            phase=row.phase,
            request=MoveRequest.from_json(json.loads(row.request)),
            logbook_uuid=row.logbook_uuid,
            move_uuid=row.move_uuid,
            settle_uuid=row.settle_uuid,
            created_at=row.created_at,
            updated_at=row.updated_at,
            summary=row.summary,
            parent_uuid=row.parent_uuid,
            priority=row.priority,
        )


def make_event(row: sa.Row[Any]) -> Event:
    """Make an event of a row of ``lmflow_events``. DamagedError."""
    with reading(row.run_uuid, f"its event {row.sequence}"):
        return Event(
            sequence=row.sequence,
            run_uuid=row.run_uuid,
            at=row.at,
            kind=row.kind,
            version=row.version,
            data=_load_object(row.data),
        )


def make_attempt(row: sa.Row[Any]) -> Attempt:
    """Make an attempt of a row of ``lmflow_attempts``. DamagedError."""
    with reading(row.run_uuid, f"its attempt {row.number}"):
        return Attempt(
            uuid=row.uuid,
            run_uuid=row.run_uuid,
            number=row.number,
            state=row.state,
            created_at=row.created_at,
            session_uuid=row.session_uuid,
            starts=_load_object(row.starts),
            disabled=tuple(json.loads(row.disabled)),
            domid=row.domid,
            task_uuid=row.task_uuid,
            ref_digits=row.ref_digits,
            progress=row.progress,
            outcome=row.outcome,
        )


def _load_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError(f"{type(value).__name__} where an object belongs")
    return value


def select_lease(run_uuid: str) -> sa.Select[Any]:
    """Return the statement for one lease, with ``seconds_left`` computed by the database."""
    left = (schema.leases.c.expires_at - Now()).label("seconds_left")
    return sa.select(schema.leases, left).where(schema.leases.c.run_uuid == run_uuid)


def make_lease(row: sa.Row[Any]) -> Lease:
    """Make a lease of a row of ``select_lease``."""
    return Lease(
        run_uuid=row.run_uuid,
        token=row.token,
        owner=Owner(machine=row.machine, boot_id=row.boot_id, pid=row.pid, started=row.started),
        session_uuid=row.session_uuid,
        expires_in_seconds=float(row.seconds_left),
        lease_seconds=float(row.lease_seconds),
    )


def lease_values(owner: Owner, lease_seconds: float) -> dict[str, Any]:
    """Return the columns that a new owner writes, all but the token and the previous session."""
    return {
        "machine": owner.machine,
        "boot_id": owner.boot_id,
        "pid": owner.pid,
        "started": owner.started,
        "lease_seconds": lease_seconds,
        "expires_at": Now() + lease_seconds,
    }


class EventAppender:
    """Appends one event, also when its transaction has to be repeated after a commit of unknown effect."""

    def __init__(self, run_uuid: str, kind: str, data: Mapping[str, Any], version: int = 1) -> None:
        self._run_uuid = run_uuid
        self._kind = kind
        self._text = to_text(dict(data))
        self._version = version
        self._sequence: int | None = None

    def append(self, conn: sa.Connection) -> None:
        """Insert the event behind the last one; the caller's fence keeps other writers of the run out."""
        table = schema.events
        if self._sequence is not None and self._is_there(conn):
            return
        last = sa.select(sa.func.coalesce(sa.func.max(table.c.sequence), 0)).where(table.c.run_uuid == self._run_uuid)
        self._sequence = int(conn.execute(last).scalar_one()) + 1
        conn.execute(
            sa.insert(table).values(
                run_uuid=self._run_uuid,
                sequence=self._sequence,
                at=Now(),
                kind=self._kind,
                version=self._version,
                data=self._text,
            )
        )

    def _is_there(self, conn: sa.Connection) -> bool:
        table = schema.events
        row = conn.execute(
            sa.select(table.c.kind, table.c.data).where(
                table.c.run_uuid == self._run_uuid, table.c.sequence == self._sequence
            )
        ).first()
        return row is not None and (row.kind, row.data) == (self._kind, self._text)
