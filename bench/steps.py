"""The job as a flow of lmflow: its base task, its wait, its context. No pool is needed for it."""

from __future__ import annotations

from typing import Any, ClassVar

from taskflow.flow import Flow
from taskflow.patterns import linear_flow

from bench.job import HELD_STEP, STEPS, WAIT_SECONDS, is_held
from lmflow.exceptions import FlowSuspended
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context

FACTORY = f"{__name__}:make_flow"


class Step(BaseTask):
    """A step that does nothing, has a result, and counts as one with side effects."""

    NUMBER: ClassVar[int]

    def act(self, context: Context, **_inputs: Any) -> int:
        """Return the step's number."""
        if self.NUMBER == HELD_STEP and is_held():
            raise FlowSuspended("held", "left in the middle")
        return self.NUMBER


class Wait(BaseTask):
    """A wait that is over at once."""

    NAME, PROVIDES, DURABLE = "wait", "waited", False  # as the wait of a migration: it changes nothing

    def act(self, context: Context, **_inputs: Any) -> bool:
        """Wait."""
        context.wait(WAIT_SECONDS)
        return True


def make_flow(**_kwargs: Any) -> Flow:
    """Return the job; ``kwargs`` are what a run's flows are stored with."""
    flow = linear_flow.Flow("job")
    for number in range(1, STEPS + 1):
        names = {"NAME": f"step_{number}", "PROVIDES": f"result_{number}", "NUMBER": number}
        flow.add(type(f"Step{number}", (Step,), names)())
    flow.add(Wait())
    return flow
