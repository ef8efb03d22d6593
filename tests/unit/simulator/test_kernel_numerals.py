"""Numbers as text, in the spellings of OCaml."""

import math

import pytest

from lmflow.simulator.database.numerals import parse_float, parse_int64


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("1_000", 1000),
        ("0x1F", 31),
        ("-0x1f", -31),
        ("0o17", 15),
        ("0b101", 5),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("0xffffffffffffffff", -1),
        ("0u18446744073709551615", -1),
        ("0000000000000000000000000000005", 5),
    ],
)
def test_integers_of_64_bits(text: str, value: int) -> None:
    assert parse_int64(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " 5", "5 ", "five", "1.0", "_1", "-", "0x", "0b2", "0o8", "1f", "9223372036854775808", "9" * 5000, "٣"],
)
def test_what_is_no_integer_of_64_bits(text: str) -> None:
    with pytest.raises(ValueError, match="of_string"):
        parse_int64(text)


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1.0), ("-1.5", -1.5), ("1.", 1.0), ("1e3", 1000.0), ("1_0.5", 10.5), ("inf", math.inf)]
)
def test_decimal_numbers(text: str, value: float) -> None:
    assert parse_float(text) == value


@pytest.mark.parametrize("text", ["", "one", " 1", ".", "e3", "1e", "--1", "٣"])
def test_what_is_no_decimal_number(text: str) -> None:
    with pytest.raises(ValueError, match="float"):
        parse_float(text)
