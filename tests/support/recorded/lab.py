"""The recorded pool as a description of a world, and a second one with other names, counts and order of objects.

What a person or the hardware decided is taken from the recording (``GIVEN``); what XAPI derives is not: the simulated
pool has to come to the same by itself.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Mapping
from typing import Any

from tests.support.recorded import trace

GIVEN = {
    "host": ("software_version", "cpu_info", "license_params", "license_server", "capabilities", "chipset_info"),
    "pool": ("restrictions", "cpu_info", "guest_agent_config", "recommended_guidances"),
    "network": ("name_description", "bridge", "other_config", "MTU"),
    "SR": ("physical_size",),
}
"""Fields that the description gives: what the product's licence, the hardware and the people there made of it."""

MEMORY = "16 GiB"
ADDRESSES = {"10.99.0.1": "127.0.0.1", "10.99.0.2": "127.0.0.2"}


@functools.cache
def records() -> dict[str, tuple[str, dict[str, Any]]]:
    """Give every object that was ever recorded in full: reference -> (class as the API spells it, first record)."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for item in trace.requests("03"):
        value = item.data["parsed"].get("Value")
        if isinstance(value, dict):
            cls = item.method.partition(".")[0]
            for ref, record in value.items():
                found.setdefault(ref, (cls, record))
    spelled = {cls.lower(): cls for cls, _ in found.values()}
    for item in trace.requests("09"):
        value = item.data["parsed"].get("Value")
        for event in value.get("events", []) if isinstance(value, dict) else []:
            if "snapshot" in event:
                found.setdefault(event["ref"], (spelled.get(event["class"], event["class"]), event["snapshot"]))
    return found


def _given(cls: str, name: str) -> dict[str, Any]:
    for found_cls, record in records().values():
        if found_cls == cls and record.get("name_label") == name:
            return {field: copy.deepcopy(record[field]) for field in GIVEN[cls] if field in record}
    raise KeyError(f"no {cls} {name!r} was recorded")


def _disk(name: str, sr: str = "shared-nfs") -> dict[str, Any]:
    return {"name": name, "sr": sr, "size": "1 GiB"}


def _vm(name: str, **changes: Any) -> dict[str, Any]:
    """Describe a VM as the recorded ones were made: 512 MiB, one CPU, a disk of 1 GiB and an interface."""
    return {
        "name": name,
        "memory": "512 MiB",
        "vcpus": 1,
        "disks": [_disk(f"{name}-disk")],
        "vifs": ["Pool-wide network 0"],
        **changes,
    }


def make_lab(**vms: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the recorded pool; ``vms`` changes single VMs: ``vm_run={"host": "h2"}`` (``None`` leaves one out)."""
    known = {
        "vm1": _vm("vm1", host="h1"),
        "vm-run": _vm("vm-run", host="h1"),
        "vm-halted": _vm("vm-halted"),
        "vm-local": _vm("vm-local", host="h1", disks=[_disk("vm-local-disk", "Local storage")]),
        "vm-nodisk": _vm("vm-nodisk", host="h1", disks=[]),
        "vm-big": _vm("vm-big", memory="12000 MiB"),
        "vm-notools": _vm("vm-notools", host="h1", drivers=False),
        "vm-internal": _vm("vm-internal", host="h1", vifs=["priv-h1"]),
        "vm-big2": _vm("vm-big2", memory="12000 MiB"),
        "vm-tpl": _vm("vm-tpl", is_a_template=True, disks=[_disk("vm-halted-disk")]),
    }
    for name, change in vms.items():
        known_name = name.replace("_", "-")
        if change is None:
            known.pop(known_name)
        else:
            known[known_name] = {**known.get(known_name, _vm(known_name)), **change}
    networks = ("Pool-wide network 0", "Host internal management network", "priv-h1")
    return {
        "name": "lab-pool",
        "pool": {"name": "lab-pool", **_given("pool", "lab-pool")},
        "networks": [{"name": name, "fields": _given("network", name)} for name in networks],
        "hosts": [_host("h1", coordinator=True), _host("h2")],
        "storage": [
            {"name": "shared-nfs", "shared": True, "default": True, "hosts": ["h1", "h2"], "type": "nfs",
             "fields": _given("SR", "shared-nfs")},
            {"name": "Local storage", "hosts": ["h1"], "type": "ext", "fields": _given("SR", "Local storage")},
        ],
        "vms": list(known.values()),
    }  # fmt: skip


def _host(name: str, **more: Any) -> dict[str, Any]:
    networks = ["Pool-wide network 0"]
    return {"name": name, "memory": MEMORY, "cpus": 4, "networks": networks, "fields": _given("host", name), **more}


NAMES = {
    "h1": "castor",
    "h2": "pollux",
    "lab-pool": "harbour",
    "shared-nfs": "vault",
    "Local storage": "scratch of castor",
    "Pool-wide network 0": "office",
    "priv-h1": "cellar",
    "vm1": "mail",
    "vm-run": "shop",
    "vm-halted": "archive",
    "vm-local": "scanner",
    "vm-nodisk": "kiosk",
    "vm-big": "warehouse",
    "vm-notools": "printer",
    "vm-internal": "ledger",
    "vm-big2": "warehouse two",
    "vm-tpl": "golden image",
}
"""What is called otherwise in the second world; disks are called after their VMs."""

OTHER_NAMES = {**NAMES, **{f"{vm}-disk": f"{NAMES[vm]} boot" for vm in NAMES if vm.startswith("vm")}}


def make_other(lab: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the same pool with other names, more objects and another order; addresses differ as well."""
    made = _renamed(copy.deepcopy(dict(lab)))
    more_vms = [
        _vm("idle one", disks=[{"name": "idle disk", "sr": "attic", "size": "3 GiB"}], vifs=["office", "quay"]),
        _vm("idle two", disks=[{"name": "idle disk 2", "sr": "attic", "size": "4 GiB"}], vifs=[], vcpus=3),
    ]
    made["networks"] = [{"name": "quay"}, *reversed(made["networks"])]
    # Disabled, so that it is no destination for anybody: the recorded answers speak of two hosts.
    third = {"name": "spare", "memory": "24 GiB", "cpus": 2, "networks": ["office", "quay"], "enabled": False}
    third["fields"] = copy.deepcopy(made["hosts"][1]["fields"])
    made["hosts"] = [third, *reversed(made["hosts"])]
    made["storage"] = [{"name": "attic", "hosts": ["spare"]}, *reversed(made["storage"])]
    for sr in made["storage"]:
        if sr["name"] == "vault":
            sr["hosts"] = ["spare", *sr["hosts"]]
    made["vms"] = [more_vms[0], *reversed(made["vms"]), more_vms[1]]
    return made


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {OTHER_NAMES.get(k, k): _renamed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    return OTHER_NAMES.get(value, value) if isinstance(value, str) else value


def is_extra(name: str) -> bool:
    """Tell whether an object is one that only the second world has."""
    return re.match(r"idle|spare|attic|quay|Control domain on host: spare", name) is not None
