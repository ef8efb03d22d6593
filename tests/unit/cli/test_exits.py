"""Every end has its exit code."""

import pytest

from lmflow import exceptions
from lmflow.cli.exits import Exit, get_batch_exit, get_exit
from lmflow.models import RunState
from tests.support.answers import make_outcome

OF_STATE = {
    RunState.SUCCESS: 0,
    RunState.REFUSED: 3,
    RunState.FAILED: 4,
    RunState.SUSPENDED: 5,
    RunState.UNKNOWN: 7,
    RunState.RUNNING: 8,
    RunState.DIRTY: 11,
}
OF_ERROR = (
    (exceptions.UsageError("x"), 2),
    (exceptions.ConfigurationError("x"), 2),
    (exceptions.RefusedError("x"), 3),
    (exceptions.MigrationFailedError("x"), 4),
    (exceptions.FlowSuspended("deadline", "x"), 5),
    (exceptions.IndeterminateError("x"), 7),
    (exceptions.NoReplyError("VM.pool_migrate", "reset"), 7),
    (exceptions.FlowSuspended("unknown", "x"), 7),
    (exceptions.UnreachableError("x"), 9),
    (exceptions.LoginError("x"), 9),
    (exceptions.FlowSuspended("unreachable", "x"), 9),
    (exceptions.LockedError("x"), 10),
    (exceptions.LeaseLost("x"), 10),
    (exceptions.FlowSuspended("detached", "x"), 130),
    (KeyboardInterrupt(), 130),
    (exceptions.LmflowError("x"), 1),
    (ZeroDivisionError("x"), 1),
)


@pytest.mark.parametrize("state", RunState)
def test_the_code_of_each_state(state: RunState) -> None:
    assert get_exit(make_outcome(state)) == OF_STATE[state]


@pytest.mark.parametrize(("error", "code"), OF_ERROR, ids=lambda value: type(value).__name__)
def test_the_code_of_each_error(error: BaseException, code: int) -> None:
    assert get_exit(error) == code


@pytest.mark.parametrize(
    ("codes", "together"),
    [
        ([], Exit.DONE),
        ([Exit.DONE, Exit.DONE], Exit.DONE),
        ([Exit.UNKNOWN], Exit.UNKNOWN),
        ([Exit.FAILED, Exit.DONE], Exit.PARTLY),
        ([Exit.FAILED, Exit.UNKNOWN], Exit.UNKNOWN),
        ([Exit.REFUSED, Exit.DIRTY, Exit.FAILED], Exit.DIRTY),
        ([Exit.SIGINT, Exit.UNKNOWN], Exit.SIGINT),
        ([Exit.UNREACHABLE, Exit.LOCKED], Exit.UNREACHABLE),
        ([Exit.USAGE, Exit.REFUSED], Exit.USAGE),
    ],
)
def test_several_runs_have_one_code(codes: list[Exit], together: Exit) -> None:
    assert get_batch_exit(codes) is together


def test_every_pair_of_bad_ends_has_a_code() -> None:
    bad = {get_exit(make_outcome(state)) for state in RunState} - {Exit.DONE} | {Exit.SIGINT}
    assert {get_batch_exit([a, b]) for a in bad for b in bad} == bad
