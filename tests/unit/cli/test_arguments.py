"""Arguments that are read as numbers: what is taken, and in which words anything else is refused."""

from __future__ import annotations

import argparse

import pytest

from lmflow.cli.arguments import parse_count, parse_retries


def test_none_is_a_number_of_retries_and_no_count() -> None:
    assert [parse_retries(text) for text in ("0", "3")] == [0, 3]
    assert parse_count("1") == 1
    with pytest.raises(argparse.ArgumentTypeError, match="'0' is no whole number from 1 on"):
        parse_count("0")


@pytest.mark.parametrize("text", ["-1", "x", "", "1.5", "1234567890"])
def test_the_refusal_names_the_least_that_is_taken(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no whole number from 0 on"):
        parse_retries(text)
