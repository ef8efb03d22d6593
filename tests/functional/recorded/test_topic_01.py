"""Trace 01: logging in, and what is refused before any operation begins."""

from tests.support.recorded.lab import make_early_lab
from tests.support.recorded.player import Answer, Topic

TOPIC = Topic("01_login_and_errors", make_early_lab())


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
