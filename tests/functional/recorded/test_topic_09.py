"""Trace 09: event.from with its tokens, subscriptions and time-outs; register, next and inject."""

import threading
import time
from collections.abc import Callable
from typing import Any

from lmflow.simulator.database.values import NULL
from lmflow.simulator.migrations.migration import set_copy_seconds
from lmflow.simulator.rules import allowed
from tests.support.recorded import trace
from tests.support.recorded.following import wait_until
from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic
from tests.support.recorded.restarting import restart

_MIGRATION = "OpaqueRef:81e74fda-1165-4b4a-e05f-59452f75a505"
_UNREGISTERED = "OpaqueRef:ad2d5ad3-6868-4059-5d6e-b11e72c66367"
_ENDED = "OpaqueRef:780ee8d6-f5e6-49d5-b7b7-4ec4e212a07f"
_ASLEEP = ("vm1", "vm-local", "vm-nodisk", "vm-notools", "vm-internal")
_HARDWARE = {"host_driver": "Host_driver", "driver_variant": "Driver_variant"}


def _prepare(player: Player) -> None:
    """Do what earlier recordings had done: a snapshot, three clones, many messages, at last a migration."""
    store, vm_ref = player.pool.store, player.vm("vm-run")
    _let_guest_tell(player, vm_ref)
    player.call("VM.set_user_version", player.vm("vm1"), 7)
    player.call("VM.set_xenstore_data", player.vm("vm-notools"), {"vm-data/no-tools": "1"})
    for ref in store.value("VM", player.vm("vm-tpl"), "VBDs"):
        player.call("VBD.add_to_other_config", ref, "owner", "")
        store.update("VDI", store.value("VBD", ref, "VDI"), snapshot_time=player.pool.clock.stamp())
    player.call("VM.snapshot", vm_ref, player.name("vm-snap"))
    for _ in range(3):
        player.call("VM.clone", player.vm("vm-halted"), player.name("vm-clone"))
    big = player.vm("vm-big")
    player.call("VM.start_on", big, player.host("h2"), False, False)
    _let_guest_tell(player, big)
    player.call("VM.hard_shutdown", big)
    for name in _ASLEEP:
        _lay_asleep(player, player.vm(name))
    _install_drivers(player)
    restart(player, "h1", "h2")
    player.call("host.set_name_description", player.host("h2"), 'désc <&> "q"\nline2\ttab')
    for ref in store.refs("message"):
        player.call("message.destroy", ref)
    for event in trace.load("09")[0].data["parsed"]["Value"]["events"]:
        if event["class"] == "message":
            message = {name: player.binding.translate(value) for name, value in event["snapshot"].items()
                       if isinstance(value, str)}  # fmt: skip
            fields = {**message, "priority": int(message["priority"]), "timestamp": player.pool.clock.stamp()}
            player.binding.bind(event["ref"], store.create("message", fields))
    set_copy_seconds(player.pool, store.value("VM", vm_ref, "uuid"), 1.0)
    task = player.call("Async.VM.pool_migrate", vm_ref, player.host("h2"), {})
    player.wait_for_task(task)
    player.binding.bind(_MIGRATION, task)
    player.call("message.destroy", store.refs("message")[-1])
    _bind_devices(player)


def _let_guest_tell(player: Player, vm_ref: str) -> None:
    """Write what a guest's agent told, as the recorded ones did."""
    guest = {"os_version": {"name": "Sim Linux"}, "networks": {"0/ip": "192.0.2.10", "0/ipv4/0": "192.0.2.10"}}
    store = player.pool.store
    store.update("VM_guest_metrics", store.value("VM", vm_ref, "guest_metrics"), **guest)


def _lay_asleep(player: Player, vm_ref: str) -> None:
    """Suspend a VM whose memory image was lost since; no call leaves it so."""
    store, vm = player.pool.store, player.pool.store.record("VM", vm_ref)
    player.pool.xenops.destroy(vm["resident_on"], vm["uuid"])
    allowed.update_vm(store, vm_ref, power_state="Suspended", resident_on=NULL)
    metrics = {"hvm": False, "VCPUs_utilisation": {}}
    store.update("VM_metrics", vm["metrics"], **metrics)
    if not store.exists("VM_guest_metrics", vm["guest_metrics"]):
        store.update("VM", vm_ref, guest_metrics=store.create("VM_guest_metrics", {}))
    agent = {"PV_drivers_version": {}, "PV_drivers_up_to_date": False, "PV_drivers_detected": False, "other": {}}
    agent |= {"os_version": {}, "networks": {}, "live": True, "last_updated": player.pool.clock.stamp()}
    store.update("VM_guest_metrics", store.value("VM", vm_ref, "guest_metrics"), **agent)


def _bind_devices(player: Player) -> None:
    """Pair what can be told apart by its owner, before sets of it are compared."""
    store, binding = player.pool.store, player.binding
    events = trace.load("09")[0].data["parsed"]["Value"]["events"]
    made = {name: store.find("VM", name_label=player.name(name)) for name in ("vm-clone", "vm-snap")}
    for event in events:
        name = event["snapshot"].get("name_label")
        if event["class"] == "vm" and name in made:
            binding.bind(event["ref"], made[name].pop(0))
    for event in events:
        record = event["snapshot"]
        if event["class"] in {"vbd", "vif"}:
            cls, key = event["class"].upper(), {"vbd": "userdevice", "vif": "device"}[event["class"]]
            (ours,) = store.find(cls, VM=binding.ours[record["VM"]], **{key: record[key]})
            binding.bind(event["ref"], ours)
            if cls == "VBD":
                binding.bind(record["VDI"], store.value(cls, ours, "VDI"))
        elif event["class"] == "host_cpu":
            (ours,) = store.find("host_cpu", host=binding.ours[record["host"]], number=int(record["number"]))
            binding.bind(event["ref"], ours)


def _install_drivers(player: Player) -> None:
    """Give the hosts the drivers that the recorded ones had; they come with the hardware and the product."""
    store, found = player.pool.store, trace.load("09")[0].data["parsed"]["Value"]["events"]
    mine = [event for event in found if event["class"] in _HARDWARE]
    for event in mine:
        player.binding.bind(event["ref"], store.make_ref())
    for event in mine:
        cls = _HARDWARE[event["class"]]
        kinds = store.schema.classes[cls].fields
        fields = {name: _translate(player, value) for name, value in event["snapshot"].items() if name != "uuid"}
        fields = {name: float(v) if kinds[name].type == "float" else v for name, v in fields.items()}
        store.create(cls, fields, player.binding.ours[event["ref"]])


def _translate(player: Player, value: Any) -> Any:
    if isinstance(value, list):
        return [_translate(player, item) for item in value]
    return player.binding.translate(value) if isinstance(value, str) else value


def _describe(text: str) -> Callable[[Player], None]:
    return lambda player: player.call("VM.set_name_description", player.vm("vm-run"), text)


def _check_boot(player: Player) -> None:
    player.wait_for_task(player.call("Async.VM.assert_can_boot_here", player.vm("vm-run"), player.host("h1")))


def _create_task(player: Player) -> None:
    player.call("task.create", "lab-evt", "")


def _destroy_task(player: Player) -> None:
    player.call("task.destroy", player.pool.store.find("task", name_label="lab-evt")[0])


def _clone_and_destroy(player: Player) -> None:
    player.call("VM.destroy", player.call("VM.clone", player.vm("vm-halted"), "short-lived"))


def _change_while_it_blocks(player: Player) -> None:
    count = 1 + _asked(player)
    while sum(entry.method == "event.from" for entry in player.pool.audit.entries()) < count:
        time.sleep(0.002)
    _describe("later")(player)
    player.wait_for(29)


def _asked(player: Player) -> int:
    return sum(item.index < 29 and item.method == "event.from" for item in TOPIC.items)


def _wait_for_collection(player: Player) -> None:
    """Wait until xapi has just collected: whoever listens to everything is told of the pool then, by chance or not."""
    task = player.call("task.create", "marked", "")
    player.call("task.destroy", task)
    player.call("task.set_status", task, "success")
    wait_until(player, lambda: not player.pool.store.exists("task", task))


def _log_in(recorded: str) -> Callable[[Player], None]:
    return lambda player: player.binding.bind(recorded, player.client.login(keep=False))


def _end_while_it_blocks(player: Player) -> None:
    session = player.client.login(keep=False)
    player.binding.bind(_ENDED, session)
    player.tokens["00000000000000007286,00000000000000000000"] = f"{player.pool.store.generation:020d},{0:020d}"
    before = len(player.pool.audit.entries())

    def log_out() -> None:
        while len(player.pool.audit.entries()) == before:
            time.sleep(0.002)
        player.client.raw("session.logout", session)

    threading.Thread(target=log_out, daemon=True).start()


TOPIC = Topic(
    "09_events",
    make_lab(),
    before={
        0: _prepare,
        16: _describe("d1795404388.922778"),
        17: _check_boot,
        21: _create_task,
        22: _destroy_task,
        23: _clone_and_destroy,
        30: _change_while_it_blocks,
        32: _describe("legacy"),
        35: _wait_for_collection,
        38: _log_in(_UNREGISTERED),
        39: _end_while_it_blocks,
    },
    beside=frozenset({29}),
    given={0: "messages, host drivers and their variants"},
)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
