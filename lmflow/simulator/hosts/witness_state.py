"""What VM.stat of a host's xenopsd says of a VM: how it was made, and how it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lmflow.simulator.hosts.xenops import Domain

_ACTIONS = {
    "soft_reboot": ["Softreboot"],
    "restart": ["Start"],
    "destroy": ["Shutdown"],
    "preserve": ["Pause"],
    "coredump_and_destroy": ["Coredump", "Shutdown"],
    "coredump_and_restart": ["Coredump", "Start"],
    "rename_restart": ["Start"],
}
_DRIVER_PARTS = {"MajorVersion": "major", "MinorVersion": "minor", "MicroVersion": "micro", "BuildVersion": "build"}
_INTEGER = re.compile(r"\A-?[0-9]{1,18}\Z")
Record = Mapping[str, Any]


def _action(vm: Record, name: str, default: str) -> list[str]:
    return list(_ACTIONS.get(vm.get(name, default), _ACTIONS[default]))


def _read_int(values: Record, name: str, default: int) -> int:
    """Read a number that somebody wrote as text; what is no number of OCaml's is as if it were not there."""
    text = str(values.get(name, ""))
    return int(text) if _INTEGER.match(text) else default


def _read_masks(text: str) -> list[list[int]]:
    """Read the CPUs of each virtual one; no CPU is chosen when any of it cannot be read."""
    masks = [mask.split(",") for mask in text.split(";") if mask]
    if all(_INTEGER.match(cpu) for mask in masks for cpu in mask):
        return [[int(cpu) for cpu in mask] for mask in masks]
    return []


def _scheduler(vm: Record) -> dict[str, Any]:
    wanted = vm.get("VCPUs_params", {})
    priority = [_read_int(wanted, "weight", 256), _read_int(wanted, "cap", 0)]
    return {"affinity": _read_masks(wanted.get("mask", "")), "priority": priority}


def _builder(vm: Record) -> list[Any]:
    platform, boot = vm.get("platform", {}), vm.get("HVM_boot_params", {})
    details = {
        "firmware": "Uefi" if boot.get("firmware") == "uefi" else "Bios",
        "qemu_stubdom": False,
        "qemu_disk_cmdline": False,
        "boot_order": boot.get("order", "cd"),
        "pci_passthrough": False,
        "pci_emulations": [],
        "serial": "pty",
        "acpi": platform.get("acpi", "1") not in {"0", "false"},
        "video": "Standard_VGA" if platform.get("vga") == "std" else "Cirrus",
        "video_mib": _read_int(platform, "videoram", 4),
        "timeoffset": platform.get("timeoffset", "0"),
        "shadow_multiplier": float(vm.get("HVM_shadow_multiplier", 1.0)),
        "hap": True,
    }
    return ["HVM", details]


def config_of(vm_uuid: str, vm: Record) -> dict[str, Any]:
    """Say how a VM was made; ``vm`` is its record in the database."""
    features = vm.get("last_boot_CPU_flags", {}).get("features", "")
    platform = {"featureset": features, "timeoffset": "0", "usb": "true", "usb_tablet": "true"}
    return {
        "generation_id": vm.get("generation_id", ""),
        "has_vendor_device": vm.get("has_vendor_device", False),
        "pci_power_mgmt": False,
        "pci_msitranslate": True,
        "on_softreboot": _action(vm, "actions_after_softreboot", "soft_reboot"),
        "on_reboot": _action(vm, "actions_after_reboot", "restart"),
        "on_shutdown": _action(vm, "actions_after_shutdown", "destroy"),
        "on_crash": _action(vm, "actions_after_crash", "restart"),
        "scheduler_params": _scheduler(vm),
        "vcpus": vm.get("VCPUs_at_startup", 1),
        "vcpu_max": vm.get("VCPUs_max", 1),
        "memory_dynamic_min": vm.get("memory_dynamic_min", 0),
        "memory_dynamic_max": vm.get("memory_dynamic_max", 0),
        "memory_static_max": vm.get("memory_static_max", 0),
        "suppress_spurious_page_faults": False,
        "ty": _builder(vm),
        "bios_strings": dict(vm.get("bios_strings", {})),
        "platformdata": {**platform, **vm.get("platform", {})},
        "xsdata": dict(vm.get("xenstore_data", {})),
        "ssidref": 0,
        "name": vm.get("name_label", ""),
        "id": vm_uuid,
    }


def _agent(guest: Record) -> dict[str, str]:
    """Write what the guest's agent told, as it stands below the guest's own keys in xenstore."""
    drivers = guest.get("PV_drivers_version", {})
    found = {"attr/PVAddons/Installed": "1"} if drivers else {}
    found |= {f"attr/PVAddons/{name}": drivers[part] for name, part in _DRIVER_PARTS.items() if part in drivers}
    found |= {f"control/{name}": value for name, value in guest.get("other", {}).items() if name.startswith("feature-")}
    found |= {f"data/os_{name}": value for name, value in guest.get("os_version", {}).items()}
    found |= {"data/updated": "1"} if drivers else {}
    networks = guest.get("networks", {})
    return found | {f"attr/vif/{name}": value for name, value in networks.items() if not name.endswith("/ip")}


def state_of(domain: Domain, vm: Record, guest: Record) -> dict[str, Any]:
    """Say how a VM is; ``guest`` is the record of its guest metrics, empty when there is none."""
    running = domain.power_state != "Halted"
    memory_bytes = vm.get("memory_target", 0) if running else 0
    return {
        "numa_node_memory": [],
        "numa_nodes": 0,
        "numa_optimised": False,
        "featureset": vm.get("last_boot_CPU_flags", {}).get("features", ""),
        "domain_type": "Domain_HVM",
        "nested_virt": False,
        "nomigrate": False,
        "hvm": True,
        "last_start_time": float(domain.started),
        "pv_drivers_detected": running and bool(guest.get("PV_drivers_detected")),
        "xsdata_state": {},
        "guest_agent": _agent(guest) if running else {},
        "uncooperative_balloon_driver": False,
        "rtc_timeoffset": "",
        "shadow_multiplier_target": float(vm.get("HVM_shadow_multiplier", 1.0)),
        "vcpu_target": vm.get("VCPUs_at_startup", 1),
        "memory_limit": memory_bytes,
        "memory_actual": memory_bytes,
        "memory_target": memory_bytes,
        "consoles": [],
        "domids": [domain.domid] if running and domain.domid >= 0 else [],
        "power_state": domain.power_state,
    }
