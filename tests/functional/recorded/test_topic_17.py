"""Trace 17: what may be done to a VM in every power state, and which of its fields a migration changes."""

from typing import Any

from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic
from tests.support.recorded.trace import Item

_GUEST_METRICS = "OpaqueRef:44e8ba5c-9b4e-fa2b-db6b-879a1cc7f4b2"
_SNAPSHOT = "OpaqueRef:5e2f4ffe-e2bf-16fb-7eea-0d05163b3e10"
_GUEST = {"os_version": {"name": "Sim Linux"}, "networks": {"0/ip": "192.0.2.10", "0/ipv4/0": "192.0.2.10"}}


def _prepare(player: Player) -> None:
    vm = player.vm("vm-run")
    player.call("pool.set_suspend_image_SR", player.pool.pool_ref, player.ref("SR", "shared-nfs"))
    player.call("VM.set_name_description", vm, "legacy")
    player.bind_record("VM", _SNAPSHOT, player.call("VM.snapshot", vm, "vm-snap", []))


def _do(name: str) -> Any:
    return lambda player: player.call(name, player.vm("vm-run"))


def _migrate(player: Player, host: str) -> None:
    player.call("VM.pool_migrate", player.vm("vm-run"), player.host(host), {"live": "true"})


def _come_back_and_end(player: Player) -> None:
    _migrate(player, "h1")
    player.call("VM.hard_shutdown", player.vm("vm-run"))


def _leave_one_choice(player: Player) -> None:
    player.call("host.disable", player.host("h2"))


def _leave_both(player: Player) -> None:
    player.call("host.enable", player.host("h2"))


def _bind_guest(player: Player) -> None:
    player.binding.bind(_GUEST_METRICS, player.call("VM.get_guest_metrics", player.vm("vm-run")))


def _show_what_changed(player: Player, item: Item) -> None:
    before, after = (player.answers[index].tree["Value"] for index in (27, 28))  # type: ignore[index, call-overload]
    changed = {name: [before[name].text, after[name].text] for name in before if before[name] != after[name]}
    player.compare_note(item, {"diff": changed}, "history")


def _show_newest_message(player: Player, item: Item) -> None:
    messages = player.call("message.get_all_records")
    newest = max(player.pool.store.refs("message"), key=lambda ref: player.pool.store.created("message", ref))
    shown = {**messages[newest], "timestamp": {"__dateTime__": str(messages[newest]["timestamp"])}}
    player.compare_note(item, {"messages": [shown]})


def _look_after_start(player: Player, item: Item) -> None:
    vm = player.vm("vm-run")
    player.call("VM.hard_shutdown", vm)
    player.call("VM.start", vm, False, False)
    seen = "pool_migrate" in player.call("VM.get_allowed_operations", vm)
    player.compare_note(item, seen, recorded=item.note["seen"][0][1])


TOPIC = Topic(
    "17_allowed_operations",
    make_lab(
        vm_run={"domid": 4, "guest": _GUEST},
        vm_local={"domid": 1},
        vm_nodisk={"domid": 2},
        vm_internal={"domid": 3},
        vm_notools={"host": "h2", "domid": 1},
        vm1=None,
    ),
    before={
        0: _prepare,
        5: _do("VM.pause"),
        10: _do("VM.unpause"),
        18: _come_back_and_end,
        23: _leave_one_choice,
        24: _leave_both,
        26: _bind_guest,
        28: lambda player: _migrate(player, "h2"),
    },
    notes={29: _show_what_changed, 30: _show_newest_message, 31: _look_after_start},
)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
