"""Trace 16: a destination with a lesser CPU, and one with an older version."""

import copy
from typing import Any

from tests.support.recorded import trace
from tests.support.recorded.binding import TOKEN
from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic

NAME = "16_cpu_and_version_mismatch"
LESSER = "00000007-00000007-00000007-00000007"


def make_world() -> dict[str, Any]:
    """Describe the pool after h2 was started with a lesser CPU; only vm-run is left on h1."""
    gone = {key: {"host": None} for key in ("vm_local", "vm_nodisk", "vm_notools", "vm_internal")}
    world = copy.deepcopy(make_lab(vm1={"host": "h2"}, vm_new={}, **gone))
    cpu = world["hosts"][1]["fields"]["cpu_info"]
    cpu |= {name: LESSER for name in cpu if name.startswith("features_")}
    pool_cpu = world["pool"]["cpu_info"]
    pool_cpu |= {name: LESSER for name in pool_cpu if name.startswith("features_")}
    return world


def bring_back(player: Player) -> None:
    """Let vm-run be on h1 again, and h2 be of an older version from now on, as after an upgrade of h1."""
    player.call("VM.pool_migrate", player.vm("vm-run"), player.host("h1"), {"live": "true"})
    store, h2 = player.pool.store, player.host("h2")
    store.update(
        "host", h2, software_version={**store.value("host", h2, "software_version"), "platform_version": "3.2"}
    )


def name_new_vm(player: Player) -> None:
    """Pair the VM that the recorder made for this."""
    recorded = TOKEN.findall(trace.load(NAME)[12].body)[1]
    player.bind_record("VM", recorded, player.vm("vm-new"))


TOPIC = Topic(NAME, make_world(), before={9: bring_back, 12: name_new_vm})


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
