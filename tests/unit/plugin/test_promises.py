"""What the plugin promises holds for the real script and for the simulated one alike."""

import json
import pathlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from lmflow.simulator.operations import guest_files
from tests.support.guest_file_cases import BELOW, CASES, Case, refused


def play(case: Case, call: Callable[[str, dict[str, str]], str]) -> list[Any]:
    """Make the calls and return their outcomes, in the form of the case's."""
    outcomes: list[Any] = []
    for each in case.calls:
        told = call(each.function, each.arguments)
        outcomes.append(json.loads(told) if isinstance(each.outcome, dict) and told.startswith("{") else told)
    return outcomes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_script_keeps_its_promise(case: Case, plugin: ModuleType, root: pathlib.Path) -> None:
    for path, text in case.before.items():
        file = pathlib.Path(path.replace(BELOW, str(root)))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def call(function: str, args: dict[str, str]) -> str:
        here = {name: value.replace(BELOW, str(root)) for name, value in args.items()}
        try:
            told = str(plugin.FUNCTIONS[function](None, here))
        except plugin.GuestFileError as error:
            told = refused(str(error))
        return told.replace(str(root), BELOW)

    assert play(case, call) == [each.outcome for each in case.calls]
    files = {p: p.read_text() for p in root.rglob("*") if p.is_file()}
    left = {str(path).replace(str(root), BELOW): text for path, text in files.items()}
    assert left == (case.before if case.after is None else case.after)
    assert {path.stat().st_mode & 0o777 for path in files if path not in _given(case, root)} <= {0o600, 0o644}


def _given(case: Case, root: pathlib.Path) -> set[pathlib.Path]:
    return {pathlib.Path(path.replace(BELOW, str(root))) for path in case.before}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_simulated_plugin_keeps_the_same_promise(case: Case) -> None:
    disk = guest_files.Disk(dict(case.before), {})

    def call(function: str, args: dict[str, str]) -> str:
        try:
            return guest_files.FUNCTIONS[function](disk, args)
        except guest_files.GuestFileError as error:
            return refused(str(error))

    assert play(case, call) == [each.outcome for each in case.calls]
    assert disk.files == (case.before if case.after is None else case.after)


def test_both_have_the_same_functions_and_limits(plugin: ModuleType) -> None:
    assert set(guest_files.FUNCTIONS) == set(plugin.FUNCTIONS)
    assert {each.function for case in CASES for each in case.calls} == set(plugin.FUNCTIONS)
    assert guest_files.PIECE_BYTES == plugin.PIECE_BYTES


def test_a_finished_file_may_be_read_by_all_and_written_by_its_owner(plugin: ModuleType, root: pathlib.Path) -> None:
    given = {"path": f"{root}/k", "part": "a" * 8}
    plugin.write(None, {**given, "offset": "0", "data": ""})
    (partial,) = root.iterdir()
    assert partial.stat().st_mode & 0o777 == 0o600
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    plugin.finish(None, {**given, "size": "0", "sha256": empty})
    assert (root / "k").stat().st_mode & 0o777 == 0o644
