"""Trace 08: a migration's progress goes up, falls back when the clean-up begins, and goes up again."""

from typing import Any

from lmflow.simulator.migrations.migration import set_copy_seconds
from tests.support.recorded.following import follow
from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic
from tests.support.recorded.trace import Item

_TASK = "OpaqueRef:81e74fda-1165-4b4a-e05f-59452f75a505"


def _prepare(player: Player) -> None:
    set_copy_seconds(player.pool, player.pool.store.value("VM", player.vm("vm-run"), "uuid"), 5.0)


def _follow(player: Player, item: Item) -> None:
    def look(vm: dict[str, Any]) -> list[Any]:
        return [vm["power_state"], vm["resident_on"] == player.host("h2")]

    follow(player, item, _TASK, look)
    # How far it is at an instant is masked; that each step comes, in this order, is not.
    seen = [task["progress"] for _, task, _ in player.watch.states(player.binding.translate(_TASK))]
    steps = iter(seen)
    missing = [row[1]["progress"] for row in item.note["history"] if not _comes(row[1]["progress"], steps)]
    assert not missing, f"{missing} not in {seen}"


def _comes(progress: float, steps: Any) -> bool:
    return any(abs(step - progress) < 0.001 for step in steps)


TOPIC = Topic(
    "08_task_progress", make_lab(vm1=None), time_scale=10.0, is_steady=True, before={0: _prepare}, notes={1: _follow}
)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
