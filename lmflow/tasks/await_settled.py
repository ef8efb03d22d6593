"""After the move: what is still to be seen to on the destination's side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.notes import warn
from lmflow.tasks.submit_pool_migrate import DEVICES
from lmflow.xapi.attendance import Attendance, read_attendance

_MOVING: Final = ("pool_migrate", "migrate_send")


class AwaitSettled(BaseTask):
    """Wait until the pool shows domain, devices and no operation of the VM any more, and for its guest if wished.

    Running it twice waits twice, and warns of the same once. It changes nothing and has no revert: the VM is there, and
    stays. What does not come in time (ghost operations, interfaces that stay detached are known in the field) is
    recorded as a warning; it neither holds up the run nor is it repaired.
    """

    NAME = "await_settled"
    AFTER_SUBMIT = True
    DURABLE = False
    REQUIRES = ("view",)
    PROVIDES = "traces"

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return what was warned of, normally nothing."""
        if inputs["view"]["repair"]:
            return {"warnings": []}  # XAPI's view of this VM is proved wrong, and reported with its repair
        before = _recall_devices(context)
        guest_seconds = context.request.options.guest_seconds
        with context.keeping(self.NAME, lambda: _Settling(context.clock())) as waiting:
            if waiting.missing is None:
                seconds = context.waits.settle_seconds
                waiting.missing = _wait(context, waiting, seconds, lambda seen: _find_missing(context, seen, before))
                waiting.began = context.clock()
            texts = [*waiting.missing]
            if guest_seconds:
                texts += _wait(context, waiting, guest_seconds, lambda seen: _find_silence(context, seen))
        for text in texts:
            warn(context, self.NAME, text)
        return {"warnings": texts}


@dataclasses.dataclass(slots=True)
class _Settling:
    """What the two waits remember: when the present one began, and how the first one ended."""

    began: float
    missing: list[str] | None = None


def _wait(context: Context, waiting: _Settling, seconds: float, find: Callable[[Attendance], list[str]]) -> list[str]:
    """Look until nothing is missing or the time is over; return what is missing then.

    A VM that is off, on another host or migrated by somebody else by now is not waited for: where it went was said
    before, and what is missing there is not of our move.
    """
    request = context.request
    ours = frozenset(attempt.uuid for attempt in context.database.attempts.list(context.run_uuid))
    while True:
        seen = read_attendance(context.connection, request.vm_uuid, guest=bool(request.options.guest_seconds))
        if seen is None or seen.power_state != "Running" or seen.resident_on_uuid != request.destination_uuid:
            return []
        if any(each.name in _MOVING and each.pending and each.attempt_id not in ours for each in seen.operations):
            return []
        missing = find(seen)
        if not missing or context.clock() - waiting.began >= seconds:
            return missing
        # No event tells of a device or of the guest's agent: they are objects of their own.
        context.wait(context.waits.poll_seconds)


def _recall_devices(context: Context) -> frozenset[str] | None:
    """Return the devices that were attached at the last submit; None for a run of a time when that was not kept."""
    kept = context.database.events.list(context.run_uuid, kind=DEVICES)
    return frozenset(kept[-1].data["attached"]) if kept else None


def _find_missing(context: Context, seen: Attendance, before: frozenset[str] | None) -> list[str]:
    name, found = context.request.vm_name, []
    if seen.domid < 0:
        found.append(f"{name} is shown Running without a domain")
    if any(each.name == "pool_migrate" for each in seen.operations):
        found.append(f"{name} still shows the operation pool_migrate, though its migration is over")
    wanted = seen.devices.keys() if before is None else before & seen.devices.keys()
    found += [f"{name}: {seen.devices[uuid]} ({uuid}) is not attached" for uuid in sorted(wanted - seen.attached)]
    return found


def _find_silence(context: Context, seen: Attendance) -> list[str]:
    if seen.guest_live:
        return []
    seconds = context.request.options.guest_seconds
    return [f"the guest's agent of {context.request.vm_name} has not reported within {seconds:g} s"]
