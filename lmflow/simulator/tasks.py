"""Task records and the handles by which operations steer them."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from lmflow.simulator.clock import Clock
from lmflow.simulator.failures import ApiFailure, TaskCancelled
from lmflow.simulator.store import Store
from lmflow.simulator.values import EPOCH, NULL

CANCEL_SHOWN_AFTER_SECONDS = 0.2
KEPT_SECONDS = 3900.0
"""How long a finished record stays. Source: xapi_globs.ml, completed_task_timeout."""
KEPT_COUNT = 200
RUNNING = "pending"


class TaskHandle:
    """A task as its operation sees it.

    ``cancelled`` is set by ``task.cancel`` while the task may be cancelled. ``lost`` is True once the record
    went with the coordinator's toolstack; setters do nothing then, and whatever goes on goes on unseen.
    """

    def __init__(self, store: Store, clock: Clock, ref: str, uuid: str) -> None:
        self.ref = ref
        self.uuid = uuid
        self.cancelled = threading.Event()
        self.lost = False
        self.cancellable = True
        self._store = store
        self._clock = clock

    def _update(self, **fields: object) -> None:
        with self._store.lock:
            if not self.lost and self._store.exists("task", self.ref):
                self._store.update("task", self.ref, **fields)

    def set_progress(self, progress: float) -> None:
        """Show a progress between 0 and 1; it may go down."""
        self._update(progress=float(progress))

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
        """Show that the task can be cancelled, as the record does some 0.2 s after its creation."""
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
        self._timers: dict[str, threading.Timer] = {}

    def create(
        self,
        name_label: str,
        *,
        resident_on: str,
        headers: Mapping[str, str] | None = None,
        description: str = "",
        subtask_of: str = NULL,
    ) -> TaskHandle:
        """Create a pending record; ``headers`` (lower-case names without their prefix) go to ``http:`` keys."""
        store = self._store
        with store.lock:
            self.collect()
            ref = self._create_record(name_label, description, resident_on, headers or {}, subtask_of)
            handle = TaskHandle(store, self._clock, ref, store.value("task", ref, "uuid"))
            self._handles[ref] = handle
            timer = threading.Timer(self._clock.real(CANCEL_SHOWN_AFTER_SECONDS), handle.show_cancel)
            timer.daemon = True
            self._timers[ref] = timer
        timer.start()
        return handle

    def create_by_client(self, name_label: str, description: str, resident_on: str) -> str:
        """Create a record that no operation stands behind (task.create); returns its reference."""
        return self._create_record(name_label, description, resident_on, {}, NULL)

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

    def find_handle(self, ref: str) -> TaskHandle | None:
        """Find the handle of a task that still runs."""
        return self._handles.get(ref)

    def finish(self, handle: TaskHandle, status: str, *, result: str = "", error_info: list[str] | None = None) -> None:
        """End a record: success with a result (an XML fragment), failure with its error, or cancelled.

        Does nothing when the record was lost or has ended already.
        """
        with self._store.lock:
            if self._handles.pop(handle.ref, None) is None or handle.lost:
                return
            self._cancel_timer(handle.ref)
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

    def fail(self, ref: str, failure: ApiFailure) -> None:
        """End a running task from outside, as a toolstack does that lost contact; its operation may go on unseen."""
        handle = self._handles.get(ref)
        if handle is not None:
            self.finish(handle, "failure", error_info=failure.description)
            handle.lost = True

    def forget(self, handle: TaskHandle) -> None:
        """Remove the record of a synchronous call that has ended."""
        with self._store.lock:
            self._handles.pop(handle.ref, None)
            self._cancel_timer(handle.ref)
            if not handle.lost and self._store.exists("task", handle.ref):
                self._store.destroy("task", handle.ref)

    def _cancel_timer(self, ref: str) -> None:
        timer = self._timers.pop(ref, None)
        if timer is not None:
            timer.cancel()

    def cancel(self, ref: str) -> None:
        """Ask for the end of a task: '' at once; a task past its last cancel point ignores it. HANDLE_INVALID."""
        with self._store.lock:
            operations = self._store.value("task", ref, "current_operations")
            mark = f"DummyRef:|{self._store.make_uuid()}|task.cancel"
            self._store.update("task", ref, current_operations={**operations, mark: "cancel"})
            handle = self._handles.get(ref)
            if handle is not None and handle.cancellable:
                handle.cancelled.set()

    def destroy(self, ref: str) -> None:
        """Remove a finished record; a pending one is only marked and its work goes on. HANDLE_INVALID."""
        with self._store.lock:
            if self._store.value("task", ref, "status") in {"pending", "cancelling"}:
                operations = self._store.value("task", ref, "current_operations")
                self._store.update("task", ref, current_operations={**operations, "task": "destroy"})
            else:
                self._store.destroy("task", ref)

    def collect(self) -> None:
        """Remove finished records that are too old or too many."""
        store = self._store
        with store.lock:
            finished = [ref for ref in store.refs("task") if store.value("task", ref, "status") not in {"pending"}]
            limit = self._clock.stamp(self._clock.now() - KEPT_SECONDS)
            surplus = len(store.refs("task")) - KEPT_COUNT
            for index, ref in enumerate(finished):
                ended = store.value("task", ref, "finished")
                if index < surplus or (EPOCH < ended < limit):
                    store.destroy("task", ref)

    def lose_all(self) -> None:
        """Forget every task, as the end of the coordinator's toolstack does; handles notice by ``lost``."""
        with self._store.lock:
            for ref, handle in list(self._handles.items()):
                handle.lost = True
                self._cancel_timer(ref)
            self._handles.clear()
            for ref in self._store.refs("task"):
                self._store.destroy("task", ref)
            self._store.forget_deletions("task")
