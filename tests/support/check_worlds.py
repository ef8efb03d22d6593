"""Worlds for checks of VMs on hosts: pool P with one thing changed, and pools of any size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.worlds import get_item


def add_local_data(world: dict[str, Any]) -> None:
    """Scenario 23: the pool's default SR is shared, and v has a data disk on a local one."""
    get_item(world, "vms", "v")["disks"].append({"name": "data", "sr": "local-A", "size": "1 GiB"})


def add_empty_drive(world: dict[str, Any]) -> None:
    """Scenario 29."""
    get_item(world, "vms", "v")["cds"] = [{}]


def lose_network(world: dict[str, Any]) -> None:
    """Scenario 36: v has a second interface on a network that B has no PIF for."""
    world["networks"].append({"name": "dmz", "bridge": "xenbr1"})
    get_item(world, "vms", "v")["vifs"].append("dmz")
    for name in ("A", "C"):
        get_item(world, "hosts", name)["networks"] = ["lan", "dmz"]


def shrink(world: dict[str, Any], **sizes: str) -> None:
    """Give hosts other sizes, as ``B="8 GiB"``."""
    for name, size in sizes.items():
        get_item(world, "hosts", name)["memory"] = size


def write_big_world(path: Path, *, hosts: int, vms: int) -> Path:
    """Write a pool of so many hosts, and VMs spread over them, each with two disks and a drive."""
    names = [f"host-{number:02}" for number in range(hosts)]
    world = {
        "name": "big",
        "networks": [{"name": "lan", "bridge": "xenbr0"}],
        "hosts": [
            {"name": name, "coordinator": name == names[0], "memory": "64 GiB", "networks": ["lan"]} for name in names
        ],
        "storage": [{"name": "S", "type": "nfs", "shared": True, "default": True, "hosts": names}],
        "vms": [
            {
                "name": f"vm-{number:03}",
                "host": names[number % hosts],
                "memory": "1 GiB",
                "disks": [{"name": "root", "sr": "S"}, {"name": "data", "sr": "S"}],
                "cds": [{}],
                "vifs": ["lan"],
            }
            for number in range(vms)
        ],
    }
    path.write_text(json.dumps(world), encoding="utf-8")
    return path
