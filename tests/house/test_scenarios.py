"""Every acceptance scenario has a test of that number, below tests/functional."""

import re

from tests.house.conftest import Source

NUMBERS = (
    *("1", "2", "4", "5", "6", "7", "9", "11", "13"),  # pool and destination
    *("15", "17", "18", "19", "21"),  # the VM
    *("22", "23", "25", "28", "29", "31", "33", "34"),  # storage
    *("36", "38", "41", "42", "43"),  # networks, kernels, no destination named
    *("45", "45b", "45c", "45d", "47", "48", "49", "50"),  # failure, revert, the point of no return
    *("51", "54", "55", "57"),  # killed, cancelled, at the same time
)


def _find_numbers(sources: list[Source]) -> set[str]:
    functions = [f for s in sources if s.path.startswith("tests/functional/") for f in s.functions()]
    found = (re.match(r"test_([0-9]+[a-z]?)_", function.name) for function in functions)
    return {match[1] for match in found if match}


def test_every_scenario_has_a_test_of_its_number(sources: list[Source]) -> None:
    found = _find_numbers(sources)
    assert [number for number in NUMBERS if number not in found] == []


def test_no_test_claims_a_scenario_that_is_not_there(sources: list[Source]) -> None:
    assert sorted(_find_numbers(sources) - set(NUMBERS)) == []
