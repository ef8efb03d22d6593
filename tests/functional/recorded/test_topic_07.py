"""Trace 07: the life of tasks, from the call to their destruction, with every kind of result."""

from collections.abc import Callable
from typing import Any

from lmflow.simulator.migrations.migration import add_phase_fault, set_copy_seconds
from tests.support.recorded.following import follow, is_on, plain
from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic
from tests.support.recorded.trace import Item

_ASLEEP = {"host": None, "power_state": "Suspended"}
Note = Callable[[Player, Item], object]


def _prepare(player: Player) -> None:
    set_copy_seconds(player.pool, player.pool.store.value("VM", player.vm("vm-run"), "uuid"), 4.0)


def _let_save_fail(player: Player) -> None:
    add_phase_fault(player.pool, {"phase": "copy", "kind": "fail", "at": 0.0})


def _destroyed_while_pending(player: Player, item: Item) -> None:
    task = player.wait_for_task(player.binding.translate("OpaqueRef:8c157487-a924-68d4-b45f-dd8e976bd2fb"))
    player.compare_note(item, {"resident_on_h2": is_on(player, "vm-run", "h2"), "task": plain(task)})


def _task(recorded: str) -> Note:
    return lambda player, item: follow(player, item, f"OpaqueRef:{recorded}")


def _back_to_h1(player: Player, item: Item) -> None:
    def look(vm: dict[str, Any]) -> list[Any]:
        operations = list(vm["current_operations"].values())
        return [vm["power_state"], vm["resident_on"] == player.host("h1"), operations]

    follow(player, item, "OpaqueRef:e7e515d7-81f9-c84f-8872-d0c1cbc33197", look)


def _after_failure(player: Player, item: Item) -> None:
    vm = player.call("VM.get_record", player.vm("vm-run"))
    here = vm["resident_on"] == player.host("h1")
    player.compare_note(item, {"power": vm["power_state"], "on_h1": here, "allowed": vm["allowed_operations"]})


TOPIC = Topic(
    "07_tasks",
    make_lab(vm1=None, vm_local=_ASLEEP, vm_nodisk=_ASLEEP, vm_notools=_ASLEEP, vm_internal=_ASLEEP),
    time_scale=10.0,
    is_steady=True,
    before={0: _prepare, 43: _let_save_fail},
    notes={
        8: _destroyed_while_pending,
        10: _back_to_h1,
        19: _task("ea7cb429-9243-e246-5dba-6d65406bf73d"),
        21: _task("65541938-2dc9-1c38-281b-4146fa86584f"),
        23: _task("7aaa09d9-e4be-fcf4-8ad7-4ca99f1f8d21"),
        25: _task("f1b19274-61c4-a546-d600-d52995097078"),
        27: _task("22e7b0c7-24bf-f95c-7680-336b40b752e6"),
        29: _task("58326a3a-6069-3418-353b-d181df285195"),
        31: _task("94f93dd9-d368-f004-ffff-8aad208525ec"),
        34: _task("48f75e76-e512-e50f-cac6-75bf90b1534a"),
        39: _task("738cd2e8-b5de-0ce8-0532-159da1fe6e7b"),
        44: _task("30781c7e-1286-cd36-484f-6785d320af8f"),
        45: _after_failure,
    },
)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
