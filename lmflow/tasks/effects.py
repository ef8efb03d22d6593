"""Effects on the pool that can be taken back: written down before they are sent, judged by proof, never by hope.

What is made, and whether by us, is asked of the pool each time. An effect that nothing shows to be ours is never taken
back; one that is ours is taken back only where the VM is proved not to be on the destination.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar

from lmflow.exceptions import LmflowError, SessionNotArmedError, UnreachableError, XapiFailureError
from lmflow.models import StartedTask, TaskView
from lmflow.tasks import changes
from lmflow.tasks.absence import NOT_PROVED, is_proved_absent
from lmflow.tasks.changes import Change
from lmflow.tasks.context import Context
from lmflow.xapi import storage

_SETTLED = ("done", "unproved")
_TAKEN_BACK = ("intended", "done", "undoing")


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """How people are told: what is done, what undoes it, what stays if that fails, what a person can do about it."""

    making: str
    unmaking: str = ""
    left: str = ""
    by_hand: str = ""


class Effect(abc.ABC):
    """One kind of effect: how it is sent, looked at, taken back and told. ``KIND`` is persisted and must not change."""

    KIND: ClassVar[str]

    @abc.abstractmethod
    def describe(self, context: Context, change: Change) -> Words:
        """Return the words for it, with the object by name and UUID; asks nobody."""

    @abc.abstractmethod
    def is_made(self, context: Context, change: Change) -> bool:
        """Look whether the pool is now as the effect would make it, whoever did it."""

    @abc.abstractmethod
    def make(self, context: Context, change: Change) -> StartedTask:
        """Send it, as a task with the mark ``change.attempt_id``."""

    def unmake(self, context: Context, change: Change) -> StartedTask:
        """Send what takes it back, as a task with the mark ``change.attempt_id``."""
        raise NotImplementedError(f"{self.KIND} goes forward only")

    def judge(self, context: Context, change: Change, task: TaskView | None) -> Change:
        """Return the change as its task, which has ended or is not to be found, and the pool prove it."""
        succeeded = task is not None and task.status == "success"
        made = self.watch_for(context, change) if task is None else self.is_made(context, change)
        return dataclasses.replace(change, step="done" if succeeded and made else "unproved" if made else "void")

    def watch_for(self, context: Context, change: Change) -> bool:
        """Watch for an effect that may still be at work, nobody knows where, as long as a pool takes to settle."""
        return watch(context, lambda: self.is_made(context, change))

    def watch_for_end(self, context: Context, change: Change) -> bool:
        """Watch for the end of an effect that may be taken back even now, as ``watch_for``."""
        return watch(context, lambda: not self.is_made(context, change))

    def find_objection(self, context: Context, change: Change) -> str:
        """Return why what is ours must not be taken back now, '' for no reason."""
        return ""

    def is_overtaken(self, context: Context, change: Change) -> bool:
        """Tell of an effect that is not there any more whether others have put something of theirs in its place."""
        return False

    def find_sr(self, change: Change) -> str:
        """Return the UUID of the SR of whose secrets a failure may speak, '' when that is not known."""
        return change.data.get("sr_uuid", "")

    def cover(self, context: Context, change: Change, task: TaskView | None) -> TaskView | None:
        """Return the task without anything in its failure that may be of the SR's ``device_config``."""
        if task is None or task.error is None:
            return task
        return dataclasses.replace(task, error=storage.mask_error(context.connection, self.find_sr(change), task.error))


def ensure_made(context: Context, effect: Effect, wanted: Change) -> Change | None:
    """Make it unless it is so already; return the word on it, None when it is not our doing.

    After an interruption the pool's task with our mark says whether it was done, and by us. Raises
    MigrationFailedError when it cannot be made.
    """
    change = changes.find_change(context, wanted.kind, wanted.object_uuid)
    if change is not None and change.step == "intended":
        change = _find_out(context, effect, change)
    if change is not None and change.step in _SETTLED:
        return change
    if effect.is_made(context, wanted):
        return None
    change = changes.begin(context, wanted, "intended")
    making = effect.describe(context, change).making
    context.say("message", making)
    intended = change
    task = _send(context, change, lambda: effect.make(context, intended), instead="void")
    change = _settle(context, effect, change, task)
    if not effect.is_made(context, change):
        raise changes.fail(effect.cover(context, change, task), f"{making} failed")
    return change


def find_out(context: Context, effects: Sequence[Effect]) -> None:
    """After an interruption: settle what was intended of these kinds by what the pool says of it."""
    known = {effect.KIND: effect for effect in effects}
    for change in changes.list_changes(context):
        if change.kind in known and change.step == "intended":
            _find_out(context, known[change.kind], change)


def take_back(context: Context, name: str, effects: Sequence[Effect]) -> None:
    """Take back everything of these kinds that is proved to be ours, the last first.

    What cannot be taken back stops nothing else; all of it is recorded at the end, as left by the step ``name``.
    Safe to repeat.
    """
    known = {effect.KIND: effect for effect in effects}
    made = [c for c in changes.list_changes(context) if c.kind in known]
    may_touch = any(c.step in _TAKEN_BACK for c in made) and is_proved_absent(context)
    left = []
    for change in reversed(made):
        effect, why = known[change.kind], ""
        try:
            if change.step == "unproved":
                why = _judge_unproved(context, effect, change)
            elif change.step in _TAKEN_BACK:
                why = _take_back_one(context, effect, change) if may_touch else NOT_PROVED
        except UnreachableError:
            raise  # it is waited for, and all of this is done again
        except LmflowError as error:
            why = error.message
        if why:
            left.append(f"{effect.describe(context, change).left}: {why}")
    for text in left:
        context.record("left", {"task": name, "text": text})


def _take_back_one(context: Context, effect: Effect, change: Change) -> str:
    """Return why it is left, '' when it is not."""
    if change.step == "intended":
        change = _find_out(context, effect, change)
    if change.step == "undoing":
        change = _judge_undoing(context, effect, change)
    if change.step == "unproved":
        return _judge_unproved(context, effect, change)
    return _ensure_unmade(context, effect, change) if change.step == "done" else ""


def watch(context: Context, is_so: Callable[[], bool]) -> bool:
    """Tell whether it comes to be so within the time that a pool takes to settle. Blocks."""
    began = context.clock()
    while not is_so():
        if context.clock() - began > context.waits.settle_seconds:
            return False
        context.pause(context.waits.poll_seconds)
    return True


def _find_out(context: Context, effect: Effect, change: Change) -> Change:
    """After an interruption: ask the pool whether what we intended was done, and by us."""
    changes.ensure_fenced(context, change)
    return _settle(context, effect, change, changes.wait_for_end(context, attempt_id=change.attempt_id))


def _settle(context: Context, effect: Effect, change: Change, task: TaskView | None) -> Change:
    return changes.note(context, effect.judge(context, change, task))


def _judge_unproved(context: Context, effect: Effect, change: Change) -> str:
    """Return why it is left, '' when somebody has taken it back meanwhile."""
    if effect.is_made(context, change):
        return f"nothing shows that it was our doing; {effect.describe(context, change).by_hand}"
    changes.note(context, change, "void")
    return ""


def _judge_undoing(context: Context, effect: Effect, change: Change) -> Change:
    """After an interruption: ask the pool whether what we began to take back is taken back.

    It was proved to be ours. With no task of ours, and behind the fence, taking it back never began: it still is.
    """
    changes.ensure_fenced(context, change)
    task = changes.wait_for_end(context, attempt_id=change.attempt_id)
    if task is not None and task.status == "success":
        return changes.note(context, change, "undone")
    unmade = effect.watch_for_end(context, change) if task is None else not effect.is_made(context, change)
    return changes.note(context, change, "undone" if unmade else "done")


def _ensure_unmade(context: Context, effect: Effect, change: Change) -> str:
    """Return why it may not be taken back, '' when it is."""
    if not effect.is_made(context, change):
        changes.note(context, change, "void" if effect.is_overtaken(context, change) else "undone")
        return ""
    objection = effect.find_objection(context, change)
    if objection:
        return objection
    unmaking = effect.describe(context, change).unmaking
    undoing = changes.begin(context, change, "undoing")
    task = _send(context, undoing, lambda: effect.unmake(context, undoing), instead="done")
    if effect.is_made(context, change):
        if task is not None:  # it failed for certain: ours, as before
            changes.note(context, change)
        raise changes.fail(effect.cover(context, change, task), f"{unmaking} failed")
    changes.note(context, undoing, "undone")
    return ""


def _send(context: Context, change: Change, start: Callable[[], StartedTask], *, instead: str) -> TaskView | None:
    """Send what was written down; where it surely was not, or was refused at the door, write ``instead``."""

    def begin() -> StartedTask:
        try:
            return start()
        except (XapiFailureError, UnreachableError, SessionNotArmedError):
            changes.note(context, change, instead)
            raise

    return changes.send(context, change.attempt_id, begin)
