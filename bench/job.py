"""The job that every subject does: a workflow of five steps that do nothing, and one wait, as a migration has."""

from __future__ import annotations

import os
import time
from typing import Any

from taskflow import task
from taskflow.flow import Flow
from taskflow.patterns import linear_flow

STEPS = 5
HELD_STEP = 4
"""The step in which a job is interrupted where jobs are interrupted."""

WAIT_SECONDS = 0.0001
HOLD = "LMFLOW_BENCH_HOLD"
FACTORY = f"{__name__}:make_flow"


class Interrupted(BaseException):
    """A job is to be left as the death of its process would leave it."""


def is_held() -> bool:
    """Say whether jobs are interrupted in this process."""
    return HOLD in os.environ


class Step(task.Task):
    """A step that does nothing and has a result."""

    def __init__(self, number: int) -> None:
        super().__init__(name=f"step_{number}", provides=f"result_{number}")
        self._number = number

    def execute(self, **_kwargs: Any) -> int:
        """Return the step's number."""
        if self._number == HELD_STEP and is_held():
            raise Interrupted
        return self._number


class Wait(task.Task):
    """A wait that is over at once."""

    def execute(self, **_kwargs: Any) -> bool:
        """Wait."""
        time.sleep(WAIT_SECONDS)
        return True


def make_flow() -> Flow:
    """Return the job as a flow of TaskFlow."""
    flow = linear_flow.Flow("job")
    for number in range(1, STEPS + 1):
        flow.add(Step(number))
    flow.add(Wait(name="wait", provides="waited"))
    return flow
