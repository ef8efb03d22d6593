"""Small pools in which up to three things are not as they should be: every feature that rules read."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.support.worlds import FEATURES, get_item

HOSTS = ("A", "B", "C")
HOMES = {"v": "A", "w": "B", "x": "A"}
PAIRS = (("v", "B"), ("v", "C"), ("w", "A"), ("x", "C"))
"""Which VM is to go where: x is as it should be, C may be odd, and v and w may be."""
LESSER = FEATURES.replace("-2991cbf5-", "-0991cbf5-")

HOST_ODDITIES: dict[str, tuple[Any, ...]] = {
    "memory": ("3 GiB",),
    "cpus": (2,),
    "cpu": ({"features": LESSER}, {"features": FEATURES, "vendor": "AuthenticAMD"}),
    "enabled": (False,),
    "live": (False,),
    "version": ({"platform_version": "3.1.0"},),
    "networks": (["lan", "fast"], ["lan", "dmz"]),
    "fields": ({"virtual_hardware_platform_versions": [0, 1]}, {"capabilities": ["xen-3.0-x86_64"]}),
}
VM_ODDITIES: dict[str, tuple[Any, ...]] = {
    "power_state": ("Paused", "Halted", "Suspended"),
    "is_a_template": (True,),
    "is_control_domain": (True,),
    "memory": ({"static_max": "4 GiB", "dynamic_min": "512 MiB"},),
    "vcpus_max": (4,),
    "platform": ({"vcpu-unrestricted": "true"}, {"vcpu-unrestricted": "false"}),
    "domain_type": ("pv", "pv_in_pvh", "pvh"),
    "drivers": (False,),
    "guest": ({"features": ["shutdown"]}, {"other": {"data-cant-suspend-reason": "busy"}}),
    "nomigrate": (True,),
    "nested_virt": (True,),
    "blocked_operations": ({"pool_migrate": "licence"}, {"suspend": "not now"}),
    "disks": ("local", {"on_boot": "reset", "caching": "TRUE"}, {"on_boot": "reset"}),
    "cds": ({}, {"iso": "tools.iso", "sr": "isos"}, "local"),
    "vifs": (["lan", "dmz"], ["lan", "inner"]),
    "pcis": (1,),
    "vgpus": (["gvt_g"], ["nvidia"]),
    "vusbs": (1,),
}
POOL_ODDITIES: dict[str, tuple[Any, ...]] = {
    "other_config": ({"rolling_upgrade_in_progress": "true"},),
    "restrictions": ({"restrict_xen_motion": "true"},),
}
FAST_ODDITIES: tuple[dict[str, Any], ...] = (
    {"IP": ""},
    {"currently_attached": False},
    {"IP": "", "IPv6": ["fd00::1/64"]},
    {"IP": "", "primary_address_type": "IPv6", "IPv6": ["fd00::1/64"]},
    {"IP": "10.9.0.1", "primary_address_type": "IPv6", "IPv6": ["fe80::1/64"]},
)


PLAN = {"ha_enabled": True, "ha_host_failures_to_tolerate": 1, "ha_plan_exists_for": 1}
HA_ODDITIES: tuple[dict[str, str], ...] = ({}, {"B": "5 GiB", "C": "8 GiB"})
"""With a plan for one lost host, and memory so scarce that not every move leaves room for it."""
STORAGE_ODDITIES = ("unplugged", "absent")
"""How C stands to the SR that every VM has a disk on."""

VM_CHOICES = [(key, value) for key, values in VM_ODDITIES.items() for value in values]
PLACE_CHOICES = [
    *(("hosts", key, value) for key, values in HOST_ODDITIES.items() for value in values),
    *(("fast", "fields", value) for value in FAST_ODDITIES),
    *(("pool", key, value) for key, values in POOL_ODDITIES.items() for value in values),
]
SHARED_CHOICES = [
    *(("ha", "memory", value) for value in HA_ODDITIES),
    *(("storage", "S", value) for value in STORAGE_ODDITIES),
]
"""What concerns all VMs of the pool."""


def _make_host(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "coordinator": name == "A",
        "memory": "16 GiB",
        "cpus": 8,
        "cpu": {"features": FEATURES},
        "version": {"platform_version": "3.2.0"},
        "networks": ["lan", "dmz", {"network": "fast", "fields": {"IP": "10.9.0.1"}}],
    }


def _make_vm(name: str, host: str) -> dict[str, Any]:
    return {
        "name": name,
        "host": host,
        "memory": "1 GiB",
        "cpu_features_of": host,
        "disks": [{"name": "root", "sr": "S"}],
        "vifs": ["lan"],
        "copy_seconds": 0.5,
    }


def _spoil_place(world: dict[str, Any], kind: str, key: str, value: Any) -> None:
    host = get_item(world, "hosts", "C")
    if kind == "pool":
        world["pool"][key] = value
        if key == "other_config":
            host["version"] = {"platform_version": "3.1.0"}
    elif kind == "ha":
        world["pool"].update(PLAN)
        for name, memory in value.items():
            get_item(world, "hosts", name)["memory"] = memory
        for name in HOMES:
            get_item(world, "vms", name)["fields"] = {"ha_always_run": True, "ha_restart_priority": "restart"}
        get_item(world, "vms", "v")["memory"] = "4 GiB" if value else "1 GiB"
    elif kind == "storage":
        there = {} if value == "absent" else {"C": value}
        get_item(world, "storage", key)["hosts"] = {"A": "plugged", "B": "plugged", **there}
    elif kind == "fast":
        host["networks"] = ["lan", "dmz", {"network": "fast", "fields": value}]
    else:
        host[key] = value


def _spoil_vm(vm: dict[str, Any], key: str, value: Any) -> None:
    home = vm["cpu_features_of"]
    if key == "disks":
        vm["disks"] += [{"name": "data", "sr": f"local-{home}"}] if value == "local" else []
        if value != "local":
            vm["disks"][0]["fields"] = {"sm_config": value}
    elif key == "cds":
        vm["cds"] = [{"iso": "own.iso", "sr": f"iso-{home}"} if value == "local" else value]
    elif key == "is_control_domain":
        vm.setdefault("fields", {})[key] = value
    else:
        vm[key] = value
    if vm.get("power_state", "Running") in {"Halted", "Suspended"} or vm.get("is_a_template"):
        vm.pop("host", None)


def make_world(of_v: Any, of_w: Any, place: Any) -> dict[str, Any]:
    """Return a pool with an oddity of v, one of w, and one of host C or the pool; None for no oddity."""
    world: dict[str, Any] = {
        "name": "odd",
        "pool": {},
        "networks": [{"name": n, "bridge": f"xapi-{n}"} for n in ("lan", "dmz", "fast", "inner")],
        "hosts": [_make_host(name) for name in HOSTS],
        "storage": [
            {"name": "S", "type": "nfs", "shared": True, "default": True, "hosts": list(HOSTS)},
            {"name": "isos", "type": "iso", "shared": True, "content_type": "iso", "hosts": list(HOSTS)},
            *({"name": f"local-{n}", "type": "ext", "shared": False, "hosts": [n]} for n in HOSTS),
            *({"name": f"iso-{n}", "type": "iso", "shared": False, "content_type": "iso", "hosts": [n]} for n in HOSTS),
        ],
        "vms": [_make_vm(name, host) for name, host in HOMES.items()],
    }
    if place is not None:
        _spoil_place(world, *place)
    for name, oddity in (("v", of_v), ("w", of_w)):
        if oddity is not None:
            _spoil_vm(get_item(world, "vms", name), *oddity)
    return world


def list_worlds() -> list[tuple[dict[str, Any], bool]]:
    """Return pools in which each oddity stands once, and whether the network "fast" is to carry the migrations."""
    half = -(-len(VM_CHOICES) // 2)
    count = max(half, len(PLACE_CHOICES))
    columns = [[*choices, *[None] * count] for choices in (VM_CHOICES[:half], VM_CHOICES[half:], PLACE_CHOICES)]
    rows = list(zip(*columns, strict=False))[:count]
    rows += [(None, None, place) for place in SHARED_CHOICES]
    return [(make_world(*row), row[2] is not None and row[2][0] == "fast") for row in rows]


def worlds() -> st.SearchStrategy[dict[str, Any]]:
    """Draw a pool in which each of v, w and C may be odd."""
    vm = st.none() | st.sampled_from(VM_CHOICES)
    return st.builds(make_world, vm, vm, st.none() | st.sampled_from([*PLACE_CHOICES, *SHARED_CHOICES]))
