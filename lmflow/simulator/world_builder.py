"""Turns the description of a world into objects of the pool's database.

A description is a JSON object; amounts of memory and disk are bytes or text like ``2 GiB``:

- ``name``; ``pool``: fields of the pool object;
- ``networks``: name, bridge, other_config;
- ``hosts``: name, coordinator, memory, cpus, cpu {vendor, features}, version {product_version, ...}, enabled, live,
  networks (a PIF on each, the first is the management interface), dom0_memory;
- ``storage``: name, type, shared, default, content_type, size, hosts: a list, or {host: plugged | unplugged};
- ``vms``: name, host, power_state (Running if it has a host, else Halted), memory, vcpus, disks [{name, sr, size}],
  cds [{} or {iso, sr}], vifs [network], drivers, cpu_features or cpu_features_of a host, domain_type, pv_kernel,
  pv_ramdisk, pv_bootloader, nomigrate, nested_virt, is_a_template, is_a_snapshot, blocked_operations, other_config,
  copy_seconds.

Hosts, networks, storage and VMs may also have ``uuid`` and ``fields``, which override the object's own.
"""

from __future__ import annotations

import re
import uuid as uuids
from collections.abc import Mapping
from typing import Any

from lmflow.simulator import allowed, memory, world_defaults
from lmflow.simulator.clock import Clock
from lmflow.simulator.store import Store
from lmflow.simulator.values import NULL
from lmflow.simulator.world_rules import ImpossibleWorldError

_NAMESPACE = uuids.UUID("6e1d9c0e-3c64-4d0c-9a51-5bb1f0a4d2f7")
_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}

Item = Mapping[str, Any]


def parse_bytes(text: str | int) -> int:
    """Read ``2 GiB`` or a plain number of bytes; ImpossibleWorldError when it is neither."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]iB|B|)\s*", str(text))
    if found is None:
        raise ImpossibleWorldError(f"{text!r} is no amount of bytes.")
    return int(float(found.group(1)) * _UNITS[found.group(2)])


class WorldBuilder:
    """Creates what a description names; ImpossibleWorldError where one part names another that is not there."""

    def __init__(self, store: Store, clock: Clock, description: Item) -> None:
        self.store = store
        self.copy_seconds: dict[str, float] = {}
        self._clock = clock
        self._description = description
        self._name = str(description.get("name", "world"))
        self._refs: dict[tuple[str, str], str] = {}
        self._plugged: set[tuple[str, str]] = set()

    def build(self) -> None:
        """Create everything, hosts first."""
        hosts = list(self._description.get("hosts", ()))
        coordinators = [host["name"] for host in hosts if host.get("coordinator")]
        if len(coordinators) != 1:
            raise ImpossibleWorldError(f"A pool has one coordinator, not {len(coordinators)} {coordinators}.")
        hosts.sort(key=lambda host: not host.get("coordinator"))
        for item in self._description.get("networks", ()):
            self._build_network(item)
        for index, item in enumerate(hosts):
            self._build_host(item, f"127.0.0.{index + 1}")
        for item in self._description.get("storage", ()):
            self._build_sr(item)
        self._build_pool(coordinators[0])
        for item in self._description.get("vms", ()):
            self._build_vm(item)

    def _uuid(self, cls: str, name: str) -> str:
        return str(uuids.uuid5(_NAMESPACE, f"{self._name}/{cls}/{name}"))

    def _add(self, cls: str, name: str, fields: Item, item: Item | None = None) -> str:
        if item is not None and (cls, name) in self._refs:
            raise ImpossibleWorldError(f"There are two of {cls} {name}.")
        extra = dict(item.get("fields", {})) if item else {}
        uuid = str(item["uuid"]) if item and "uuid" in item else self._uuid(cls, name)
        try:
            ref = self.store.create(cls, {"uuid": uuid, **fields, **extra})
        except KeyError as error:
            raise ImpossibleWorldError(str(error)) from None
        if item is not None:
            self._refs[cls, name] = ref
        return ref

    def _get(self, cls: str, name: str, user: str) -> str:
        try:
            return self._refs[cls, name]
        except KeyError:
            raise ImpossibleWorldError(f"{user} names an unknown {cls} {name!r}.") from None

    def _build_network(self, item: Item) -> None:
        fields = {
            "name_label": item["name"],
            "bridge": item.get("bridge", f"xapi-{item['name']}"),
            "MTU": 1500,
            "managed": True,
            "other_config": dict(item.get("other_config", {})),
        }
        self._add("network", item["name"], fields, item)

    def _build_host(self, item: Item, address: str) -> None:
        name, now = item["name"], self._clock.now()
        total = parse_bytes(item.get("memory", "64 GiB"))
        metrics = {"memory_total": total, "memory_free": 0, "live": item.get("live", True)}
        metrics_ref = self._add("host_metrics", name, {**metrics, "last_updated": self._clock.stamp()})
        fields = world_defaults.host_fields(name, address, item, now) | {"metrics": metrics_ref}
        host_ref = self._add("host", name, fields, item)
        for number in range(item.get("cpus", world_defaults.CPUS)):
            cpu = {"host": host_ref, "number": number, "vendor": "GenuineIntel", "speed": 2400, "family": 6}
            self._add("host_cpu", f"{name}/{number}", cpu)
        for index, network in enumerate(item.get("networks", ())):
            pif = world_defaults.pif_fields(index, address if index == 0 else "", f"{name}/{network}")
            pif |= {"host": host_ref, "network": self._get("network", network, f"Host {name}")}
            metrics_of_pif = self._add("PIF_metrics", f"{name}/{network}", {"carrier": True, "speed": 10_000})
            self._add("PIF", f"{name}/{network}", pif | {"metrics": metrics_of_pif})
        control = world_defaults.control_domain_fields(name, host_ref, parse_bytes(item.get("dom0_memory", "2 GiB")))
        vm_metrics = {"memory_actual": control["memory_static_max"], "VCPUs_number": 2, "current_domain_type": "pv"}
        control["metrics"] = self._add("VM_metrics", f"dom0/{name}", vm_metrics)
        dom0_ref = self._add("VM", f"dom0/{name}", control)
        self.store.update("host", host_ref, control_domain=dom0_ref)
        allowed.update_vm(self.store, dom0_ref)

    def _build_sr(self, item: Item) -> None:
        name = item["name"]
        hosts = item.get("hosts", {})
        states = dict.fromkeys(hosts, "plugged") if isinstance(hosts, list) else dict(hosts)
        shared = bool(item.get("shared", False))
        if not shared and len(states) > 1:
            raise ImpossibleWorldError(f"SR {name} is local and yet joined to {len(states)} hosts.")
        fields = {
            "name_label": name,
            "name_description": item.get("description", ""),
            "type": item.get("type", "nfs" if shared else "ext"),
            "content_type": item.get("content_type", "user"),
            "shared": shared,
            "physical_size": parse_bytes(item.get("size", "2 TiB")),
        }
        sr_ref = self._add("SR", name, fields, item)
        for host, state in states.items():
            if state not in {"plugged", "unplugged"}:
                raise ImpossibleWorldError(f"The PBD of SR {name} on {host} is {state!r}, not plugged or unplugged.")
            pbd = {
                "host": self._get("host", host, f"SR {name}"),
                "SR": sr_ref,
                "device_config": dict(item.get("device_config", {"server": "192.0.2.5", "serverpath": f"/{name}"})),
                "currently_attached": state == "plugged",
            }
            self._add("PBD", f"{name}/{host}", pbd)

    def _build_pool(self, coordinator: str) -> None:
        storage = self._description.get("storage", ())
        default = next((item["name"] for item in storage if item.get("default")), None)
        settings = dict(self._description.get("pool", {}))
        fields = {
            "name_label": settings.pop("name", self._name),
            "master": self._get("host", coordinator, "The pool"),
            "default_SR": self._refs["SR", default] if default else NULL,
            "other_config": {"memory-ratio-hvm": "0.25", "memory-ratio-pv": "0.25", **settings.pop("other_config", {})},
        }
        self._add("pool", self._name, fields, {"fields": settings})

    def _build_vm(self, item: Item) -> None:
        name = item["name"]
        power_state = item.get("power_state", "Running" if item.get("host") else "Halted")
        placed = power_state in {"Running", "Paused"}
        if placed and not item.get("host"):
            raise ImpossibleWorldError(f"VM {name} is {power_state} but resident on no host.")
        if not placed and item.get("host"):
            raise ImpossibleWorldError(f"VM {name} is {power_state} and yet resident on {item['host']}.")
        host_ref = self._get("host", item["host"], f"VM {name}") if placed else NULL
        fields = world_defaults.vm_fields(item, parse_bytes(item.get("memory", "1 GiB")), power_state)
        fields |= {"resident_on": host_ref, "last_boot_CPU_flags": self._cpu_flags(item, host_ref)}
        fields |= self._vm_metrics(name, item, fields, placed=placed)
        vm_ref = self._add("VM", name, fields, item)
        if "copy_seconds" in item:
            self.copy_seconds[self.store.value("VM", vm_ref, "uuid")] = float(item["copy_seconds"])
        for index, disk in enumerate(item.get("disks", ())):
            self._build_disk(name, vm_ref, index, disk, attached=placed)
        for index, drive in enumerate(item.get("cds", ())):
            self._build_drive(name, vm_ref, len(item.get("disks", ())) + index, drive, attached=placed)
        for index, network in enumerate(item.get("vifs", ())):
            vif = world_defaults.vif_fields(index, f"{self._name}/{name}/{index}", attached=placed)
            vif |= {"VM": vm_ref, "network": self._get("network", network, f"VM {name}")}
            self._add("VIF", f"{name}/{index}", vif)
        allowed.update_vm(self.store, vm_ref)

    def _cpu_flags(self, item: Item, host_ref: str) -> dict[str, str]:
        if item.get("cpu_features_of"):
            host_ref = self._get("host", item["cpu_features_of"], f"VM {item['name']}")
        if host_ref == NULL and "cpu_features" not in item:
            return {}
        cpu = self.store.value("host", host_ref, "cpu_info") if host_ref != NULL else {}
        features = item.get("cpu_features", cpu.get("features_hvm", ""))
        return {"vendor": item.get("cpu_vendor", cpu.get("vendor", "GenuineIntel")), "features": features}

    def _vm_metrics(self, name: str, item: Item, vm: Item, *, placed: bool) -> dict[str, str]:
        metrics = world_defaults.vm_metrics_fields(vm, self._clock.stamp(), item, placed=placed)
        refs = {"metrics": self._add("VM_metrics", name, metrics)}
        if placed and item.get("drivers", True):
            guest = world_defaults.guest_metrics_fields(self._clock.stamp())
            refs["guest_metrics"] = self._add("VM_guest_metrics", name, guest)
        return refs

    def _build_disk(self, vm_name: str, vm_ref: str, index: int, disk: Item, *, attached: bool) -> None:
        label = disk.get("name", f"disk{index}")
        size = parse_bytes(disk.get("size", "10 GiB"))
        vdi = world_defaults.vdi_fields(f"{vm_name} {label}", size) | {
            "SR": self._get("SR", disk["sr"], f"Disk {label!r} of VM {vm_name}"),
            "name_label": label,
        }
        vdi_ref = self._add("VDI", f"{vm_name}/{label}", vdi | dict(disk.get("fields", {})))
        vbd = world_defaults.vbd_fields(index, attached=attached) | {"VM": vm_ref, "VDI": vdi_ref}
        self._add("VBD", f"{vm_name}/{index}", vbd)

    def _build_drive(self, vm_name: str, vm_ref: str, index: int, drive: Item, *, attached: bool) -> None:
        vdi_ref = NULL
        if drive.get("iso"):
            key = f"{drive['sr']}/{drive['iso']}"
            vdi_ref = self._refs.get(("VDI", key), NULL)
            if vdi_ref == NULL:
                vdi = world_defaults.vdi_fields(drive["iso"], 700 * memory.MIB)
                vdi |= {"SR": self._get("SR", drive["sr"], f"Drive of VM {vm_name}"), "read_only": True}
                vdi_ref = self._add("VDI", key, vdi, {})
        vbd = world_defaults.vbd_fields(index, attached=attached and vdi_ref != NULL)
        vbd |= {"VM": vm_ref, "VDI": vdi_ref, "type": "CD", "mode": "RO", "empty": vdi_ref == NULL, "bootable": False}
        self._add("VBD", f"{vm_name}/{index}", vbd)
