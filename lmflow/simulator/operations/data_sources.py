"""What is measured: nothing, as in the recorded pool, where the program that measures was a stub.

The coordinator checks what its database says of a VM before it hands a call on; a member that is asked itself, in a
session of its own, does not.
"""

from __future__ import annotations

from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation

_NO_NUMBER = "Idl.MarshalError(\"Expected float, got 'N'\")"


def _check_power_state(ctx: Context, vm_ref: str, *states: str) -> None:
    found = str(ctx.store.value("VM", vm_ref, "power_state"))
    if ctx.host_ref == ctx.pool.coordinator_ref and found not in states:
        raise ApiFailure("VM_BAD_POWER_STATE", vm_ref, ";".join(states).lower(), found.lower())


@operation("VM.get_data_sources")
def get_data_sources(ctx: Context, vm_ref: str) -> list[dict[str, Any]]:
    """List what is measured of a running VM: nothing. VM_BAD_POWER_STATE."""
    _check_power_state(ctx, vm_ref, "Running")
    return []


@operation("VM.query_data_source")
def query_data_source(ctx: Context, vm_ref: str, _name: str) -> float:
    """Refuse, as the recorded pool did, whose stub answered no number: VM_BAD_POWER_STATE, INTERNAL_ERROR."""
    _check_power_state(ctx, vm_ref, "Running", "Paused")
    raise ApiFailure("INTERNAL_ERROR", _NO_NUMBER)


@operation("SR.get_data_sources")
def get_data_sources_of_sr(ctx: Context, sr_ref: str) -> list[dict[str, Any]]:
    """List what is measured of an SR: nothing."""
    ctx.store.value("SR", sr_ref, "uuid")
    return []


@operation("host.get_data_sources")
def get_data_sources_of_host(ctx: Context, host_ref: str) -> list[str]:
    """List what is measured on a host: nothing. HANDLE_INVALID."""
    ctx.store.value("host", host_ref, "uuid")
    return []
