"""What the objects of a described world have beside what the description says, shaped like a real pool's records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from lmflow.simulator import memory
from lmflow.simulator.values import NULL, Value

Fields = dict[str, Value]
Item = Mapping[str, Any]

_FEATURES = "1fc9cbf5-f6f83203-2991cbf5-00000123-00000001-00000329-00000000-00000000"
CPUS = 16
"""How many a host has unless the description says otherwise."""
_GUEST_FEATURES = ("suspend", "shutdown", "reboot", "poweroff", "vcpu-hotplug")


def make_mac(seed: str) -> str:
    """Make a locally administered address that is the same for the same seed."""
    digest = hashlib.sha256(seed.encode()).hexdigest()
    return ":".join(["02", *(digest[i : i + 2] for i in range(0, 10, 2))])


def software_version(item: Item) -> dict[str, str]:
    """Make a host's software_version; ``item["version"]`` overrides keys of it."""
    version = {
        "product_version": "8.3.0",
        "product_version_text": "8.3",
        "product_brand": "XCP-ng",
        "platform_name": "XCP",
        "platform_version": "3.4.0",
        "xapi": "26.17",
        "xapi_build": "26.17.0",
        "build_number": "1",
        "xen": "4.17.5",
        "linux": "4.19.0+1",
        "network_backend": "openvswitch",
        "db_schema": "5.909",
    }
    return {**version, **dict(item.get("version", {}))}


def cpu_info(item: Item) -> dict[str, str]:
    """Make a host's cpu_info from the vendor and the features that the description gives."""
    cpu = item.get("cpu", {})
    features = cpu.get("features", _FEATURES)
    return {
        "cpu_count": str(item.get("cpus", CPUS)),
        "socket_count": "1",
        "threads_per_core": "1",
        "vendor": cpu.get("vendor", "GenuineIntel"),
        "speed": "2400.000",
        "modelname": cpu.get("modelname", "Simulated CPU @ 2.40GHz"),
        "family": "6",
        "model": "85",
        "stepping": "7",
        "flags": "fpu de tsc msr pae",
        **dict.fromkeys(("features_pv", "features_hvm", "features_hvm_host", "features_pv_host"), features),
    }


def host_fields(name: str, address: str, item: Item, now: float) -> Fields:
    """Make a host's fields; it booted an hour before ``now``."""
    return {
        "name_label": name,
        "name_description": "Default install",
        "hostname": name,
        "address": address,
        "enabled": item.get("enabled", True),
        "memory_overhead": memory.HOST_OVERHEAD,
        "allowed_operations": ["vm_migrate", "provision", "vm_resume", "evacuate", "vm_start"],
        "API_version_major": 2,
        "API_version_minor": 23,
        "API_version_vendor": "XenSource",
        "software_version": software_version(item),
        "other_config": {"agent_start_time": f"{int(now) - 3500}.", "boot_time": f"{int(now) - 3600}."},
        "capabilities": ["xen-3.0-x86_64", "hvm-3.0-x86_32", "hvm-3.0-x86_32p", "hvm-3.0-x86_64"],
        "sched_policy": "credit",
        "supported_bootloaders": ["pygrub", "eliloader"],
        "cpu_info": cpu_info(item),
        "edition": "xcp-ng",
        "virtual_hardware_platform_versions": [0, 1, 2],
    }


def pif_fields(index: int, address: str, seed: str) -> Fields:
    """Make a PIF's fields; the first of a host is its management interface and has an address."""
    return {
        "device": f"eth{index}",
        "MAC": make_mac(f"pif/{seed}"),
        "MTU": 1500,
        "VLAN": -1,
        "physical": True,
        "currently_attached": True,
        "ip_configuration_mode": "Static" if address else "None",
        "IP": address,
        "netmask": "255.0.0.0" if address else "",
        "management": bool(address),
        "primary_address_type": "IPv4",
        "managed": True,
    }


def control_domain_fields(host_name: str, host_ref: str, memory_bytes: int) -> Fields:
    """Make the fields of a host's control domain."""
    return {
        "name_label": f"Control domain on host: {host_name}",
        "power_state": "Running",
        "is_control_domain": True,
        "resident_on": host_ref,
        "affinity": host_ref,
        "domid": 0,
        "VCPUs_max": 2,
        "VCPUs_at_startup": 2,
        "domain_type": "pv",
        "memory_overhead": memory.CONTROL_DOMAIN_OVERHEAD,
        **_memory_fields(memory_bytes),
    }


def _memory_fields(memory_bytes: int) -> Fields:
    names = ("static_max", "dynamic_max", "dynamic_min", "static_min")
    return {f"memory_{name}": memory_bytes for name in names} | {"memory_target": memory_bytes}


def vm_fields(item: Item, memory_bytes: int, power_state: str) -> Fields:
    """Make a VM's own fields, without its place, its metrics and its devices."""
    domain_type = item.get("domain_type", "hvm")
    vcpus = int(item.get("vcpus", 2))
    return {
        "name_label": item["name"],
        "name_description": item.get("description", ""),
        "power_state": power_state,
        "is_a_template": bool(item.get("is_a_template", False)),
        "is_a_snapshot": bool(item.get("is_a_snapshot", False)),
        "memory_overhead": memory.overhead_of(memory_bytes),
        "VCPUs_max": vcpus,
        "VCPUs_at_startup": vcpus,
        "actions_after_shutdown": "destroy",
        "actions_after_reboot": "restart",
        "actions_after_crash": "restart",
        "HVM_boot_policy": "" if domain_type == "pv" else "BIOS order",
        "HVM_boot_params": {} if domain_type == "pv" else {"order": "dc"},
        "HVM_shadow_multiplier": 1.0,
        "PV_bootloader": item.get("pv_bootloader", "pygrub" if domain_type == "pv" and "pv_kernel" not in item else ""),
        "PV_kernel": item.get("pv_kernel", ""),
        "PV_ramdisk": item.get("pv_ramdisk", ""),
        "platform": {"viridian": "true", "timeoffset": "0"},
        "domain_type": domain_type,
        "domid": -1,
        "blocked_operations": dict(item.get("blocked_operations", {})),
        "other_config": dict(item.get("other_config", {})),
        **_memory_fields(memory_bytes),
    }


def vm_metrics_fields(vm: Item, stamp: Value, item: Item, *, placed: bool) -> Fields:
    """Make a VM's metrics: those of a domain when it has a place, else those of a clean shutdown."""
    return {
        "memory_actual": vm["memory_static_max"] if placed else 0,
        "VCPUs_number": vm["VCPUs_at_startup"] if placed else 0,
        "start_time": stamp,
        "last_updated": stamp,
        "hvm": placed and vm["domain_type"] != "pv",
        "current_domain_type": vm["domain_type"] if placed else "unspecified",
        "nomigrate": bool(item.get("nomigrate", False)),
        "nested_virt": bool(item.get("nested_virt", False)),
    }


def guest_metrics_fields(stamp: Value) -> Fields:
    """Make what a guest with working drivers reports."""
    return {
        "os_version": {"name": "Simulated Linux"},
        "PV_drivers_version": {"major": "9", "minor": "3", "micro": "0", "build": "1"},
        "PV_drivers_up_to_date": True,
        "PV_drivers_detected": True,
        "other": {f"feature-{name}": "1" for name in _GUEST_FEATURES},
        "last_updated": stamp,
        "live": True,
    }


def vdi_fields(label: str, size_bytes: int) -> Fields:
    """Make a disk's fields, without its SR."""
    return {
        "name_label": label,
        "virtual_size": size_bytes,
        "physical_utilisation": size_bytes,
        "type": "user",
        "managed": True,
        "on_boot": "persist",
        "location": hashlib.sha256(label.encode()).hexdigest()[:32],
        "parent": NULL,
    }


def vbd_fields(index: int, *, attached: bool) -> Fields:
    """Make the fields of a disk's join to a VM."""
    return {
        "device": f"xvd{chr(ord('a') + index)}" if attached else "",
        "userdevice": str(index),
        "bootable": index == 0,
        "mode": "RW",
        "type": "Disk",
        "unpluggable": True,
        "currently_attached": attached,
    }


def vif_fields(index: int, seed: str, *, attached: bool) -> Fields:
    """Make an interface's fields, without its VM and network."""
    return {
        "device": str(index),
        "MAC": make_mac(f"vif/{seed}"),
        "MTU": 1500,
        "MAC_autogenerated": True,
        "currently_attached": attached,
        "locking_mode": "network_default",
    }
