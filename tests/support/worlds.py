"""The pool P of the acceptance scenarios, with changes: hosts A (coordinator), B, C, a shared SR S, a VM v on A."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FEATURES = "1fc9cbf5-f6f83203-2991cbf5-00000123-00000001-00000329-00000000-00000000"

P: dict[str, Any] = {
    "name": "P",
    "networks": [{"name": "lan", "bridge": "xenbr0"}],
    "hosts": [
        {"name": name, "memory": "32 GiB", "networks": ["lan"], "cpu": {"features": FEATURES}, **extra}
        for name, extra in (("A", {"coordinator": True}), ("B", {}), ("C", {}))
    ],
    "storage": [
        {
            "name": "S",
            "type": "nfs",
            "shared": True,
            "default": True,
            "hosts": {"A": "plugged", "B": "plugged", "C": "plugged"},
        },
        {"name": "local-A", "type": "ext", "shared": False, "hosts": {"A": "plugged"}},
    ],
    "vms": [
        {
            "name": "v",
            "host": "A",
            "memory": "1 GiB",
            "cpu_features_of": "A",
            "copy_seconds": 30,
            "disks": [{"name": "root", "sr": "S", "size": "10 GiB"}],
            "vifs": ["lan"],
        }
    ],
}


def get_item(world: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """Return the part of a world of that kind and name, to be changed in place."""
    item: dict[str, Any] = next(i for i in world[kind] if i["name"] == name)
    return item


def write_world(path: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Write P, changed, to a file that the simulator reads."""
    world = copy.deepcopy(P)
    if change is not None:
        change(world)
    path.write_text(json.dumps(world), encoding="utf-8")
    return path
