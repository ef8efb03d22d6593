"""One record as both of XAPI's encodings carry it, and the models that lmflow makes of it."""

from __future__ import annotations

import json
import xmlrpc.client
from collections.abc import Callable, Mapping
from typing import Any

from lmflow.simulator.wire import codec, jsonrpc
from lmflow.xapi import records

Uuids = Mapping[str, str]
Make = Callable[[Any, Uuids], object]

MAKE: dict[str, Make] = {
    "VM": lambda record, uuids: (records.make_vm(record, uuids), records.make_resident(record, uuids)),
    "VM_metrics": lambda record, _: records.is_immobile({"nomigrate": "true"}, record),
    "VM_guest_metrics": lambda record, _: records.can_suspend({"guest_metrics": "OpaqueRef:g"}, record),
    "VM_group": lambda record, _: records.make_group(record),
    "host": lambda record, _: records.make_host(record, None, is_coordinator=False),
    "host_metrics": lambda record, _: records.make_host({}, record, is_coordinator=True),
    "pool": records.make_pool,
    "SR": lambda record, _: records.make_sr(record),
    "PBD": records.make_pbd,
    "VDI": records.make_vdi,
    "VBD": lambda record, _: records.make_vbd(record, None),
    "VIF": records.make_vif,
    "PIF": records.make_pif,
    "network": lambda record, _: records.make_network(record),
    "VGPU": lambda record, _: records.list_implementations([record], {record["type"]: {"implementation": "nvidia"}}),
    "VGPU_type": lambda record, _: records.list_implementations([{"type": "t"}], {"t": record}),
    "task": lambda record, _: records.make_task("OpaqueRef:0123", record, None),
}
"""What is made of a record of each class that is read whole."""


def send_by_sdk(value: Any) -> Any:
    """Return what the SDK's parser makes of a value that a call returned."""
    ((reply,), _) = xmlrpc.client.loads(codec.encode_success(value))
    return reply["Value"]  # type: ignore[index,call-overload]


def send_by_json(value: Any) -> Any:
    """Return what a parser of JSON makes of it."""
    _, _, encoding = jsonrpc.parse_call(b'{"jsonrpc":"2.0","id":1,"method":"x","params":[]}')
    return json.loads(encoding.success(value))["result"]
