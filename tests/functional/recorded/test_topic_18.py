"""Trace 18: six operations wait for the end of a long migration, and are carried out after it."""

from typing import Any

from lmflow.simulator.migrations.migration import add_phase_fault, set_copy_seconds
from lmflow.simulator.turns import Turns
from tests.support.recorded import trace
from tests.support.recorded.binding import Difference
from tests.support.recorded.following import wait_until
from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic
from tests.support.recorded.reading import Tree, read_value
from tests.support.recorded.trace import Item

_NAME = "18_conflicting_ops_long"
_TASK = "OpaqueRef:2b73d4e6-6875-22f9-ef62-5713b6a34bb7"
_WAITING = {
    8: "VM.pool_migrate",
    9: "VM.pause",
    10: "VM.snapshot",
    11: "VM.clean_shutdown",
    12: "VM.suspend",
    13: "VM.set_memory_dynamic_range",
}
"""The items that waited, and the names of their tasks; the order is that in which they began, which was chance."""
_ORDER = ["pool_migrate", "pool_migrate", "pause", "snapshot", "clean_shutdown", "suspend", "changing_dynamic_range"]
"""The evacuation has left a move of this VM behind, that waits as well."""
_PROGRESS_AT_CANCEL = 0.8
_FAST, _SLOW = 150.0, 0.5
_HALTED = {"host": ""}


def _vm(player: Player) -> str:
    return player.vm("vm-nodisk")


def _prepare(player: Player) -> None:
    store = player.pool.store
    player.call("pool.set_suspend_image_SR", player.pool.pool_ref, player.ref("SR", "shared-nfs"))
    uuid = store.value("VM", _vm(player), "uuid")
    set_copy_seconds(player.pool, uuid, 240.0)
    # However slow this machine is, the copy is not over before it is cancelled.
    add_phase_fault(player.pool, {"phase": "copy", "kind": "hold", "vm": uuid, "at": 0.95})


def _disable_meanwhile(player: Player) -> None:
    """The evacuation and the disabling were called at the same time: it had found its way, and found it barred."""
    turns, movable = player.pool.part(Turns), player.vm("vm-run")
    turns.set_order(movable, ["nothing yet", "pool_migrate"])
    player.play_beside(trace.load(_NAME)[3])
    wait_until(player, lambda: turns.waiting(movable) == turns.waiting(_vm(player)) == ["pool_migrate"])
    player.call("host.disable", player.host("h2"))
    turns.set_order(movable, [])
    player.wait_for(3)


def _let_six_wait(player: Player) -> None:
    """What was answered last was called at the beginning; what is asked next was asked near the end of the copy."""
    turns, task = player.pool.part(Turns), player.binding.translate(_TASK)
    turns.set_order(_vm(player), _ORDER)
    for index in _WAITING:
        player.play_beside(trace.load(_NAME)[index])
    wait_until(player, lambda: sorted(turns.waiting(_vm(player))) == sorted(_ORDER))
    wait_until(player, lambda: player.pool.store.value("task", task, "progress") > _PROGRESS_AT_CANCEL)
    # What is asked next was asked while the cancel was still being carried out.
    player.pool.clock.change_scale(_SLOW)


def _compare_results(player: Player, item: Item) -> None:
    """The same answers, each after as long a time; what was answered at once is not measured."""
    player.wait_for()
    differences = []
    for label, seconds, reply in item.note["results"]:
        index = next(other.index for other in trace.load(_NAME) if other.label == label)
        answer = player.answers[index]
        seen = {name: _plain(value) for name, value in answer.tree.items()}  # type: ignore[union-attr]
        differences += player.binding.compare(read_value(reply), read_value(seen), f"results/{label}")
        if index in _WAITING and not seconds / 2 <= _seconds_of(player, _WAITING[index]) <= seconds * 2:
            waited = str(_seconds_of(player, _WAITING[index]))
            differences.append(Difference(f"results/{label}/seconds", str(seconds), waited))
    player.answers[item.index] = Answer(item, {}, differences)


def _plain(tree: Tree) -> Any:
    return [_plain(item) for item in tree] if isinstance(tree, list) else tree.text  # type: ignore[union-attr]


def _seconds_of(player: Player, name: str) -> float:
    """Give how long the task of a synchronous call was there, in pool seconds."""
    (ref,) = player.watch.tasks_called(name)
    began_at, ended_at = player.watch.life_of(ref)
    return ended_at - began_at


TOPIC = Topic(
    _NAME,
    make_lab(vm1=None, vm_local=_HALTED, vm_notools=_HALTED, vm_internal=_HALTED),
    time_scale=_FAST,
    before={
        0: _prepare,
        3: _disable_meanwhile,
        5: _let_six_wait,
        8: lambda player: player.pool.clock.change_scale(_FAST),
    },
    beside=frozenset({3, *_WAITING}),
    notes={14: _compare_results},
)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
