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

from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.typecheck import accept
from lmflow.simulator.database.values import DateTime
from tests.support.recorded import trace

SCHEMA = Schema.load()
GIVEN = {
    "host": (
        "software_version",
        "cpu_info",
        "license_params",
        "license_server",
        "capabilities",
        "chipset_info",
        "ssh_expiry",
    ),
    "PIF": ("MAC", "netmask", "igmp_snooping_status"),
    "PIF_metrics": ("carrier", "speed", "duplex"),
    "SM": ("name_label", "name_description", "vendor", "copyright", "features", "capabilities", "driver_filename"),
    "pool": ("restrictions", "cpu_info", "guest_agent_config", "recommended_guidances"),
    "network": ("name_description", "bridge", "other_config", "MTU"),
    "SR": ("physical_size", "name_description"),
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


def _given(cls: str, name: str, key: str = "name_label") -> dict[str, Any]:
    for found_cls, record in records().values():
        if found_cls == cls and record.get(key) == name:
            types = {field: SCHEMA.classes[cls].fields[field].type for field in GIVEN[cls] if field in record}
            # XML-RPC gave integers as text; a description has them as numbers.
            return {field: _read(kind, record[field]) for field, kind in types.items()}
    raise KeyError(f"no {cls} {name!r} was recorded")


def _disk(name: str, sr: str = "shared-nfs") -> dict[str, Any]:
    return {"name": name, "sr": sr, "size": "1 GiB"}


def read_record(cls: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Give a recorded record with values of the types that the database has."""
    return {name: _read(SCHEMA.classes[cls].fields[name].type, value) for name, value in record.items()}


def _read(kind: str, value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"__dateTime__"}:
        return DateTime(value["__dateTime__"])
    return accept(SCHEMA, kind, copy.deepcopy(value))


def _interface(host: str) -> dict[str, Any]:
    """Give what the hardware and the network below XAPI made of a host's interface."""
    host_ref = next(ref for ref, (cls, record) in records().items() if cls == "host" and record["name_label"] == host)
    pif = next(record for cls, record in records().values() if cls == "PIF" and record["host"] == host_ref)
    metrics_uuid = records()[pif["metrics"]][1]["uuid"]
    return {
        "network": "Pool-wide network 0",
        "fields": _given("PIF", pif["uuid"], "uuid"),
        "metrics": _given("PIF_metrics", metrics_uuid, "uuid"),
    }


def _plugins() -> list[dict[str, Any]]:
    """Give the storage plug-ins that were installed."""
    kinds = [record["type"] for cls, record in records().values() if cls == "SM"]
    return [{"type": kind, "fields": _given("SM", kind, "type")} for kind in kinds]


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
        "plugins": _plugins(),
        "storage": [
            {"name": "shared-nfs", "shared": True, "default": True, "hosts": ["h1", "h2"], "type": "nfs",
             "device_config": {"server": ADDRESSES["10.99.0.1"], "serverpath": "/exports"},
             "fields": _given("SR", "shared-nfs")},
            {"name": "Local storage", "hosts": ["h1"], "type": "ext",
             "device_config": {"device": "/dev/sdb"}, "fields": _given("SR", "Local storage")},
        ],
        "vms": list(known.values()),
    }  # fmt: skip


def _host(name: str, **more: Any) -> dict[str, Any]:
    about = {"memory": MEMORY, "cpus": 4, "other_config": {"no_local_storage": "true"}}
    return {"name": name, **about, "networks": [_interface(name)], "fields": _given("host", name), **more}


def make_early_lab() -> dict[str, Any]:
    """Describe the pool as it was when nothing but ``vm1`` had been made."""
    later = ("vm_run", "vm_halted", "vm_local", "vm_nodisk", "vm_big", "vm_notools", "vm_internal", "vm_big2", "vm_tpl")
    made = make_lab(**dict.fromkeys(later))
    guest = {"os_version": {"name": "Sim Linux"}, "networks": {"0/ip": "192.0.2.10", "0/ipv4/0": "192.0.2.10"}}
    made["vms"] = [{**vm, "host": "h2", "domid": 2, "guest": guest} for vm in made["vms"]]
    made["networks"] = [network for network in made["networks"] if network["name"] != "priv-h1"]
    return made


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
