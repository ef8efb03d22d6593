"""The pool's task records: find, await, forget."""

from __future__ import annotations

from lmflow.models import TaskView
from lmflow.xapi.connection import Connection


def find_task(conn: Connection, *, task_uuid: str = "", attempt_id: str = "") -> TaskView | None:
    """Return the task of that UUID, else of that attempt, else None."""
    raise NotImplementedError


def list_pending_migrations(conn: Connection, *, vm_uuid: str) -> tuple[TaskView, ...]:
    """Return pending migrations that may be of this VM."""
    raise NotImplementedError


def wait_for_change(conn: Connection, *, task_uuid: str, vm_uuid: str, timeout_seconds: float) -> None:
    """Block until the task or the VM changed, or the time is over."""
    raise NotImplementedError


def destroy_task(conn: Connection, task_uuid: str) -> bool:
    """Destroy a finished task record; True when it is gone."""
    raise NotImplementedError
