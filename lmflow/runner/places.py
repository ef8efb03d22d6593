"""Saying where a VM is, by name, and by whose word."""

from __future__ import annotations

from lmflow.models import VM, MoveRequest
from lmflow.xapi import reads
from lmflow.xapi.connection import Connection


def describe_place(connection: Connection, request: MoveRequest, vm: VM | None) -> str:
    """Return a sentence on where XAPI shows the VM now; a read of the hosts if it is on neither of the two."""
    if vm is None:
        return f"XAPI no longer shows {request.vm_name}"
    if vm.power_state != "Running" or vm.resident_on_uuid is None:
        return f"XAPI shows {request.vm_name} {vm.power_state}"
    known = {request.source_uuid: request.source_name, request.destination_uuid: request.destination_name}
    name = known.get(vm.resident_on_uuid)
    if name is None:
        hosts = {h.uuid: h.name_label for h in reads.read_hosts(connection)}
        name = hosts.get(vm.resident_on_uuid, vm.resident_on_uuid)
    return f"XAPI shows {request.vm_name} Running on {name}"
