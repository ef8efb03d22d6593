"""Trace 05: what VM.pool_migrate and its relatives refuse, and how."""

from collections.abc import Callable

from tests.support.recorded import trace
from tests.support.recorded.binding import TOKEN
from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic

NAME = "05_pool_migrate_validation"


def bring_back(player: Player) -> None:
    """Let vm-run be on h1 again, as the recorder saw to before each of its migrations."""
    vm, home = player.vm("vm-run"), player.host("h1")
    if player.call("VM.get_resident_on", vm) != home:
        player.call("VM.pool_migrate", vm, home, {"live": "true"})


def wake(player: Player) -> None:
    player.call("VM.unpause", player.vm("vm-run"))


def take_snapshot(player: Player) -> None:
    bring_back(player)
    ours = player.call("VM.snapshot", player.vm("vm-run"), player.name("vm-snap"), [])
    recorded = TOKEN.findall(trace.load(NAME)[74].body)[1]
    player.bind_record("VM", recorded, ours)


BEFORE: dict[int, Callable[[Player], None]] = {
    **dict.fromkeys((35, 36, 37, 38, 40, 48, 69, 77), bring_back),
    71: wake,
    74: take_snapshot,
}

TOPIC = Topic(NAME, make_lab(vm1={"host": "h2"}), before=BEFORE)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
