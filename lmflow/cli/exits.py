"""Exit codes, and the one way from an outcome or an error to them."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lmflow import exceptions
from lmflow.models import RunState

if TYPE_CHECKING:
    from lmflow.models import Outcome


class Exit(enum.IntEnum):
    """What a command's exit code says."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    REFUSED = 3
    FAILED = 4
    INTERRUPTED = 5
    PARTLY = 6
    UNKNOWN = 7
    GOES_ON = 8
    UNREACHABLE = 9
    LOCKED = 10
    DIRTY = 11
    SIGINT = 130


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP at a moment when no run is driven that could be let go of."""


_OF_STATE = {
    RunState.SUCCESS: Exit.DONE,
    RunState.REFUSED: Exit.REFUSED,
    RunState.FAILED: Exit.FAILED,
    RunState.DIRTY: Exit.DIRTY,
    RunState.UNKNOWN: Exit.UNKNOWN,
    RunState.SUSPENDED: Exit.INTERRUPTED,
    RunState.RUNNING: Exit.GOES_ON,
}

# The first class that fits counts, so a subclass with a code of its own stands before its base.
_OF_ERROR: tuple[tuple[type[BaseException], Exit], ...] = (
    (exceptions.UsageError, Exit.USAGE),
    (exceptions.RefusedError, Exit.REFUSED),
    (exceptions.MigrationFailedError, Exit.FAILED),
    (exceptions.IndeterminateError, Exit.UNKNOWN),
    (exceptions.NoReplyError, Exit.UNKNOWN),
    (exceptions.UnreachableError, Exit.UNREACHABLE),
    # outside a run: the pool does not give what is asked of it, such as for want of a role
    (exceptions.XapiFailureError, Exit.UNREACHABLE),
    (exceptions.LockedError, Exit.LOCKED),
    (exceptions.LeaseLost, Exit.LOCKED),
    (Terminated, Exit.INTERRUPTED),
    (KeyboardInterrupt, Exit.SIGINT),
)

_OF_SUSPENSION = {
    "unknown": Exit.UNKNOWN,
    "unreachable": Exit.UNREACHABLE,
    "detached": Exit.SIGINT,
    "interrupted": Exit.INTERRUPTED,
    "locked": Exit.LOCKED,
    "misconfigured": Exit.USAGE,
    "error": Exit.INTERRUPTED,
    "timeout": Exit.GOES_ON,
}

# What a person has to know first stands first.
_GRAVITY = (
    Exit.SIGINT,
    Exit.INTERNAL,
    Exit.UNKNOWN,
    Exit.DIRTY,
    Exit.FAILED,
    Exit.UNREACHABLE,
    Exit.INTERRUPTED,
    Exit.LOCKED,
    Exit.GOES_ON,
    Exit.USAGE,
    Exit.REFUSED,
)


def get_exit(result: Outcome | BaseException) -> Exit:
    """Return the exit code of an outcome, or of an error that ended a command."""
    if not isinstance(result, BaseException):
        return _OF_SUSPENSION.get(result.reason, _OF_STATE[result.run.state])
    if isinstance(result, exceptions.FlowSuspended):
        return _OF_SUSPENSION.get(result.reason, Exit.INTERRUPTED)
    return next((code for kind, code in _OF_ERROR if isinstance(result, kind)), Exit.INTERNAL)


def get_batch_exit(codes: Iterable[Exit]) -> Exit:
    """Return one exit code for several runs: theirs when they agree, 6 when only some are done, else the gravest."""
    different = set(codes)
    if len(different) <= 1:
        return different.pop() if different else Exit.DONE
    if Exit.DONE in different:
        return Exit.PARTLY
    return next(code for code in _GRAVITY if code in different)
