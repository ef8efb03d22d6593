"""Makes descriptions of large pools: as varied as those of people, and the same each time for a seed.

Names, sizes and what is odd about a VM are drawn from the seed; the number of hosts and of VMs is exact.
"""

from __future__ import annotations

import random
import re
from typing import Any

_SIZE = re.compile(r"generated:(\d+)x(\d+)")
_BIG = (64, 5000)
_HOST_MEMORY_GIB = 1024
_RESERVE_GIB = 16
_MEMORY_GIB = (1, 1, 2, 2, 4, 8)
_SITES = ("ams", "ber", "cph", "dub", "fra", "lis", "osl", "zrh")
_ROLES = ("app", "cache", "db", "files", "mail", "mon", "queue", "web")
_TAGS = ("backup", "critical", "dev", "prod", "test")
_ISOS = ("debian-13.iso", "guest-tools.iso", "rescue.iso", "windows-2025.iso")
_SYSTEMS = (
    {"name": "Debian GNU/Linux 13", "distro": "debian", "major": "13"},
    {"name": "Ubuntu 26.04", "distro": "ubuntu", "major": "26"},
    {"name": "Microsoft Windows Server 2025", "distro": "windows", "major": "10"},
)
_RARE_STATES = {7: "Paused", 11: "Suspended", 13: "Halted"}
"""Power states by the last digits of a VM's number, so that a small pool has them all."""
_VLANS = {"net-20": 20, "net-30": 30, "net-40": 40}
_FEATURES = "1fc9cbf5-f6f83203-2991cbf5-00000123-00000001-00000329-00000000-00000000"
_OLDER_FEATURES = "1fc9cbf5-f6f83203-2991cbf5-00000123-00000001-00000000-00000000-00000000"

Item = dict[str, Any]


def parse_size(name: str) -> tuple[int, int] | None:
    """Read ``generated:HOSTSxVMS`` or ``big``; None for any other name."""
    found = _SIZE.fullmatch(name)
    if found is not None:
        return int(found.group(1)), int(found.group(2))
    return _BIG if name == "big" else None


def make_big_world(hosts: int, vms: int, seed: int = 1) -> Item:
    """Make the description of a pool of so many hosts and VMs; templates and snapshots are among the VMs.

    ValueError for more hosts than there are addresses, or none.
    """
    if not 1 <= hosts <= 254:
        raise ValueError(f"a generated pool has 1 to 254 hosts, not {hosts}")
    return _Generator(hosts, vms, seed).make()


class _Generator:
    """Draws one world."""

    def __init__(self, hosts: int, vms: int, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose, nothing here is secret
        self._name = f"generated-{hosts}x{vms}-{seed}"
        self._count = vms
        site = self._random.choice(_SITES)
        self._hosts = [f"{site}-{number:03d}" for number in range(1, hosts + 1)]
        self._free = dict.fromkeys(self._hosts, float(_HOST_MEMORY_GIB - _RESERVE_GIB))
        self._shared = ["nfs-1", "nfs-2", "iscsi-1", "fc-1"]
        self._snapshots: list[Item] = []

    def make(self) -> Item:
        """Give the description."""
        vms = [self._make_template(number) for number in range(min(4, self._count // 20))]
        while len(vms) + len(self._snapshots) < self._count:
            vms.append(self._make_vm(len(vms) + 1, may_have_snapshot=len(vms) + len(self._snapshots) + 1 < self._count))
        return {
            "name": self._name,
            "pool": {"name": self._name, "tags": ["generated"]},
            "networks": [
                {"name": "management", "bridge": "xenbr0"},
                {"name": "storage", "bridge": "xenbr1"},
                *({"name": name, "bridge": f"xapi{vlan}"} for name, vlan in _VLANS.items()),
                {"name": "inside", "bridge": "xapi0", "other_config": {"automatic": "false"}},
            ],
            "hosts": [self._make_host(number, name) for number, name in enumerate(self._hosts)],
            "storage": self._make_storage(),
            "vms": [*vms, *self._snapshots],
        }

    def _make_host(self, number: int, name: str) -> Item:
        vlans = [{"network": network, "vlan": vlan} for network, vlan in _VLANS.items()]
        older = self._random.random() < 0.2 and number > 0
        return {
            "name": name,
            "coordinator": number == 0,
            "memory": f"{_HOST_MEMORY_GIB} GiB",
            "cpus": 32,
            "dom0_memory": "8 GiB",
            "cpu": {"features": _OLDER_FEATURES if older else _FEATURES},
            "networks": ["management", "storage", *vlans],
            "tags": [f"rack-{number // 16 + 1}"],
        }

    def _make_storage(self) -> list[Item]:
        shared: list[Item] = [
            {"name": "nfs-1", "type": "nfs", "default": True},
            {"name": "nfs-2", "type": "nfs"},
            {"name": "iscsi-1", "type": "lvmoiscsi"},
            {"name": "fc-1", "type": "lvmohba"},
        ]
        everywhere: list[Item] = [{"shared": True, "size": "400 TiB", "hosts": self._hosts, **item} for item in shared]
        isos: Item = {"name": "isos", "type": "iso", "content_type": "iso", "shared": True, "hosts": self._hosts}
        local: list[Item] = [
            {"name": f"local-{host}", "type": "ext", "size": "4 TiB", "hosts": [host]} for host in self._hosts
        ]
        return [*everywhere, isos, *local]

    def _make_template(self, number: int) -> Item:
        system = _SYSTEMS[number % len(_SYSTEMS)]
        return {
            "name": f"{system['name']} template {number}",
            "is_a_template": True,
            "is_default_template": number == 0,
            "memory": "1 GiB",
            "disks": [{"name": "root", "sr": self._shared[0]}] if number else [],
            "vifs": ["management"],
            "other_config": {"base_template_name": str(system["name"])},
        }

    def _make_vm(self, number: int, *, may_have_snapshot: bool) -> Item:
        draw = self._random
        name = f"{draw.choice(_ROLES)}-{number:05d}"
        gib = draw.choice(_MEMORY_GIB)
        item: Item = {
            "name": name,
            "memory": {"static_max": f"{gib} GiB", "dynamic_min": f"{gib * 512 if gib > 1 else 1024} MiB"},
            "vcpus": draw.choice((1, 2, 2, 4)),
            "vifs": draw.sample(("management", *_VLANS), draw.choice((1, 1, 2))),
            "tags": draw.sample(_TAGS, draw.choice((0, 1, 2))),
            "other_config": {"owner": f"team-{draw.randrange(20)}"},
        }
        if draw.random() < 0.1:
            item["affinity"] = draw.choice(self._hosts)
        if draw.random() < 0.02:
            item["blocked_operations"] = {"destroy": "kept by its owner"}
        self._place(item, number, gib)
        item["disks"] = self._make_disks(item)
        if draw.random() < 0.3:
            item["cds"] = [{} if draw.random() < 0.6 else {"sr": "isos", "iso": draw.choice(_ISOS)}]
        if may_have_snapshot and number % 33 == 0:
            self._snapshots.append(self._make_snapshot(item, len(self._snapshots) + 1))
        return item

    def _place(self, item: Item, number: int, gib: int) -> None:
        """Let a VM run, pause, be suspended or halted; one for which no host has room is halted."""
        draw = self._random
        state = _RARE_STATES.get(number % 50) or draw.choices(("Running", "Halted"), (88, 12))[0]
        if state in {"Running", "Paused"}:
            hosts = [host for host in draw.sample(self._hosts, min(4, len(self._hosts))) if self._free[host] > gib]
            if not hosts:
                return
            item["host"] = max(hosts, key=lambda host: self._free[host])
            # A guest's own overhead stays below this for every size that is drawn.
            self._free[item["host"]] -= gib + 0.125
            item["drivers"] = draw.random() > 0.05
            item["guest"] = {"os_version": draw.choice(_SYSTEMS)}
        item["power_state"] = state

    def _make_disks(self, item: Item) -> list[Item]:
        draw = self._random
        sr = draw.choice(self._shared)
        if item.get("host") and draw.random() < 0.05:
            sr = f"local-{item['host']}"
        root = {"name": "root", "sr": sr, "size": f"{draw.choice((10, 20, 40))} GiB"}
        data = {"name": "data", "sr": draw.choice(self._shared), "size": f"{draw.choice((50, 100, 200))} GiB"}
        return [root, data] if draw.random() < 0.3 else [root]

    @staticmethod
    def _make_snapshot(item: Item, number: int) -> Item:
        kept = {key: item[key] for key in ("memory", "vcpus", "disks", "vifs", "tags")}
        return {"name": f"{item['name']} snapshot {number}", "snapshot_of": item["name"], **kept}
