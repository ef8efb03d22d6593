"""Trace 03: every record of 45 classes, field by field."""

from typing import Any

from tests.support.recorded import trace
from tests.support.recorded.lab import make_early_lab, read_record
from tests.support.recorded.player import Answer, Player, Topic

TASKS, MESSAGES = 15, 22


def _change(player: Player) -> None:
    """Do what the recorder had done with the pool before: a VM's version and a host's description."""
    player.call("VM.set_user_version", player.vm("vm1"), "7")
    player.call("host.set_name_description", player.host("h2"), 'd\u00e9sc <&> "q"\nline2\ttab')


def _translate(player: Player, value: Any) -> Any:
    if isinstance(value, dict):
        return {player.name(key): _translate(player, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_translate(player, item) for item in value]
    return player.name(value) if type(value) is str else value


def _leave(index: int) -> Any:
    """Put into the database what is left of the recorder's earlier work; how it came about, other topics show."""
    item = trace.load("03")[index]
    cls = item.method.partition(".")[0]

    def leave(player: Player) -> None:
        for record in item.data["parsed"]["Value"].values():
            fields = _translate(player, read_record(cls, record))
            player.pool.store.create(cls, {**fields, "uuid": ""})

    return leave


TOPIC = Topic(
    "03_records",
    make_early_lab(),
    before={0: _change, TASKS: _leave(TASKS), MESSAGES: _leave(MESSAGES)},
    given={TASKS: "all tasks, field by field", MESSAGES: "all messages, field by field"},
)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
