"""Task records and the handles by which operations steer them."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import EPOCH, NULL
from lmflow.simulator.failures import TaskCancelled

KEPT_SECONDS = 3900.0
"""How long a finished record stays. Source: xapi_globs.ml, completed_task_timeout."""
PENDING_SECONDS = 86_400.0
"""After that a record goes whose progress was the same at two collections. Source: db_gc_util.ml."""
KEPT_COUNT = 200
RUNNING = "pending"
_UNFINISHED = frozenset({RUNNING, "cancelling"})


class TaskHandle:
    """A task as its operation sees it.

    ``cancelled`` is set by ``task.cancel`` while the task may be cancelled. ``lost`` is True once the record
    went with the coordinator's toolstack; setters do nothing then, and whatever goes on goes on unseen.
    """

    def __init__(self, store: Store, ref: str, uuid: str) -> None:
        self.ref = ref
        self.uuid = uuid
        self.cancelled = threading.Event()
        self.lost = False
        self.cancellable = True
        self.stuck_at: float | None = None
        self.vanishes_at: float | None = None
        self._frozen = False
        self._store = store

    def _update(self, **fields: object) -> None:
        with self._store.lock:
            if not self.lost and not self._frozen and self._store.exists("task", self.ref):
                self._store.update("task", self.ref, **fields)

    def set_progress(self, progress: float) -> None:
        """Show a progress between 0 and 1; it may go down."""
        if not self.meets_fault(progress):
            self._update(progress=float(progress))

    def meets_fault(self, progress: float) -> bool:
        """Let the record vanish, or stay as it is for ever, if a fault waits for this progress; True if it did."""
        with self._store.lock:
            if self.vanishes_at is not None and progress >= self.vanishes_at:
                if not self.lost and self._store.exists("task", self.ref):
                    self._store.destroy("task", self.ref)
                return True
            if self.stuck_at is not None and progress >= self.stuck_at:
                self._update(progress=self.stuck_at)
                self._frozen = True
            return self._frozen

    def set_resident_on(self, host_ref: str) -> None:
        """Show the host that executes the task."""
        self._update(resident_on=host_ref)

    def set_cancellable(self, cancellable: bool) -> None:
        """Let ``task.cancel`` have an effect, or none; the record shows it at once."""
        with self._store.lock:
            self.cancellable = cancellable
            self._update(allowed_operations=["cancel"] if cancellable else [])

    def add_to_other_config(self, key: str, value: str) -> None:
        """Put a key into the record's other_config."""
        with self._store.lock:
            if not self.lost and self._store.exists("task", self.ref):
                config = self._store.value("task", self.ref, "other_config")
                self._store.update("task", self.ref, other_config={**config, key: value})

    def raise_if_cancelled(self) -> None:
        """Raise TaskCancelled once somebody cancelled the task."""
        if self.cancelled.is_set():
            raise TaskCancelled

    def show_cancel(self) -> None:
        """Show that the task can be cancelled; an operation does so that looks for it, others never do."""
        with self._store.lock:
            alive = self.cancellable and self._store.exists("task", self.ref)
            if alive and self._store.value("task", self.ref, "status") == RUNNING:
                self._update(allowed_operations=["cancel"])


class Tasks:
    """All tasks of the coordinator; they live in its memory only."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._handles: dict[str, TaskHandle] = {}
        self._owners: dict[str, str] = {}
        self._probation: dict[str, float] = {}
        self.losses = 0
        """Counts how often every task was lost, for those that wait without one."""

    def create(
        self,
        name_label: str,
        *,
        resident_on: str,
        headers: Mapping[str, str] | None = None,
        description: str = "",
        subtask_of: str = NULL,
        session_ref: str = NULL,
    ) -> TaskHandle:
        """Create a pending record; ``headers`` (lower-case names without their prefix) go to ``http:`` keys.

        The session lives as long as what it began. Who carries out a subtask follows its handle, like any other's.
        """
        store = self._store
        with store.lock:
            ref = self._create_record(name_label, description, resident_on, headers or {}, subtask_of)
            handle = TaskHandle(store, ref, store.value("task", ref, "uuid"))
            self._handles[ref] = handle
            self._owners[ref] = session_ref
        return handle

    def create_by_client(self, name_label: str, description: str, resident_on: str, session_ref: str = NULL) -> str:
        """Create a record that no operation stands behind (task.create); returns its reference."""
        with self._store.lock:
            ref = self._create_record(name_label, description, resident_on, {}, NULL)
            self._owners[ref] = session_ref
            return ref

    def owner_of(self, ref: str) -> str:
        """Give the session that began a task; NULL when nobody knows."""
        return self._owners.get(ref, NULL)

    def busy_sessions(self) -> set[str]:
        """Give the sessions that began something which has not ended."""
        store = self._store
        with store.lock:
            return {
                session_ref
                for ref, session_ref in self._owners.items()
                if store.exists("task", ref) and store.value("task", ref, "status") in _UNFINISHED
            }

    def _create_record(
        self, name_label: str, description: str, resident_on: str, headers: Mapping[str, str], subtask_of: str
    ) -> str:
        fields = {
            "name_label": name_label,
            "name_description": description,
            "created": self._clock.stamp(),
            "finished": EPOCH,
            "status": RUNNING,
            "resident_on": resident_on,
            "type": "<none/>",
            "other_config": {f"http:{name.lower()}": value for name, value in headers.items()},
            "subtask_of": subtask_of,
        }
        return self._store.create("task", fields)

    def finish(self, handle: TaskHandle, status: str, *, result: str = "", error_info: list[str] | None = None) -> None:
        """End a record: success with a result (an XML fragment), failure with its error, or cancelled.

        Does nothing when the record was lost or has ended already.
        """
        with self._store.lock:
            if self._handles.pop(handle.ref, None) is None or handle.lost:
                return
            if handle.meets_fault(1.0):
                return
            handle.cancellable = False
            if self._store.exists("task", handle.ref):
                self._store.update(
                    "task",
                    handle.ref,
                    status=status,
                    progress=1.0,
                    result=result,
                    error_info=error_info or [],
                    finished=self._clock.stamp(),
                    allowed_operations=[],
                )

    def forget(self, handle: TaskHandle) -> None:
        """Remove the record of a synchronous call that has ended."""
        with self._store.lock:
            self._handles.pop(handle.ref, None)
            self._owners.pop(handle.ref, None)
            if not handle.lost and self._store.exists("task", handle.ref):
                self._store.destroy("task", handle.ref)

    def cancel(self, ref: str, mark: str) -> None:
        """Ask for the end of a task: at once; a task past its last cancel point ignores it. HANDLE_INVALID.

        ``mark`` names the call in the record, in the place of what was asked of the task before.
        """
        with self._store.lock:
            self._store.value("task", ref, "status")
            self._store.update("task", ref, current_operations={mark: "cancel"})
            handle = self._handles.get(ref)
            if handle is not None and handle.cancellable:
                handle.cancelled.set()

    def destroy(self, ref: str) -> None:
        """Remove a finished record; a pending one is only marked and its work goes on. HANDLE_INVALID."""
        with self._store.lock:
            if self._store.value("task", ref, "status") in _UNFINISHED:
                operations = self._store.value("task", ref, "current_operations")
                self._store.update("task", ref, current_operations={**operations, "task": "destroy"})
            else:
                self._store.destroy("task", ref)

    def collect(self) -> None:
        """Remove finished records that are too old, marked or too many, and pending ones that do not move."""
        with self._store.lock:
            every = self._store.refs("task")
            pending = [ref for ref in every if self._store.value("task", ref, "status") in _UNFINISHED]
            finished = [ref for ref in every if self._store.value("task", ref, "status") not in _UNFINISHED]
            self._collect_finished(finished, surplus=len(every) - KEPT_COUNT)
            self._collect_pending(pending)
            self._owners = {ref: owner for ref, owner in self._owners.items() if self._store.exists("task", ref)}

    def _collect_finished(self, refs: list[str], surplus: int) -> None:
        store = self._store
        limit = self._clock.stamp(self._clock.now() - KEPT_SECONDS)
        for index, ref in enumerate(sorted(refs, key=self._ended_at)):
            is_old = self._ended_at(ref) < limit
            if index < surplus or is_old or "destroy" in store.value("task", ref, "current_operations").values():
                store.destroy("task", ref)

    def _ended_at(self, ref: str) -> str:
        """Give when a record ended; when it began, if a client ended it by hand, which leaves no time."""
        ended = str(self._store.value("task", ref, "finished"))
        return ended if ended != EPOCH else str(self._store.value("task", ref, "created"))

    def _collect_pending(self, refs: list[str]) -> None:
        store = self._store
        limit = self._clock.stamp(self._clock.now() - PENDING_SECONDS)
        before = self._probation
        old = [ref for ref in refs if store.value("task", ref, "created") < limit]
        self._probation = {ref: store.value("task", ref, "progress") for ref in old}
        for ref, progress in self._probation.items():
            if before.get(ref) == progress:
                store.destroy("task", ref)

    def lose_all(self) -> None:
        """Forget every task, as the end of the coordinator's toolstack does; handles notice by ``lost``."""
        with self._store.lock:
            for handle in self._handles.values():
                handle.lost = True
            self._handles.clear()
            self._owners.clear()
            for ref in self._store.refs("task"):
                self._store.destroy("task", ref)
            self._store.forget_deletions("task")
            self.losses += 1
            self._store.changed.notify_all()
