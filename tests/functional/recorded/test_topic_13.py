"""Trace 13: hosts disabled, enabled and emptied."""

import itertools
from collections.abc import Iterable
from typing import Any

from lmflow.simulator.migrations import migration
from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic
from tests.support.recorded.restarting import restart
from tests.support.recorded.trace import Item

HELD = ("vm-local", "vm-notools", "vm-internal")
MOVED = ("vm-run", "vm-nodisk")


def restart_h1(player: Player) -> None:
    """Start the toolstack of h1 anew: its CPUs become other objects, and it has found its local storage."""
    before = player.pool.store.value("host", player.host("h1"), "host_CPUs")
    for ours in before:
        player.binding.ours.pop(player.binding.recorded.pop(ours))
    restart(player, "h1")
    assert not set(before) & set(player.pool.store.value("host", player.host("h1"), "host_CPUs"))


def stop_what_is_held(player: Player) -> None:
    for name in HELD:
        player.call("VM.hard_shutdown", player.vm(name))


def evacuate_already(player: Player) -> None:
    """Begin the evacuation that was under way already; its migrations came first, and stand until they are watched."""
    store = player.pool.store
    for name in MOVED:
        vm_uuid = store.value("VM", player.vm(name), "uuid")
        migration.add_phase_fault(player.pool, {"phase": "copy", "kind": "hold", "vm": vm_uuid})
    player.call("Async.host.evacuate", player.host("h1"))
    with store.changed:
        begun = store.changed.wait_for(
            lambda: all(store.value("VM", player.vm(name), "current_operations") for name in MOVED), 30
        )
    assert begun


def _states(samples: Iterable[Any]) -> list[Any]:
    return [state for state, _ in itertools.groupby(samples)]


def _from_first_move(states: list[list[Any]]) -> list[list[Any]]:
    """Drop what was before the moves had begun; a sample can fall into that instant or not."""
    return list(itertools.dropwhile(lambda state: state[0] == "pending" and state[-1] == 0, states))


def _recorded(note: dict[str, Any]) -> dict[str, Any]:
    tasks = [row[1] for row in note["history"]]
    return {
        "final": note["final"],
        "history of the task": _from_first_move(_states(map(_task_state, tasks))),
        "history of the VM": _states(read_place(row[2][0]) for row in note["history"]),
        "history of the host": _states(len(row[2][2]) for row in note["history"]),
    }


def _task_state(task: dict[str, Any]) -> list[Any]:
    has_moves = min(1, len(task["subtasks"]))
    return [task["status"], task["result"], task["error_info"], task["allowed_operations"], has_moves]


def read_place(text: str) -> list[str]:
    """Read ``('Running', 'h1')``."""
    return [part.strip(" '") for part in text.strip("()").split(",")]


def follow(player: Player, item: Item) -> None:
    """Watch the evacuation whose task the item before this one gave, at every change of the database."""
    store = player.pool.store
    seen = player.answers[item.index - 1].tree
    assert isinstance(seen, dict)
    task_ref, vm, host = seen["Value"].text, player.vm("vm-run"), player.host("h1")
    names = {player.host(name): player.name(name) for name in ("h1", "h2")}
    tasks, places, evacuations = [], [], []
    with store.changed:
        while not tasks or tasks[-1][0] == "pending":
            tasks.append(_task_state(store.record("task", task_ref)))
            places.append([store.value("VM", vm, "power_state"), names[store.value("VM", vm, "resident_on")]])
            under_way = store.value("host", host, "current_operations").values()
            evacuations.append(list(under_way).count("evacuate"))
            player.pool.xenops.released.set()
            if tasks[-1][0] == "pending":
                assert store.changed.wait(30), "the evacuation stands"
    found = {
        "final": player.call("task.get_record", task_ref),
        "history of the task": _from_first_move(_states(tasks)),
        "history of the VM": _states(places),
        "history of the host": _states(evacuations),
    }
    player.compare_note(item, found, recorded=_recorded(item.note))


TOPIC = Topic(
    "13_host_ops_evacuate",
    make_lab(vm1={"host": "h2"}),
    before={1: restart_h1, 9: stop_what_is_held, 10: evacuate_already},
    notes={11: follow},
)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
