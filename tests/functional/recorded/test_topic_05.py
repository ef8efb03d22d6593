"""Trace 05: what VM.pool_migrate and its relatives refuse, and how."""

from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Topic

TOPIC = Topic("05_pool_migrate_validation", make_lab(vm1=None))


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
