"""What the VMs of a described world have beside what the description says, shaped like a real pool's records."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.database.values import NULL, Value
from lmflow.simulator.rules import memory
from lmflow.simulator.worlds.world_defaults import Fields, Item, guest_bios, make_digest, make_mac

_GUEST_FEATURES = ("suspend", "shutdown", "reboot", "poweroff", "vcpu-hotplug")
_LEAST_MEMORY = 16 * memory.MIB
MEMORY_KINDS = ("static_min", "dynamic_min", "dynamic_max", "static_max")


def make_mac_seed(seed: str) -> str:
    """Make what a VM's addresses are drawn from."""
    digest = make_digest(f"mac/{seed}")
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def make_generation_id(seed: str) -> str:
    """Make the two numbers by which a guest notices that it was copied."""
    digest = make_digest(f"generation/{seed}")
    return ":".join(str(int(text, 16) >> 1) for text in (digest[:16], digest[16:32]))


def memory_fields(amounts: dict[str, int], *, target: bool) -> Fields:
    """Make the memory fields of amounts by ``MEMORY_KINDS``; a VM without a domain has no target."""
    found = {f"memory_{kind}": amounts[kind] for kind in MEMORY_KINDS}
    return {**found, "memory_target": amounts["dynamic_max"] if target else 0}


def control_domain_fields(host_name: str, host_ref: str, memory_bytes: int, *, joined: bool) -> Fields:
    """Make the fields of a host's control domain; one that ``joined`` came into the database by an import."""
    imported: Fields = {
        "snapshot_of": "Ref:2",
        "parent": "Ref:2",
        "version": 1,
        "other_config": {"mac_seed": make_mac_seed(f"dom0/{host_name}")},
    }
    return {
        "name_label": f"Control domain on host: {host_name}",
        "name_description": "The domain which manages physical devices and manages other domains",
        "user_version": 1,
        "power_state": "Running",
        "is_control_domain": True,
        "resident_on": host_ref,
        "affinity": host_ref,
        "domid": 0,
        "domarch": "" if joined else "x64",
        "VCPUs_max": 2,
        "VCPUs_at_startup": 2,
        "actions_after_shutdown": "destroy",
        "actions_after_reboot": "destroy",
        "actions_after_crash": "destroy",
        "domain_type": "pv",
        "generation_id": "",
        "has_vendor_device": False,
        "memory_overhead": memory.CONTROL_DOMAIN_OVERHEAD,
        **memory_fields(dict.fromkeys(MEMORY_KINDS, memory_bytes), target=True),
        **(imported if joined else {}),
    }


def control_domain_metrics_fields(memory_bytes: int, vcpus: int) -> Fields:
    """Make the metrics of a control domain."""
    used = {str(number): 0.0 for number in range(1, vcpus + 1)}
    return {
        "memory_actual": memory_bytes,
        "VCPUs_number": vcpus,
        "VCPUs_utilisation": used,
        "current_domain_type": "pv",
    }


def vm_fields(item: Item, amounts: dict[str, int], power_state: str, seed: str) -> Fields:
    """Make a VM's own fields, without its place, its metrics and its devices."""
    placed = power_state in {"Running", "Paused"}
    booted = placed or power_state == "Suspended"
    vcpus = int(item.get("vcpus", 2))
    actions = {"shutdown": "destroy", "reboot": "restart", "crash": "restart", **dict(item.get("actions", {}))}
    return {
        "name_label": item["name"],
        "name_description": item.get("description", ""),
        "user_version": 1,
        "power_state": power_state,
        "is_a_template": bool(item.get("is_a_template", False)) or bool(item.get("is_a_snapshot", False)),
        "is_a_snapshot": bool(item.get("is_a_snapshot", False)),
        "is_default_template": bool(item.get("is_default_template", False)),
        "memory_overhead": memory.overhead_of(amounts["static_max"]),
        "VCPUs_max": int(item.get("vcpus_max", vcpus)),
        "VCPUs_at_startup": vcpus,
        "VCPUs_params": dict(item.get("vcpus_params", {})),
        **{f"actions_after_{event}": action for event, action in actions.items()},
        "domid": -1,
        "blocked_operations": dict(item.get("blocked_operations", {})),
        "other_config": {"mac_seed": make_mac_seed(seed), **dict(item.get("other_config", {}))},
        "tags": list(item.get("tags", ())),
        "generation_id": make_generation_id(seed),
        "hardware_platform_version": 2,
        "has_vendor_device": True,
        **memory_fields(amounts, target=booted),
        **_boot_fields(item, booted=booted),
    }


def _boot_fields(item: Item, *, booted: bool) -> Fields:
    """Make what a VM boots from: firmware, or a kernel of its own."""
    domain_type = item.get("domain_type", "hvm")
    firmware = domain_type != "pv"
    platform = {"pae": "1", "acpi": "1", "apic": "1", "viridian": "true"}
    if booted and firmware:
        platform = {"device-model": "qemu-upstream-compat", **platform}
    bootloader = "" if firmware or "pv_kernel" in item else "pygrub"
    return {
        "domain_type": domain_type,
        "HVM_boot_policy": "BIOS order" if firmware else "",
        "HVM_boot_params": {"order": "dc"} if firmware else {},
        "HVM_shadow_multiplier": 1.0,
        "PV_bootloader": item.get("pv_bootloader", bootloader),
        "PV_kernel": item.get("pv_kernel", ""),
        "PV_ramdisk": item.get("pv_ramdisk", ""),
        "PV_args": item.get("pv_args", ""),
        "platform": dict(item.get("platform", platform)),
        "bios_strings": guest_bios(),
    }


def vm_metrics_fields(vm: Item, stamp: Value, item: Item, *, placed: bool) -> Fields:
    """Make a VM's metrics: those of a domain when it has a place, else those of a clean shutdown."""
    used = {str(number): 0.0 for number in range(vm["VCPUs_at_startup"])}
    running = {
        "memory_actual": vm["memory_dynamic_max"],
        "VCPUs_number": vm["VCPUs_at_startup"],
        "VCPUs_utilisation": used,
        "start_time": stamp,
        "hvm": vm["domain_type"] != "pv",
        "current_domain_type": vm["domain_type"],
    }
    return {
        **(running if placed else {}),
        "nomigrate": bool(item.get("nomigrate", False)),
        "nested_virt": bool(item.get("nested_virt", False)),
        **dict(item.get("metrics", {})),
    }


def guest_metrics_fields(stamp: Value, guest: Item) -> Fields:
    """Make what a guest with working drivers reports; ``guest`` may name another system, features and networks."""
    features = {f"feature-{name}": "1" for name in guest.get("features", _GUEST_FEATURES)}
    return {
        "os_version": dict(guest.get("os_version", {"name": "Simulated Linux"})),
        "PV_drivers_version": {"major": "9", "minor": "3", "micro": "0", "build": "1"},
        "PV_drivers_up_to_date": True,
        "PV_drivers_detected": True,
        "networks": dict(guest.get("networks", {})),
        "other": {**features, **dict(guest.get("other", {}))},
        "last_updated": stamp,
        "live": True,
        **dict(guest.get("fields", {})),
    }


def vdi_fields(label: str, size_bytes: int, uuid: str, *, attached: bool) -> Fields:
    """Make a disk's fields, without its SR."""
    free = ["copy", "generate_config", "clone", "forget", "update", "resize", "snapshot", "destroy"]
    return {
        "name_label": label,
        "allowed_operations": ["clone", "snapshot"] if attached else free,
        "virtual_size": size_bytes,
        "physical_utilisation": size_bytes,
        "type": "user",
        "managed": True,
        "on_boot": "persist",
        "location": uuid,
        "parent": NULL,
        # A disk that holds no other pool's database shows nothing here, not even the null reference.
        "metadata_of_pool": "",
    }


def vbd_fields(index: int, *, attached: bool, running: bool, letter: str = "xvd") -> Fields:
    """Make the fields of a disk's join to a VM, a disk of a VM that is ``running`` or suspended."""
    live = ["attach", "unpause", "unplug", "unplug_force", "pause"]
    return {
        "device": device_name(index, letter) if attached else "",
        "userdevice": str(index),
        "bootable": index == 0,
        "mode": "RW",
        "type": "Disk",
        "unpluggable": True,
        "currently_attached": attached,
        "allowed_operations": live if attached and running else ["attach"],
    }


def device_name(index: int, letter: str = "xvd") -> str:
    """Name the n-th disk of a guest: xvda, ..., xvdz, xvdaa."""
    name = ""
    number = index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("a") + rest) + name
    return letter + name


def vif_fields(index: int, seed: str, *, attached: bool, running: bool, mac: str = "") -> Fields:
    """Make an interface's fields, without its VM and network."""
    return {
        "device": str(index),
        "MAC": mac or make_mac(f"vif/{seed}"),
        "MTU": 1500,
        "MAC_autogenerated": not mac,
        "currently_attached": attached,
        "locking_mode": "network_default",
        "allowed_operations": ["attach", "unplug"] if attached and running else ["attach"],
    }


def split_amounts(described: Any, default: int, parse: Any) -> dict[str, int]:
    """Read ``memory``: one amount for all but the least, or an amount for each of ``MEMORY_KINDS``.

    Those that are not given follow the next larger one.
    """
    given = dict(described) if isinstance(described, dict) else {"static_max": described or default}
    found: dict[str, int] = {}
    larger = default
    for kind in reversed(MEMORY_KINDS):
        larger = parse(given.get(kind, min(larger, _LEAST_MEMORY) if kind == "static_min" else larger))
        found[kind] = larger
    return found
