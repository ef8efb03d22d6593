"""What is seen of a migration under way: tasks and witnesses."""

from __future__ import annotations

import dataclasses

from lmflow.models.base import Model
from lmflow.models.pool import XapiError


@dataclasses.dataclass(frozen=True, slots=True)
class TaskView(Model):
    """A XAPI task record. ``status`` is pending, success, failure or cancelled; ``progress`` is not monotone.

    ``ref_digits`` are the first twelve hex digits of its reference, by which the witness names it.
    """

    uuid: str
    name_label: str
    status: str
    progress: float
    cancellable: bool
    error: XapiError | None = None
    attempt_id: str | None = None
    ref_digits: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class StartedTask(Model):
    """What a submit returned: the task's UUID ('' if it could not be read) and 12 hex digits of its reference."""

    task_uuid: str
    ref_digits: str


@dataclasses.dataclass(frozen=True, slots=True)
class XenopsTask(Model):
    """An entry of a host's own ``Task.list``. ``state`` is Pending, Completed or Failed."""

    label: str
    ref_digits: str
    state: str
    progress: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class WitnessView(Model):
    """What one host's xenopsd said. ``power_state`` is VM.stat's, None when it does not know the VM.

    ``incoming`` is true while the temporary VM of an arriving migration exists there. When ``answered`` is
    false, ``reason`` says why in words without any secret and the other fields mean nothing.
    """

    host_uuid: str
    answered: bool
    power_state: str | None = None
    incoming: bool = False
    tasks: tuple[XenopsTask, ...] = ()
    reason: str = ""
