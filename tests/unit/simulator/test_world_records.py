"""A described world shows, field by field, what a real pool showed; what it cannot show stands in ``NOT_SHOWN``."""

from collections.abc import Mapping
from typing import Any

import pytest

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.store import Store
from lmflow.simulator.worlds.world_builder import WorldBuilder
from tests.support.moves import NULL
from tests.support.recorded import trace
from tests.support.recorded.lab import make_early_lab, read_record

Records = Mapping[str, tuple[str, Mapping[str, Any]]]

NAMED_BY = {
    "PBD": ("host", "SR"),
    "VBD": ("VM", "userdevice"),
    "VIF": ("VM", "device"),
    "PIF": ("host", "device"),
    "console": ("VM", "protocol"),
    "host_cpu": ("host", "number"),
    "Certificate": ("host", "type"),
    "SM": ("type",),
}
"""By what objects without a name are told apart; metrics by whom they belong to."""
OWNERS = {"metrics": ("VM", "host", "PIF"), "guest_metrics": ("VM",)}
NOT_SHOWN = {
    "uuid": "of that pool",
    "MAC": "drawn from a seed",
    "location": "of a disk its UUID, of a console its own reference",
    "address": "127.0.0.1 and so on, where the simulated hosts listen",
    "IP": "the same",
    "device_config": "names the address",
    "agent_start_time": "when that toolstack started",
    "boot_time": "when that host booted",
    "mac_seed": "drawn from a seed",
    "import_task": "the task of the join, gone long before",
    "generation_id": "drawn from a seed",
    "last_updated": "when that was",
    "start_time": "when that was",
    "not_before": "when that was",
    "not_after": "when that was",
    "telemetry_uuid": "a secret, which no recorded class lists",
    "telemetry_next_collection": "drawn at random",
    "fingerprint": "of that certificate",
    "fingerprint_sha256": "of that certificate",
    "fingerprint_sha1": "of that certificate",
    "memory_actual": "nothing but 0 below that toolstack, whose guests were simulated",
    "VCPUs_utilisation": "the same",
    "user_version": "set by a person: 7",
    "name_description": "set by a person, of a host",
    "last_booted_record": "of a hypervisor that was simulated in another way",
}
"""Fields, and keys of maps, that are not compared, and why."""
NOT_HERE = frozenset({"role", "task", "message", "subject"})
"""Classes that no description fills."""


def recorded() -> Records:
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for item in trace.requests("03"):
        cls = item.method.partition(".")[0]
        value = item.data["parsed"].get("Value")
        if isinstance(value, dict) and cls not in NOT_HERE:
            found |= {ref: (cls, read_record(cls, record)) for ref, record in value.items()}
    return found


def described() -> Records:
    store = Store(Schema.load())
    WorldBuilder(store, Clock(), make_early_lab()).build()
    classes = {cls for cls, _ in recorded().values()}
    return {ref: (cls, store.record(cls, ref)) for cls in classes for ref in store.refs(cls)}


def name_of(records: Records, ref: str) -> str:
    """Name an object by what it is, the same in both pools."""
    if ref not in records:
        return ref if ref in {"", NULL} else "something else"
    cls, record = records[ref]
    keys = NAMED_BY.get(cls)
    if keys is not None:
        return f"{cls} of {', '.join(str(_translate(records, record[key])) for key in keys)}"
    for field, owners in OWNERS.items():
        for owner, (owner_cls, owned) in records.items():
            if owner_cls in owners and owned.get(field) == ref:
                return f"{field} of {name_of(records, owner)}"
    return f"{cls} {record['name_label']}"


def _translate(records: Records, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _translate(records, item) for key, item in value.items() if key not in NOT_SHOWN}
    if isinstance(value, list):
        return sorted((_translate(records, item) for item in value), key=str)
    return name_of(records, value) if isinstance(value, str) and value.startswith("OpaqueRef:") else value


def by_name(records: Records) -> dict[str, dict[str, Any]]:
    return {
        name_of(records, ref): {
            field: _translate(records, value) for field, value in record.items() if field not in NOT_SHOWN
        }
        for ref, (_, record) in records.items()
    }


@pytest.fixture(scope="module")
def pools() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    return by_name(recorded()), by_name(described())


def test_the_same_objects_are_there(pools: tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]) -> None:
    real, ours = pools
    assert sorted(ours) == sorted(real)
    assert len(real) == len(recorded())


def test_every_field_is_as_recorded(pools: tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]) -> None:
    real, ours = pools
    differences = [
        f"{name}.{field}: {value!r}, not {ours[name].get(field)!r}"
        for name, record in real.items()
        for field, value in record.items()
        if ours[name].get(field) != value
    ]
    assert differences == []


def test_what_is_not_compared_is_there_all_the_same() -> None:
    fields = {field for _, record in recorded().values() for field in record}
    keys = {
        key for _, record in recorded().values() for value in record.values() if type(value) is dict for key in value
    }
    assert set(NOT_SHOWN) <= fields | keys
