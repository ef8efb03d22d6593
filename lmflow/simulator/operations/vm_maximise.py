"""How large a VM could be made: VM.maximise_memory."""

from __future__ import annotations

from lmflow.simulator.context import Context
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import memory

_CPUS_AT_MOST = 64
_MIB_PER_CPU = 1.15
_FIXED_MIB = 2.6
_SHADOW_RATIO = 128
"""Beside the guest: what fits the VMs that were recorded with one CPU and the one answer for 64."""


def _overhead_mib(guest_mib: int, cpus: int) -> int:
    return -int(-(guest_mib / _SHADOW_RATIO + _MIB_PER_CPU * cpus + _FIXED_MIB) // 1)


@operation("VM.maximise_memory")
def maximise_memory(ctx: Context, vm_ref: str, total_bytes: int, approximate: bool) -> int:
    """Give the largest static maximum, in bytes, with which the VM fits into so many; 0 when it never does.

    ``approximate`` leaves room for the number of CPUs to change.
    """
    cpus = _CPUS_AT_MOST if approximate else int(ctx.store.value("VM", vm_ref, "VCPUs_max"))
    total_mib = total_bytes // memory.MIB
    guest_mib = max(0, total_mib)
    while guest_mib > 0 and guest_mib + _overhead_mib(guest_mib, cpus) > total_mib:
        guest_mib -= max(1, (guest_mib + _overhead_mib(guest_mib, cpus) - total_mib) // 2)
    return max(0, guest_mib) * memory.MIB
