"""Asking for a run to be cancelled, from any process: its owner answers, and where there is none we become it."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from lmflow.exceptions import LockedError, UnreachableError
from lmflow.models import Cancellation, Outcome, Run
from lmflow.runner.conditions import find_condition
from lmflow.runner.engine import check_flows
from lmflow.runner.heartbeat import CANCEL
from lmflow.runner.profiles import check_pool
from lmflow.runner.recall import recall_outcome
from lmflow.runner.runs import Begun, Drive, resume_run
from lmflow.runner.turns import Pause
from lmflow.tasks.cancelling import ANSWER, TOO_LATE
from lmflow.xapi.connection import Connection

CANCELLED, WAITING = "cancelled", "waiting"


def cancel_run(
    drive: Drive,
    open_connection: Callable[[], Connection],
    run: Run,
    *,
    by: str,
    reason: str = "",
    timeout_seconds: float | None = None,
) -> Generator[Pause | Begun, Any, Cancellation]:
    """Ask for a cancel and wait for the answer. A run whose owner is gone is taken up, as by a resume, and cancelled.

    The request is stored: an owner that dies before it has answered leaves it to the next one, and so do we when the
    time is over. Asking twice is safe. ConfigurationError for a run that nobody drives and this lmflow cannot: then
    nothing is stored.
    """
    number, asked = 0, ""
    until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while True:
        run = drive.database.runs.get_newest(run.uuid)
        if not run.state.is_terminal and run.uuid != asked:  # also a next try that began before its owner had heard us
            if find_condition(drive.database, run) != "running":
                _check_drivable(drive, open_connection, run)
            number, asked = drive.database.control.append(run.uuid, CANCEL, {"by": by, "reason": reason}), run.uuid
        answered = _find_answer(drive, run.uuid, number)
        if answered is not None:
            return answered
        left = None if until is None else until - time.monotonic()
        if drive.steering.stop.is_set() or (left is not None and left <= 0):
            if drive.database.runs.get_newest(run.uuid).uuid != run.uuid:
                continue  # the next try began while we asked: it is the one to be asked
            because = "no answer within the time given; the request stands"
            return Cancellation(WAITING, because, _recall(drive, drive.database.runs.get(run.uuid), "timeout"))
        outcome = yield from _take_up(drive, open_connection, run.uuid, left)
        if outcome is None:
            yield Pause(drive.waits.poll_seconds)
        elif outcome.reason not in ("", "unknown") and not outcome.run.state.is_terminal:
            # let go of, for a reason that trying again would not mend
            if until is not None and time.monotonic() >= until:
                outcome = dataclasses.replace(outcome, reason="timeout")
            because = f"lmflow let go of the run ({outcome.reason}); the request stands"
            return _find_answer(drive, run.uuid, number) or Cancellation(WAITING, because, outcome)


def _check_drivable(drive: Drive, open_connection: Callable[[], Connection], run: Run) -> None:
    """Raise ConfigurationError for a run that we could not take up to serve the request."""
    check_flows(drive.database, run)
    # A pool that does not answer refutes nothing: the request stands until it does.
    with contextlib.suppress(UnreachableError), open_connection() as connection:
        check_pool(connection, run)


def _take_up(
    drive: Drive, open_connection: Callable[[], Connection], run_uuid: str, left_seconds: float | None
) -> Generator[Pause | Begun, Any, Outcome | None]:
    """Drive a run that nobody drives, so that the request is served; None where there is, or was, an owner.

    When the time is over the run is let go of, resumable. It is driven to its end also where it is too late to cancel.
    """
    run = drive.database.runs.get(run_uuid)
    if run.state.is_terminal or find_condition(drive.database, run) == "running":
        return None
    timer = threading.Timer(left_seconds, drive.steering.detach) if left_seconds is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        return (yield from resume_run(drive, open_connection, run))
    except LockedError:  # its owner is just letting go of it, or somebody else was faster
        return None
    finally:
        if timer is not None:
            timer.cancel()


def _find_answer(drive: Drive, run_uuid: str, number: int) -> Cancellation | None:
    """Return the owner's answer to our request, or what the end of the run says."""
    answers = drive.database.events.list(run_uuid, kind=ANSWER)
    run = drive.database.runs.get(run_uuid)
    if run.state.is_terminal:
        if drive.database.runs.get_newest(run_uuid).uuid != run_uuid:
            return None
        outcome = _recall(drive, run)
        if outcome.cancelled:
            failures = drive.database.events.list(run_uuid, kind="failure")
            because = str(failures[-1].data["text"]) if failures else run.summary  # the events may have been pruned
            return Cancellation(CANCELLED, because, outcome)
        return Cancellation(TOO_LATE, f"it had ended: {run.state}; {run.summary}", outcome)
    for event in answers:
        if int(event.data["number"]) >= number:
            return Cancellation(str(event.data["answer"]), str(event.data["because"]), _recall(drive, run))
    return None


def _recall(drive: Drive, run: Run, reason: str = "") -> Outcome:
    return recall_outcome(run, drive.database.events.list(run.uuid), reason=reason)
