"""May a guest that booted on one CPU go on running on another? Source: cpuid_helpers.ml, and a real pool's answers."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.database.store import Store
from lmflow.simulator.failures import ApiFailure

FEATURES_MISSING = "VM last booted on a CPU with features this host's CPU does not have."
_LOOKED_AT = ("power_state", "last_boot_CPU_flags", "domain_type")
OTHER_VENDOR = "VM last booted on a host which had a CPU from a different vendor."


def _words(features: str) -> list[int]:
    return [int(word, 16) for word in features.split("-") if word]


def has_features(needed: str, offered: str) -> bool:
    """Tell whether every feature bit of the first is in the second; words that are missing are zero."""
    wanted, present = _words(needed), _words(offered)
    present += [0] * (len(wanted) - len(present))
    return all(want & ~have == 0 for want, have in zip(wanted, present, strict=False))


def features_for(cpu_info: dict[str, str], domain_type: str) -> str:
    """Give the features that a host offers to a guest of this type."""
    own = cpu_info.get("features_pv" if domain_type == "pv" else "features_hvm")
    return own or cpu_info.get("features") or ""


def check_cpu(store: Store, vm_ref: str, host_ref: str) -> None:
    """Refuse a CPU that lacks what the VM booted with: VM_INCOMPATIBLE_WITH_THIS_HOST. Not for a halted VM."""
    vm: dict[str, Any] = {name: store.value("VM", vm_ref, name) for name in _LOOKED_AT}
    if vm["power_state"] == "Halted":
        return
    flags, cpu = vm["last_boot_CPU_flags"], store.value("host", host_ref, "cpu_info")
    if flags.get("vendor", cpu.get("vendor")) != cpu.get("vendor"):
        raise ApiFailure("VM_INCOMPATIBLE_WITH_THIS_HOST", vm_ref, host_ref, OTHER_VENDOR)
    if not has_features(flags.get("features", ""), features_for(cpu, vm["domain_type"])):
        raise ApiFailure("VM_INCOMPATIBLE_WITH_THIS_HOST", vm_ref, host_ref, FEATURES_MISSING)
