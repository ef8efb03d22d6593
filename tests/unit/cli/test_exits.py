"""Every end has its exit code, and every command says which ones it has."""

import dataclasses
import importlib.metadata
import pathlib

import pytest

from lmflow import exceptions
from lmflow.catalogue import find_entries
from lmflow.cli import codes
from lmflow.cli.errors import WIDTH
from lmflow.cli.exits import Exit, get_batch_exit, get_exit
from lmflow.cli.main import LmflowApp
from lmflow.models import RunState
from tests.support.answers import make_outcome

ROOT = pathlib.Path(__file__).parents[3]

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
    (exceptions.XapiFailureError("RBAC_PERMISSION_DENIED", (), call="VM.get_record"), 9),
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


OF_REASON = {
    "unknown": 7,
    "unreachable": 9,
    "detached": 130,
    "deadline": 5,
    "error": 5,
    "locked": 10,
    "misconfigured": 2,
    "timeout": 8,
    "interrupted": 5,
}


@pytest.mark.parametrize("reason", OF_REASON)
def test_why_a_run_was_let_go_of_goes_before_its_state(reason: str) -> None:
    outcome = dataclasses.replace(make_outcome(RunState.SUSPENDED), reason=reason)
    assert get_exit(outcome) == OF_REASON[reason]


def test_every_command_says_its_codes() -> None:
    commands = {entry.name.replace("_", " ") for entry in importlib.metadata.entry_points(group="lmflow.cli")}
    ours = {name for name in commands if name in codes.CODES or _is_ours(name)}
    assert set(codes.CODES) == ours
    for of_command in codes.CODES.values():
        assert {Exit.DONE, Exit.INTERNAL, Exit.USAGE, Exit.SIGINT} <= set(of_command)
    told = {code for of_command in codes.CODES.values() for code in of_command}
    assert told == set(Exit), "a code that no command has is none"


def _is_ours(name: str) -> bool:
    factory, _, _ = LmflowApp().command_manager.find_command(name.split())
    return str(factory.__module__).startswith("lmflow.")


def test_every_code_is_in_the_catalogue() -> None:
    assert all(len(find_entries(str(int(code)))) == 1 for code in Exit)


@pytest.mark.parametrize("name", codes.CODES)
def test_the_help_of_a_command_shows_its_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert LmflowApp().run([*name.split(), "--help"]) == 0
    _, _, shown = capsys.readouterr().out.partition("\nexit codes (lmflow explain CODE):\n")
    lines = shown.splitlines()
    assert [line.split()[0] for line in lines if line[2] != " "] == [str(int(c)) for c in sorted(codes.CODES[name])]
    assert max(map(len, lines)) <= WIDTH


def test_a_command_of_others_has_no_codes_of_ours() -> None:
    assert list(codes.tell_codes("hello")) == []


def test_the_page_is_the_table() -> None:
    page = (ROOT / "doc" / "source" / "exit-codes.md").read_text(encoding="utf-8")
    assert page == codes.render(), "lmflow/cli/codes.py says how to write it anew"
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    marked = {row[0].strip("| `"): sum(cell.strip("| ") == "x" for cell in row[1:]) for row in rows}
    assert marked == {name: len(of_command) for name, of_command in codes.CODES.items()}
