"""A strategy is asked, and not trusted."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from lmflow.exceptions import PluginError
from lmflow.models import Site
from lmflow.planner import HostFacts, Ranked, get_rank
from tests.support.strategies import rank_with

FACTS = [HostFacts("1", "a", 5), HostFacts("2", "b", 7)]
HANG = threading.Event()  # nobody sets it: the thread that waits for it is a daemon


@pytest.mark.parametrize(("name", "first"), [("headroom", "2"), ("pack", "1"), ("spread", "2")])
def test_ours_are_found_by_their_names(name: str, first: str) -> None:
    assert get_rank(Site(strategy=name))(FACTS)[0].host_uuid == first


def test_an_unknown_one_is_named_with_those_there_are() -> None:
    with pytest.raises(PluginError, match="fastest") as raised:
        get_rank(Site(strategy="fastest"))
    assert {"headroom", "pack", "spread"} <= set(raised.value.candidates)


def test_somebody_elses_is_asked_like_ours() -> None:
    def by_name(facts: Sequence[HostFacts]) -> Sequence[Ranked]:
        return [Ranked(each.host_uuid, "its name") for each in facts]

    assert rank_with(by_name, ours=False)(FACTS) == (Ranked("1", "its name"), Ranked("2", "its name"))


def fail(facts: Sequence[HostFacts]) -> Sequence[Ranked]:
    raise ZeroDivisionError("by nothing")


def hang(facts: Sequence[HostFacts]) -> Sequence[Ranked]:
    HANG.wait()
    return ()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (["1", "2"], "something else than hosts"),
        ([Ranked("1", ""), Ranked("2", "x")], "gave no reason for host 1"),
        ([Ranked("1", None), Ranked("2", "x")], "gave no reason for host 1"),  # type: ignore[arg-type]
        ([Ranked("1", "x"), Ranked("3", "x")], "ranked 3, which is no candidate"),
        ([Ranked("1", "x"), Ranked("2", "x"), Ranked("1", "x")], "ranked a twice"),
        ([Ranked("2", "x")], "left out a"),
        ([], "left out a"),
    ],
)
def test_nonsense_is_told_with_the_strategys_name(answer: list[Ranked], said: str) -> None:
    with pytest.raises(PluginError, match=said) as raised:
        rank_with(lambda facts: answer, ours=False)(FACTS)
    assert "mine (site.place:mine of site-place 1.0)" in raised.value.message


@pytest.mark.parametrize(
    ("value", "said"), [(fail, "failed with ZeroDivisionError"), (hang, "has not answered"), (7, "")]
)
def test_one_that_raises_or_hangs_is_told_with_its_name(value: object, said: str) -> None:
    with pytest.raises(PluginError, match="mine") as raised:
        rank_with(value, ours=False, seconds=0.05)(FACTS)
    assert said in raised.value.message
