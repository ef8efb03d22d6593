"""Names that people type: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import dataclasses

import pytest

from lmflow.exceptions import RefusedError, UsageError
from lmflow.runner.names import find_matches, get_match, show_name


@dataclasses.dataclass(frozen=True)
class Thing:
    uuid: str
    name_label: str


THINGS = [Thing("11", "web-1"), Thing("12", "web-12"), Thing("2x", "db"), Thing("3x", ""), Thing("4x", "bad\x1b")]
HOSTS = [Thing("9x", "xcp-a")]


@pytest.mark.parametrize(("text", "uuid"), [("11", "11"), ("web-1", "11"), ("web-12", "12"), ("d", "2x"), ("3", "3x")])
def test_exact_before_beginning(text: str, uuid: str) -> None:
    assert get_match(text, THINGS, what="VM").uuid == uuid


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_nothing_means_nothing_even_when_there_is_only_one(text: str) -> None:
    assert find_matches(text, THINGS[:1]) == ()
    with pytest.raises(UsageError, match="the name of the VM is empty"):
        get_match(text, THINGS[:1], what="VM")


def test_candidates() -> None:
    with pytest.raises(UsageError) as ambiguous:
        get_match("we", THINGS, what="VM")
    assert ambiguous.value.candidates == ("web-1  11", "web-12  12")
    with pytest.raises(UsageError) as unknown:
        get_match("DB-9", THINGS, what="VM")
    assert unknown.value.candidates == ("db",)


def test_a_whole_uuid_that_means_nothing_is_a_refusal_too() -> None:
    text = "5c0e1d7a-9b34-4826-8f11-7d4f0c92be51"
    with pytest.raises(RefusedError, match=f"no VM of this pool has the UUID {text}") as unknown:
        get_match(text, THINGS[:1], what="VM")
    assert isinstance(unknown.value, UsageError)
    assert unknown.value.candidates == (THINGS[0].name_label,)
    assert unknown.value.findings == ()


def test_a_thing_of_another_kind_is_told_apart() -> None:
    with pytest.raises(UsageError, match="'xcp-a' is a host, not a VM"):
        get_match("xcp-a", THINGS, what="VM", others={"host": lambda: HOSTS})
    with pytest.raises(UsageError, match="no VM is called 'xcp-b'"):
        get_match("xcp-b", THINGS, what="VM", others={"host": lambda: HOSTS})


def test_others_are_not_asked_for_what_is_found() -> None:
    asked: list[str] = []

    def list_hosts() -> list[Thing]:
        asked.append("hosts")
        return HOSTS

    assert get_match("db", THINGS, what="VM", others={"host": list_hosts}).uuid == "2x"
    assert asked == []


def test_names_in_messages_are_safe_and_short() -> None:
    assert show_name("a\x1b[1m\u202e") == "a\\x1b[1m\\u202e"
    assert show_name("x" * 10_000) == "x" * 57 + "..."
    with pytest.raises(UsageError) as unknown:
        get_match("\x07" * 9_999, THINGS, what="VM")
    assert len(unknown.value.message) < 300
    assert unknown.value.message.isprintable()
    assert all(each.isprintable() for each in unknown.value.candidates)
