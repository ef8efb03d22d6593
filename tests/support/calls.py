"""Calls made up from the data model, and what a reply to them may be."""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmflow.simulator.database.schema import Message, Schema, split_map, split_set
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from tests.support.recorded import trace

_DATA = Path(__file__).parents[1] / "data" / "model"
_DATE = re.compile(r"\d{8}T\d\d:\d\d:\d\dZ?")  # a host's local time has no zone
NOBODY = "OpaqueRef:00000000-dead-dead-dead-000000000000"


@functools.cache
def known_errors() -> dict[str, int | None]:
    """Every error code with its number of parameters, None where nobody said how many."""
    return dict(json.loads((_DATA / "errors.json").read_text("utf-8")))


@functools.cache
def _declared() -> dict[str, list[str]]:
    return dict(json.loads((_DATA / "raised.json").read_text("utf-8")))


@functools.cache
def _refusals() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Every refusal of a real pool: (call, error description)."""
    found = []
    for path in trace.TRACES.glob("*.json"):
        for item in trace.requests(path.stem):
            parsed = item.data.get("parsed")
            if isinstance(parsed, dict) and parsed.get("Status") == "Failure":
                found.append((item.method.removeprefix("Async."), tuple(parsed["ErrorDescription"])))
    return tuple(found)


@functools.cache
def _seen(call: str) -> frozenset[str]:
    return frozenset(description[0] for name, description in _refusals() if name == call)


@functools.cache
def _seen_lengths(code: str) -> frozenset[int]:
    return frozenset(len(description) - 1 for _, description in _refusals() if description[0] == code)


DISPATCHER = frozenset(
    {
        "Fault",
        "HANDLE_INVALID",
        "INTERNAL_ERROR",
        "INVALID_VALUE",
        "MAP_DUPLICATE_KEY",
        "MESSAGE_METHOD_UNKNOWN",
        "MESSAGE_PARAMETER_COUNT_MISMATCH",
        "MESSAGE_REMOVED",
        "NOT_IMPLEMENTED",
        "OTHER_OPERATION_IN_PROGRESS",
        "RBAC_PERMISSION_DENIED",
        "SESSION_INVALID",
        "TASK_CANCELLED",
        "UUID_INVALID",
    }
)
"""What may come of any call: the dispatcher, the database and the layer that queues operations raise it."""


LIFECYCLES = {
    "VM": {"VM_BAD_POWER_STATE", "VM_IS_TEMPLATE", "VM_IS_SNAPSHOT", "VM_LACKS_FEATURE", "OPERATION_NOT_ALLOWED"},
    "VBD": {"VM_BAD_POWER_STATE", "DEVICE_ALREADY_ATTACHED", "DEVICE_ALREADY_DETACHED", "OPERATION_NOT_ALLOWED"},
    "VIF": {"VM_BAD_POWER_STATE", "DEVICE_ALREADY_ATTACHED", "DEVICE_ALREADY_DETACHED", "OPERATION_NOT_ALLOWED"},
    "VDI": {"VDI_IN_USE", "OPERATION_NOT_ALLOWED"},
    "host": {"HOST_OFFLINE", "HOST_NOT_LIVE", "CANNOT_CONTACT_HOST"},
}
"""What the layer raises that looks whether an operation is allowed now, and finds the host that is to do it.

Source: xapi_vm_lifecycle.ml, xapi_vbd_helpers.ml, xapi_vif_helpers.ml, xapi_vdi.ml, message_forwarding.ml.
"""

_MEMORY = (
    *("", "_limits", "_dynamic_range", "_static_range"),
    *("_dynamic_min", "_dynamic_max", "_static_min", "_static_max"),
)
UNDECLARED = {
    "host.get_servertime": {"CANNOT_CONTACT_HOST"},  # message_forwarding.ml; a toolstack restarts after restart_agent
    "PIF.unplug": {"PIF_IS_MANAGEMENT_INTERFACE"},  # xapi_pif.ml
    "VDI.pool_migrate": {"VDI_NEEDS_VM_FOR_MIGRATE"},  # xapi_vdi.ml
    "VM.get_data_sources": {"VM_BAD_POWER_STATE"},  # seen on a real pool
    "VM.query_data_source": {"VM_BAD_POWER_STATE"},  # seen on a real pool
    "PBD.create": {"PBD_EXISTS", "SR_NOT_SHARABLE"},  # xapi_pbd.ml
    "PBD.destroy": {"OPERATION_NOT_ALLOWED"},  # xapi_pbd.ml
    "SR.introduce": {"SR_UNKNOWN_DRIVER"},  # xapi_sr.ml
    "SR.make": {"MESSAGE_DEPRECATED"},  # xapi_sr.ml
    "SR.probe": {"SR_UNKNOWN_DRIVER"},  # xapi_sr.ml
    "SR.probe_ext": {"SR_UNKNOWN_DRIVER"},  # xapi_sr.ml
    "VBD.create": {"INVALID_DEVICE", "VBD_CDS_MUST_BE_READONLY", "VBD_NOT_REMOVABLE_MEDIA"},  # xapi_vbd_helpers.ml
    "VDI.create": {"SR_FULL"},  # what the storage says
    "VDI.introduce": {"LOCATION_NOT_UNIQUE"},  # xapi_vdi.ml
    "VDI.resize": {"VDI_TOO_SMALL"},  # what the storage says
    "VDI.resize_online": {"VDI_TOO_SMALL"},  # the same
    "VDI.list_changed_blocks": {"VDI_NO_CBT_METADATA"},  # xapi_vdi.ml
    "VIF.configure_ipv4": {"INVALID_CIDR_ADDRESS_SPECIFIED", "INVALID_IP_ADDRESS_SPECIFIED"},  # xapi_vif.ml
    "VIF.configure_ipv6": {"INVALID_CIDR_ADDRESS_SPECIFIED", "INVALID_IP_ADDRESS_SPECIFIED"},  # xapi_vif.ml
    "VIF.create": {"INVALID_DEVICE"},  # xapi_vif_helpers.ml
    "VM.assert_agile": {"HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED"},  # agility.ml
    "VM.assert_operation_valid": {"PROVISION_ONLY_ALLOWED_ON_TEMPLATE"},  # xapi_vm_lifecycle.ml
    "VM.checkpoint": {"VM_NO_SUSPEND_SR"},  # xapi_vm_snapshot.ml
    "VM.create": {"MEMORY_CONSTRAINT_VIOLATION_ORDER"},  # vm_memory_constraints.ml
    "VM.power_state_reset": {"DOMAIN_EXISTS", "HOST_IS_LIVE"},  # xapi_vm.ml, message_forwarding.ml
    "VM.provision": {"PROVISION_ONLY_ALLOWED_ON_TEMPLATE"},  # xapi_vm_lifecycle.ml
    "VM.retrieve_wlb_recommendations": {"WLB_NOT_INITIALIZED"},  # workload_balancing.ml
    "VM.revert": {"REVERT_ONLY_ALLOWED_ON_SNAPSHOT"},  # xapi_vm_snapshot.ml
    "VM.start_on": {"VM_REQUIRES_SR"},  # xapi_vm_helpers.ml, assert_can_boot_here
    **{f"VM.set_memory{name}": {"MEMORY_CONSTRAINT_VIOLATION_ORDER"} for name in _MEMORY},  # vm_memory_constraints.ml
    "event.unregister": {"SESSION_NOT_REGISTERED"},  # xapi_event.ml, get_subscription
    "host.call_plugin": {"XENAPI_MISSING_PLUGIN"},  # xapi_plugins.ml
    "host.declare_dead": {"HOST_IS_LIVE"},  # xapi_host.ml
    "host.get_server_localtime": {
        "CANNOT_CONTACT_HOST",
        "HOST_OFFLINE",
    },  # message_forwarding.ml; seen for get_servertime
    "host.migrate_receive": {"INTERFACE_HAS_NO_IP", "PIF_NOT_PRESENT"},  # xapi_host.ml
    "host.power_on": {"HOST_IS_LIVE", "HOST_POWER_ON_MODE_DISABLED"},  # xapi_host.ml
    "network.add_purpose": {"NETWORK_INCOMPATIBLE_PURPOSES"},  # xapi_network.ml
    "network.destroy": {"NETWORK_CONTAINS_VIF", "NETWORK_CONTAINS_PIF", "CANNOT_DESTROY_SYSTEM_NETWORK"},  # the same
    "pool.disable_ha": {"HA_NOT_ENABLED"},  # xapi_ha.ml
    "pool.emergency_reset_master": {"HOST_MASTER_CANNOT_TALK_BACK"},  # xapi_pool.ml
    "pool.enable_ha": {"CANNOT_CREATE_STATE_FILE", "HA_IS_ENABLED"},  # xapi_ha.ml
    "pool.ha_prevent_restarts_for": {"HA_NOT_ENABLED"},  # xapi_ha.ml
    "session.change_password": {"CHANGE_PASSWORD_REJECTED", "SESSION_AUTHENTICATION_FAILED"},  # xapi_session.ml
    "session.slave_local_login_with_password": {"SESSION_AUTHENTICATION_FAILED"},  # xapi_session.ml
    "subject.add_to_roles": {"LICENCE_RESTRICTION", "ROLE_ALREADY_EXISTS", "ROLE_NOT_FOUND"},  # xapi_subject.ml
    "subject.create": {"SUBJECT_ALREADY_EXISTS"},  # xapi_subject.ml
    "subject.remove_from_roles": {"LICENCE_RESTRICTION", "ROLE_NOT_FOUND"},  # xapi_subject.ml
}
"""What a call raises though its model does not say so, each with the place where xapi's source does it."""

LENGTHS = {
    "DOMAIN_EXISTS": frozenset({1}),  # seen on a real pool, with the VM alone
    "VDI_IN_USE": frozenset({1, 2, 3, 4}),  # xapi_pbd.ml names every disk that is used
    "VM_IS_TEMPLATE": frozenset({2}),  # xapi_vm_lifecycle.ml adds the operation
}
"""Numbers of parameters that are not the documented ones."""


def may_raise(message: Message, code: str) -> bool:
    """Tell whether a call may be refused like this: declared in the model, seen on a real pool, or the dispatcher's."""
    name = message.wire_name
    more = LIFECYCLES.get(message.cls, ()) if message.is_async or message.name.startswith("set_") else ()
    known = (DISPATCHER, more, _declared().get(name, ()), _seen(name), UNDECLARED.get(name, ()))
    return any(code in codes for codes in known)


def has_right_length(description: list[str]) -> bool:
    """Tell whether an error is known and has as many parameters as it should."""
    code, count = description[0], len(description) - 1
    if code == "Fault":
        return count == 1
    if code == "INTERNAL_ERROR":
        return count in {1, 3}  # three when the database misses a field
    lengths = LENGTHS.get(code, frozenset()) | _seen_lengths(code)
    return code in known_errors() and (known_errors()[code] in {None, count} or count in lengths)


def find_misfit(schema: Schema, type_text: str, value: Any, path: str = "result") -> str:
    """Say where a value read from JSON is not of a type of the model; "" when it is."""
    plain = {"string": str, "int": int, "bool": bool, "float": (int, float)}
    if type_text in plain:
        fits = isinstance(value, plain[type_text]) and (type_text == "bool" or not isinstance(value, bool))
    elif type_text == "void":
        fits = value == ""
    elif type_text == "datetime":
        fits = isinstance(value, str) and _DATE.fullmatch(value) is not None
    elif type_text.endswith(" ref"):
        # A real pool shows the other two as well: a control domain's parent, the pool of a disk without metadata.
        fits = isinstance(value, str) and (value.startswith(("OpaqueRef:", "DummyRef:", "Ref:")) or value == "")
    elif type_text.startswith("enum ") and split_set(type_text) is None:
        fits = value in schema.enums[type_text[5:]]
    else:
        return _find_misfit_inside(schema, type_text, value, path)
    return "" if fits else f"{path}: {value!r} is no {type_text}"


def _find_misfit_inside(schema: Schema, type_text: str, value: Any, path: str) -> str:
    pair, element = split_map(type_text), split_set(type_text)
    if element is not None:
        parts = [(element, item) for item in value] if isinstance(value, list) else None
    elif pair is not None:
        parts = [(pair[1], item) for item in value.values()] if isinstance(value, dict) else None
    elif type_text.endswith(" record"):
        fields = schema.classes[type_text.removesuffix(" record")].fields
        same = isinstance(value, dict) and set(value) == set(fields)
        parts = [(fields[name].type, item) for name, item in value.items()] if same else None
    else:
        parts = []  # "an event batch" and what else the model leaves open
    if parts is None:
        return f"{path}: {str(value)[:200]!r} is no {type_text}"
    found = (find_misfit(schema, kind, item, f"{path}/{index}") for index, (kind, item) in enumerate(parts))
    return next((text for text in found if text), "")


class Arguments:
    """Makes arguments for calls; ``mood`` is ``good``, ``null`` or ``bad`` and says what references are."""

    def __init__(self, schema: Schema, store: Store, chance: random.Random) -> None:
        self._schema = schema
        self._store = store
        self._chance = chance

    def make(self, type_text: str, mood: str) -> Any:
        """Make a value of a type."""
        pair, element = split_map(type_text), split_set(type_text)
        if element is not None:
            return [self.make(element, mood) for _ in range(self._chance.randrange(3))]
        if pair is not None:
            keys = [self.make(pair[0], mood) for _ in range(self._chance.randrange(3))]
            return {str(key): self.make(pair[1], mood) for key in keys}
        if type_text.endswith(" ref"):
            return self._make_ref(type_text.removesuffix(" ref"), mood)
        if type_text.endswith(" record"):
            return self._make_record(type_text.removesuffix(" record"), mood)
        if type_text.startswith("enum "):
            return self._chance.choice(sorted(self._schema.enums[type_text[5:]]))
        return self._make_plain(type_text)

    def _make_plain(self, type_text: str) -> Any:
        chance = self._chance
        return {
            "string": lambda: chance.choice(["", "a", "true", 'field "uuid" = "x"', "<&>\u00e9\n", "k" * 300]),
            "int": lambda: chance.choice([0, 1, -1, 2**30, "7", 2**62]),
            "float": lambda: chance.choice([0.0, 0.5]),
            "bool": lambda: chance.random() < 0.5,
            "datetime": lambda: chance.choice(["19700101T00:00:00Z", "20300101T00:00:00Z"]),
        }.get(type_text, lambda: "")()

    def _make_ref(self, cls: str, mood: str) -> str:
        known = self._store.refs(cls) if mood == "good" and cls in self._schema.classes else []
        return self._chance.choice(known) if known else NULL if mood == "null" else NOBODY

    def _make_record(self, cls: str, mood: str) -> dict[str, Any]:
        fields = self._schema.classes[cls].fields.values()
        return {f.name: self.make(f.type, mood) for f in fields if f.is_given and (f.is_required or mood == "good")}

    def make_all(self, message: Message, mood: str) -> list[Any]:
        """Make the arguments of a call, the session left out; optional ones now and then."""
        count = len(message.params) if self._chance.random() < 0.5 else sum(p.required for p in message.params)
        return [self.make(param.type, mood) for param in message.params[:count]]

    def spoil(self, message: Message, arguments: list[Any]) -> Iterator[list[Any]]:
        """Make argument lists of which one has another type, and one that is too short."""
        for index, value in enumerate(arguments):
            wrong: Any = [7] if not isinstance(value, list) else {"a": 1}
            yield [*arguments[:index], wrong, *arguments[index + 1 :]]
        if message.params and message.params[0].required:
            yield []
