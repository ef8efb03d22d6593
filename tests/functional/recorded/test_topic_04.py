"""Trace 04: which calls there are, in their order."""

from tests.support.recorded.lab import make_early_lab
from tests.support.recorded.player import Answer, Topic
from tests.support.recorded.reading import read_body

TOPIC = Topic("04_listMethods", make_early_lab())


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))


def test_calls_are_listed_in_the_order_of_the_data_model(answer: Answer) -> None:
    assert answer.tree == read_body(answer.item.response["body"])
