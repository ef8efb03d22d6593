"""Asking for a run to be cancelled, from any process: its owner answers, and where there is none we become it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from lmflow.exceptions import LockedError
from lmflow.models import Cancellation, Outcome, Run
from lmflow.runner.conditions import find_condition
from lmflow.runner.heartbeat import CANCEL
from lmflow.runner.recall import recall_outcome
from lmflow.runner.runs import Drive, resume_run
from lmflow.tasks.cancelling import ANSWER, CANCELLED, TOO_LATE
from lmflow.xapi.connection import Connection

WAITING = "waiting"


def cancel_run(
    drive: Drive,
    open_connection: Callable[[], Connection],
    run: Run,
    *,
    by: str,
    reason: str = "",
    timeout_seconds: float | None = None,
) -> Cancellation:
    """Ask for a cancel and wait for the answer. A run whose owner is gone is taken up, as by a resume, and cancelled.

    The request is stored: an owner that dies before it has answered leaves it to the next one, and so do we when the
    time is over. Asking twice is safe.
    """
    if run.state.is_terminal:
        return _judge_ended(drive, run)
    number = drive.database.control.append(run.uuid, CANCEL, {"by": by, "reason": reason})
    until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while True:
        run = drive.database.runs.get(run.uuid)
        answered = _find_answer(drive, run, number)
        if answered is not None:
            return answered
        if find_condition(drive.database, run) != "running":
            outcome = _take_up(drive, open_connection, run)
            if outcome is not None and outcome.reason not in ("", "unknown"):
                because = f"lmflow let go of the run ({outcome.reason}); the request stands"
                return Cancellation(WAITING, because, outcome)
        elif until is not None and time.monotonic() >= until:
            because = "no answer within the time given; the request stands"
            return Cancellation(WAITING, because, _recall(drive, run, "timeout"))
        elif drive.steering.stop.wait(drive.waits.poll_seconds):
            because = "lmflow was told to stop waiting; the request stands"
            return Cancellation(WAITING, because, _recall(drive, run, "timeout"))


def _take_up(drive: Drive, open_connection: Callable[[], Connection], run: Run) -> Outcome | None:
    with contextlib.suppress(LockedError):  # its owner is just letting go of it, or somebody else was faster
        return resume_run(drive, open_connection, run)
    time.sleep(drive.waits.poll_seconds)
    return None


def _find_answer(drive: Drive, run: Run, number: int) -> Cancellation | None:
    """Return the answer to our request; a cancel is one only when the run has ended by it."""
    for event in drive.database.events.list(run.uuid, kind=ANSWER):
        data = event.data
        if int(data["number"]) >= number and (data["answer"] != CANCELLED or run.state.is_terminal):
            return Cancellation(str(data["answer"]), str(data["because"]), _recall(drive, run))
    return _judge_ended(drive, run) if run.state.is_terminal else None


def _judge_ended(drive: Drive, run: Run) -> Cancellation:
    outcome = _recall(drive, run)
    answer = CANCELLED if outcome.cancelled else TOO_LATE
    return Cancellation(answer, f"it had ended: {run.state}; {run.summary}", outcome)


def _recall(drive: Drive, run: Run, reason: str = "") -> Outcome:
    return recall_outcome(run, drive.database.events.list(run.uuid), reason=reason)
