"""Trace 06: who comes second on a VM waits, and is carried out after; what becomes of tasks."""

from typing import Any

from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.migrations.migration import add_phase_fault, set_copy_seconds
from lmflow.simulator.turns import Turns
from tests.support.recorded.following import follow, is_on
from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic
from tests.support.recorded.trace import Item

_COPY_SECONDS = 4.0
_FIRST = "OpaqueRef:de48f24d-b004-95a9-3da9-875ffd658935"


def _vm_uuid(player: Player) -> str:
    return str(player.pool.store.value("VM", player.vm("vm-run"), "uuid"))


def _prepare(player: Player) -> None:
    """However slow this machine is, what was asked during the copy is asked during it."""
    set_copy_seconds(player.pool, _vm_uuid(player), _COPY_SECONDS)
    add_phase_fault(player.pool, {"phase": "copy", "kind": "hold", "vm": _vm_uuid(player)})


def _go_on(player: Player) -> None:
    player.pool.part(Xenops).released.set()


def _order(player: Player) -> None:
    """The shutdown, though called after the migration, began before it: one is as likely as the other."""
    player.pool.part(Turns).set_order(player.vm("vm-run"), ["clean_shutdown", "pool_migrate"])


def _start_and_break(player: Player) -> None:
    player.call("VM.start_on", player.vm("vm-run"), player.host("h1"), False, False)
    add_phase_fault(player.pool, {"phase": "copy", "kind": "fail", "vm": _vm_uuid(player), "at": 0.0})


def _follow(recorded_task: str, **options: Any) -> Any:
    return lambda player, item: follow(player, item, f"OpaqueRef:{recorded_task}", **options)


def _show_migration_after_destroy(player: Player, item: Item) -> None:
    task = player.client.refuse("task.get_record", player.binding.translate(_FIRST))
    player.compare_note(item, {"resident_on_h2": is_on(player, "vm-run", "h2"), "task": task}, "history")


def _show_after_failure(player: Player, item: Item) -> None:
    vm = player.call("VM.get_record", player.vm("vm-run"))
    seen = {"power": vm["power_state"], "on_h1": is_on(player, "vm-run", "h1"), "allowed": vm["allowed_operations"]}
    player.compare_note(item, seen)


def _look(vm: dict[str, Any]) -> list[Any]:
    return [vm["power_state"], False, list(vm["current_operations"].values())]


TOPIC = Topic(
    "06_conflicting_ops_queue",
    make_lab(vm1={"host": "h2"}, vm_notools={"host": "h2"}),
    time_scale=10.0,
    is_steady=True,
    before={0: _prepare, 7: _go_on, 8: _order, 48: _start_and_break},
    notes={
        12: _show_migration_after_destroy,
        13: _follow("72632909-366c-6db4-82d0-85f2e4f989ec"),
        15: _follow("8608f096-7d3f-4a29-ce7c-f2c3b3c9efd3", look=_look),
        24: _follow("0333a571-25f8-1178-3113-a257b4830981"),
        26: _follow("56bb8cd6-f482-8455-e91b-11861a384432"),
        28: _follow("bcdbd8dd-efe5-02a8-9439-0096327754f4"),
        30: _follow("2d802c2d-6cb4-d8fa-4361-9599fb5ab96d"),
        32: _follow("39aa17c6-7ba0-05ba-65fd-01ec033a57e2"),
        34: _follow("4e38caa0-1422-5eca-918b-cd2429d67479"),
        36: _follow("7032afa6-38cf-1397-9e36-e2bcfb321008"),
        39: _follow("77974503-a070-a1ae-67a3-e3d70fa3a41f"),
        44: _follow("51ca237a-39cd-594f-e761-a8d0e2570f2c"),
        49: _follow("0208c6ad-c1de-7234-afdc-9bece0b2ad6b"),
        50: _show_after_failure,
    },
)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
