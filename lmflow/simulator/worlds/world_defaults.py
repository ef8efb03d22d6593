"""What the hosts, networks and the pool of a described world have beside what the description says.

Shaped like the records of a real pool that was just set up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from lmflow.simulator.database.values import DateTime, Value
from lmflow.simulator.rules import memory

Fields = dict[str, Value]
Item = Mapping[str, Any]

_FEATURES = "1fc9cbf5-f6f83203-2991cbf5-00000123-00000001-00000329-00000000-00000000"
CPUS = 16
"""How many a host has unless the description says otherwise."""
_DAY = 86_400
_LISTS: Mapping[str, Any] = json.loads(
    (resources.files("lmflow.simulator") / "data" / "defaults.json").read_text("utf-8")
)
_MICROSOFT_OEM = "MS_VM_CERT/SHA1/bdbeb6e0a816d43fa6d3fe8aaef04c2bad9d3e3d"
_DEVICE_CONFIGS: dict[str, Mapping[str, str]] = {
    "ext": {"device": "/dev/sdb"},
    "lvm": {"device": "/dev/sdb"},
    "lvmoiscsi": {"target": "192.0.2.5", "targetIQN": "iqn.2026-01.example:storage", "SCSIid": "360000000000000000"},
    "lvmohba": {"SCSIid": "360000000000000001"},
}
INTERNAL_NETWORK: Item = {
    "name": "Host internal management network",
    "description": "Network on which guests will be assigned a private link-local IP address which can be used to talk "
    "XenAPI",
    "bridge": "xenapi",
    "other_config": {
        "is_guest_installer_network": "true",
        "is_host_internal_management_network": "true",
        "ip_begin": "169.254.0.1",
        "ip_end": "169.254.255.254",
        "netmask": "255.255.0.0",
    },
}
"""Every pool has it; a description need not name it."""


def guest_bios() -> dict[str, str]:
    """Make the firmware strings of a guest."""
    empty = dict.fromkeys(_LISTS["guest_bios"], "")
    names = {"bios-vendor": "Xen", "system-manufacturer": "Xen", "system-product-name": "HVM domU"}
    return {**empty, **names, "oem-1": "Xen", "oem-2": _MICROSOFT_OEM}


def make_digest(seed: str, algorithm: str = "sha256") -> str:
    """Make a digest that is the same for the same seed, in hexadecimal."""
    return hashlib.new(algorithm, seed.encode()).hexdigest()


def make_mac(seed: str) -> str:
    """Make a locally administered address that is the same for the same seed."""
    digest = make_digest(seed)
    return ":".join(["02", *(digest[i : i + 2] for i in range(0, 10, 2))])


def restrictions() -> dict[str, str]:
    """Make what an edition without a limit restricts: nothing."""
    names = {f"restrict_{name}": "false" for name in _LISTS["restrictions"]}
    return {**names, "enable_xha": "true", "platform_filter": "false", "regular_nag_dialog": "false"}


def software_version(item: Item) -> dict[str, str]:
    """Make a host's software_version; ``item["version"]`` overrides keys of it."""
    version = {
        "product_version": "8.3.0",
        "product_version_text": "8.3",
        "product_version_text_short": "8.3",
        "product_brand": "XCP-ng",
        "platform_name": "XCP",
        "platform_version": "3.4.0",
        "xapi": "26.17",
        "xapi_build": "26.17.0",
        "build_number": "1",
        "git_id": "0",
        "hostname": "localhost",
        "date": "20260801T00:00:00Z",
        "dbv": "2026.1101",
        "xen": "4.17.5",
        "linux": "4.19.0+1",
        "xencenter_min": "2.23",
        "xencenter_max": "2.23",
        "network_backend": "openvswitch",
        "db_schema": "5.909",
    }
    return {**version, **dict(item.get("version", {}))}


def cpu_info(item: Item) -> dict[str, str]:
    """Make a host's cpu_info from ``cpu`` of the description: vendor, features, modelname and other keys of it."""
    cpu = dict(item.get("cpu", {}))
    features = cpu.pop("features", _FEATURES)
    return {
        "cpu_count": str(item.get("cpus", CPUS)),
        "socket_count": "1",
        "threads_per_core": "1",
        "nr_nodes": "1",
        "vendor": "GenuineIntel",
        "speed": "2400.000",
        "modelname": "Simulated CPU @ 2.40GHz",
        "family": "6",
        "model": "85",
        "stepping": "7",
        "flags": "fpu de tsc msr pae",
        **dict.fromkeys(("features_pv", "features_hvm", "features_hvm_host", "features_pv_host"), features),
        **{key: str(value) for key, value in cpu.items()},
    }


def host_cpu_fields(number: int, info: Mapping[str, str]) -> Fields:
    """Make one of a host's CPUs from its cpu_info."""
    numbers = {name: int(info[name]) for name in ("family", "model")}
    texts = {name: info[name] for name in ("vendor", "modelname", "stepping", "flags")}
    return {"number": number, "speed": int(float(info["speed"])), **numbers, **texts}


def host_fields(name: str, address: str, item: Item, now: float) -> Fields:
    """Make a host's fields; it booted an hour before ``now`` unless its ``boot_time`` says otherwise (1970)."""
    boot_time = int(item.get("boot_time", now - 3600))
    start_time = int(item.get("agent_start_time", boot_time + 100))
    return {
        "name_label": name,
        "name_description": item.get("description", "Default install"),
        "hostname": item.get("hostname", name),
        "address": address,
        "enabled": item.get("enabled", True),
        "memory_overhead": memory.HOST_OVERHEAD,
        "allowed_operations": ["vm_migrate", "provision", "vm_resume", "enable", "evacuate", "vm_start"],
        "API_version_major": 2,
        "API_version_minor": 23,
        "API_version_vendor": "XenSource",
        "software_version": software_version(item),
        "other_config": {
            "agent_start_time": f"{start_time}.",
            "boot_time": f"{boot_time}.",
            **{name: "1" for name in item.get("plugins", ()) if name == "lmflow-guest-files"},
            **dict(item.get("other_config", {})),
        },
        "capabilities": ["xen-3.0-x86_64", "hvm-3.0-x86_32", "hvm-3.0-x86_32p", "hvm-3.0-x86_64"],
        "sched_policy": "credit",
        "supported_bootloaders": ["pygrub", "eliloader"],
        "cpu_info": cpu_info(item),
        "license_params": restrictions(),
        "license_server": {"address": "localhost", "port": "27000"},
        "edition": "xcp-ng",
        "editions": ["xcp-ng", "premium-per-socket"],
        "bios_strings": {**dict.fromkeys(_LISTS["host_bios"], ""), "oem-1": "Xen", "oem-2": _MICROSOFT_OEM},
        "chipset_info": {"iommu": "true"},
        "virtual_hardware_platform_versions": [0, 1, 2],
        "tags": list(item.get("tags", ())),
        **_REMOTE_ACCESS,
    }


_REMOTE_ACCESS: Fields = {
    "ssl_legacy": False,
    "tls_verification_enabled": True,
    "https_only": True,
    "ssh_enabled": False,
    "ssh_auto_mode": True,
    "ntp_mode": "Disabled",
    "timezone": "Etc/UTC",
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
        "properties": {"gro": "on"},
    }


def network_fields(item: Item) -> Fields:
    """Make a network's fields."""
    return {
        "name_label": item["name"],
        "name_description": item.get("description", ""),
        "bridge": item.get("bridge", f"xapi-{item['name']}"),
        "MTU": item.get("mtu", 1500),
        "managed": True,
        "other_config": dict(item.get("other_config", {})),
        "tags": list(item.get("tags", ())),
    }


def sr_fields(item: Item, *, shared: bool, size_bytes: int) -> Fields:
    """Make an SR's fields; how much of it is used is known when all disks are there."""
    return {
        "name_label": item["name"],
        "name_description": item.get("description", ""),
        "type": sr_type(item),
        "content_type": item.get("content_type", "user"),
        "shared": shared,
        "physical_size": size_bytes,
        "allowed_operations": list(_LISTS["sr_operations"]),
        "other_config": dict(item.get("other_config", {})),
        "sm_config": dict(item.get("sm_config", {})),
        "tags": list(item.get("tags", ())),
    }


def sr_type(item: Item) -> str:
    """Give the type of a described SR."""
    return str(item.get("type", "nfs" if item.get("shared", False) else "ext"))


def device_config(item: Item) -> dict[str, str]:
    """Make what joins a host to an SR."""
    known = _DEVICE_CONFIGS.get(sr_type(item), {"server": "192.0.2.5", "serverpath": f"/{item['name']}"})
    return dict(item.get("device_config", known))


def plugin_fields(kind: str) -> Fields:
    """Make the storage plug-in of a type of SR."""
    features = [*(["SR_CACHING"] if kind == "nfs" else []), *_LISTS["plugin_features"]]
    versions = {name: 2 if name == "VDI_RESET_ON_BOOT" else 1 for name in features}
    return {
        "name_label": kind.upper(),
        "name_description": f"plug-in for SRs of type {kind}",
        "type": kind,
        "vendor": "lmflow",
        "copyright": "(C) lmflow",
        "version": "1.0",
        "required_api_version": "1.0",
        "configuration": {"server": "server"},
        "capabilities": features,
        "features": versions,
        "driver_filename": f"/opt/xensource/sm/{kind}SR",
    }


def certificate_fields(kind: str, seed: str, now: float) -> Fields:
    """Make a host's certificate, valid for ten years."""
    sha256, sha1 = (make_digest(f"certificate/{seed}", name).upper() for name in ("sha256", "sha1"))
    prints = [":".join(text[i : i + 2] for i in range(0, len(text), 2)) for text in (sha256, sha1)]
    return {
        "type": kind,
        "not_before": DateTime.of(now - 3600),
        "not_after": DateTime.of(now - 3600 + 3650 * _DAY),
        "fingerprint": prints[0],
        "fingerprint_sha256": prints[0],
        "fingerprint_sha1": prints[1],
    }


def pool_cpu_info(infos: list[Mapping[str, str]]) -> dict[str, str]:
    """Make the pool's cpu_info of those of its hosts: what all of them have, and how many there are."""

    def common(key: str) -> str:
        groups = [[int(word, 16) for word in info[key].split("-")] for info in infos]
        length = max(len(group) for group in groups)
        padded = [group + [0] * (length - len(group)) for group in groups]
        found = [0xFFFF_FFFF] * length
        for group in padded:
            found = [left & right for left, right in zip(found, group, strict=True)]
        return "-".join(f"{word:08x}" for word in found)

    return {
        "features_hvm_host": common("features_hvm_host"),
        "features_pv_host": common("features_pv_host"),
        "socket_count": str(sum(int(info["socket_count"]) for info in infos)),
        "cpu_count": str(sum(int(info["cpu_count"]) for info in infos)),
        "vendor": infos[0]["vendor"],
    }


def pool_fields(now: float) -> Fields:
    """Make the pool's own fields."""
    return {
        "other_config": {"memory-ratio-hvm": "0.25", "memory-ratio-pv": "0.25"},
        "restrictions": restrictions(),
        "ha_cluster_stack": "xhad",
        "allowed_operations": list(_LISTS["pool_operations"]),
        "ext_auth_cache_enabled": False,
        "telemetry_next_collection": DateTime.of(now + 6 * _DAY),
    }
