"""Trace 21: the witness, a session ended by somebody else, the attempt header, JSON-RPC on the same session."""

import datetime
from typing import Any

import pytest

from lmflow.simulator.hosts.xenops import XenopsTask
from lmflow.simulator.migrations.migration import set_copy_seconds
from tests.support.recorded import trace
from tests.support.recorded.following import wait_until
from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic
from tests.support.recorded.reading import read_body

_TASK = "OpaqueRef:acdc8d63-8cf2-9ee6-4e06-8a0f2770780d"
_OWNER = "OpaqueRef:cb89d147-5496-751d-dade-3f0a15fe5181"
_IDLE_LISTS = {"h1": (6, 202), "h2": (16, 150)}
"""The items that list what each xenopsd had done before, and the number of its next task."""
_LATER_LISTS = {"h1": (30, 36), "h2": (33, 39)}
"""The same lists during the copy and after it: what is new in them is derived."""
_ROUNDED_SECONDS = 1.0
"""What the two dates of a task, whole seconds, can be off by."""
_END = 40
"""The task's record after its end."""


def _prepare(player: Player) -> None:
    vm_ref, store = player.vm("vm-run"), player.pool.store
    set_copy_seconds(player.pool, store.value("VM", vm_ref, "uuid"), 6.0)
    player.call("VM.snapshot", vm_ref, "vm-snap")
    player.call("VM.hard_shutdown", vm_ref)
    player.call("VM.start_on", vm_ref, player.host("h2"), False, False)
    player.call("VM.set_name_description", vm_ref, "legacy")
    guest = {"os_version": {"name": "Sim Linux"}, "networks": {"0/ip": "192.0.2.10", "0/ipv4/0": "192.0.2.10"}}
    # What the guest's agent told, and what the two xenopsd had done, has no call.
    store.update("VM_guest_metrics", store.value("VM", vm_ref, "guest_metrics"), **guest)
    for host, (index, next_id) in _IDLE_LISTS.items():
        known = player.pool.xenops.on(player.host(host))
        for task in trace.load("21")[index].data["parsed"]["Value"]:
            duration = task["state"][1]["duration"]
            done = XenopsTask(int(task["id"]), task["dbg"], task["ctime"], state="Completed", duration=duration)
            known.tasks.append(done)
        known.next_task_id = next_id


def _log_in_owner(player: Player) -> None:
    player.binding.bind(_OWNER, player.client.login(originator="lmflow-owner-1", keep=False))


def _wait_for_copy(player: Player) -> None:
    task = player.binding.translate(_TASK)
    wait_until(player, lambda: bool(player.pool.store.value("task", task, "progress") > 0))


def _wait_for_end(player: Player) -> None:
    player.wait_for_task(player.binding.translate(_TASK))


TOPIC = Topic(
    "21_witness_fence_header",
    make_lab(vm1=None, vm_run={"host": "h2"}, vm_local={"host": None}),
    time_scale=10.0,
    is_steady=True,
    given={
        index: f"what the xenopsd of {host} had done before, and the number of its next task"
        for host, (idle, _) in _IDLE_LISTS.items()
        for index in (idle, *_LATER_LISTS[host])
    },
    before={0: _prepare, 20: _log_in_owner, 27: _wait_for_copy, 34: _wait_for_end},
)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))


@pytest.mark.parametrize("world", ["recorded", "second"])
def test_the_migration_took_as_long(request: pytest.FixtureRequest, world: str) -> None:
    answer = request.getfixturevalue(world)[_END]
    seconds, wanted = (_lasted(tree) for tree in (answer.tree, read_body(answer.item.response["body"])))
    assert wanted / 2 - _ROUNDED_SECONDS <= seconds <= wanted * 2 + _ROUNDED_SECONDS


def _lasted(reply: Any) -> float:
    moments = (reply["Value"][name].text for name in ("created", "finished"))
    created, finished = (datetime.datetime.strptime(text, "%Y%m%dT%H:%M:%S%z") for text in moments)
    return (finished - created).total_seconds()
