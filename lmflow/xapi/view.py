"""What the stream of a pool's events has told so far: records of the objects that somebody looked at.

Pure: no calls, no locks, no clock. Records are cut to the fields that looks need.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "task": frozenset({"uuid", "name_label", "status", "progress", "allowed_operations", "other_config", "error_info"}),
    "vm": frozenset(
        {
            *("uuid", "name_label", "power_state", "resident_on", "scheduled_to_be_resident_on", "domid"),
            *("is_a_template", "is_a_snapshot", "is_control_domain", "guest_metrics", "metrics", "platform"),
            *("allowed_operations", "current_operations", "blocked_operations", "other_config", "domain_type"),
            *("memory_dynamic_min", "memory_dynamic_max", "memory_static_max", "memory_overhead", "groups"),
            *("last_boot_CPU_flags", "hardware_platform_version", "HVM_boot_policy", "VCPUs_max", "VBDs", "VIFs"),
            *("PV_kernel", "PV_ramdisk", "PV_bootloader", "attached_PCIs", "VUSBs", "VGPUs", "ha_restart_priority"),
        }
    ),
    "vbd": frozenset({"uuid", "userdevice", "type", "empty", "currently_attached", "device", "VDI"}),
    "vif": frozenset({"uuid", "device", "network", "currently_attached"}),
    "host": frozenset(
        {
            *("uuid", "name_label", "address", "enabled", "other_config", "software_version", "cpu_info", "metrics"),
            *("current_operations", "memory_overhead", "host_CPUs", "virtual_hardware_platform_versions"),
        }
    ),
    "host_metrics": frozenset({"uuid", "live", "memory_total", "memory_free"}),
    "pool": frozenset(
        {
            *("uuid", "name_label", "master", "other_config", "restrictions"),
            *("ha_enabled", "ha_host_failures_to_tolerate", "ha_plan_exists_for"),
        }
    ),
}
"""The classes that are followed, in small letters as events name them, and what is kept of their records."""

WHOLE: Final = ("host", "host_metrics", "pool")
"""Classes of which every object is known: they have as many as the pool has hosts."""

_LARGEST = 2000
"""How many records of the other classes are kept; the one that was not looked at for the longest goes first."""


class Change(NamedTuple):
    """What one event told: the object's UUID, '' where it is not known, and its record, None when it is gone."""

    class_name: str
    uuid: str
    record: Mapping[str, Any] | None
    before: Mapping[str, Any] | None
    """What was kept of it before."""


class _Cut(dict[str, Any]):
    """A record without what looks do not need. Asking it for such a field is a mistake in our own code, never absence.

    A field that the release does not have is absent as in any record.
    """

    __slots__ = ("kept",)

    def __init__(self, record: Mapping[str, Any], kept: frozenset[str]) -> None:
        super().__init__((key, record[key]) for key in kept if key in record)
        self.kept = kept

    def get(self, key: str, default: Any = None) -> Any:
        """Return the field's value, or the default in a release that does not have it."""
        if key not in self.kept:
            raise LookupError(f"{key} is not kept of this record: see FIELDS")
        return super().get(key, default)


class View:
    """Records by class and reference. Only an answer that is ``whole`` says that there is nothing else."""

    def __init__(self) -> None:
        self._whole: dict[str, dict[str, Any]] = {}
        self._records: collections.OrderedDict[tuple[str, str], Any] = collections.OrderedDict()
        self._references: collections.OrderedDict[tuple[str, str], str] = collections.OrderedDict()
        self._uuids: dict[tuple[str, str], str] = {}

    def find(self, method: str, args: tuple[Any, ...]) -> Any:
        """Return what that reading call would, of what is known; None when it must be asked."""
        name, _, verb = method.rpartition(".")
        class_name = name.lower()
        if class_name not in FIELDS:
            return None
        if verb == "get_all_records" and class_name in self._whole:
            return dict(self._whole[class_name])
        if verb == "get_by_uuid":
            return self._references.get((class_name, args[0]))
        if verb in ("get_record", "get_uuid"):
            record = self.find_record(class_name, args[0])
            return record if record is None or verb == "get_record" else record["uuid"]
        return None

    def find_record(self, class_name: str, reference: str) -> Any:
        """Return what is kept of the object's record; None when it is not known."""
        if class_name in WHOLE:
            return self._whole.get(class_name, {}).get(reference)
        found = self._records.get((class_name, reference))
        if found is not None:
            self._records.move_to_end((class_name, reference))
        return found

    def find_reference(self, class_name: str, uuid: str) -> str | None:
        """Return the reference of a UUID, None when it is not known."""
        return self._references.get((class_name, uuid))

    def put(self, method: str, args: tuple[Any, ...], value: Any) -> None:
        """Keep what a call made just now returned, as far as it is followed."""
        name, _, verb = method.rpartition(".")
        class_name = name.lower()
        if class_name not in FIELDS:
            return
        if verb == "get_all_records" and class_name in WHOLE:
            kept = FIELDS[class_name]
            self._whole[class_name] = {reference: _Cut(record, kept) for reference, record in value.items()}
        elif verb == "get_record":
            self._keep(class_name, args[0], _Cut(value, FIELDS[class_name]))
        elif verb == "get_by_uuid":
            self._name(class_name, args[0], value)
        elif verb == "get_uuid":
            self._name(class_name, value, args[0])

    def apply(self, events: list[Mapping[str, Any]]) -> Iterator[Change]:
        """Take over what a batch of events tells, and say what that is, object by object."""
        for event in events:
            class_name, reference = str(event["class"]).lower(), str(event["ref"])
            if class_name not in FIELDS:
                continue
            snapshot = event.get("snapshot")
            before = self._whole.get(class_name, {}).get(reference) or self._records.get((class_name, reference))
            if event["operation"] == "del" or not snapshot:
                yield Change(class_name, self._drop(class_name, reference), None, before)
                continue
            record = _Cut(snapshot, FIELDS[class_name])
            if class_name in self._whole or before is not None:
                self._keep(class_name, reference, record)
            yield Change(class_name, str(record.get("uuid", "")), record, before)

    def is_complete(self, counts: Mapping[str, Any]) -> bool:
        """Say whether as many objects are known as the pool counts, where all are to be."""
        return all(int(counts.get(name, len(known))) == len(known) for name, known in self._whole.items())

    def _keep(self, class_name: str, reference: str, record: _Cut) -> None:
        if class_name in WHOLE:
            if class_name in self._whole:
                self._whole[class_name][reference] = record
        else:
            self._records[class_name, reference] = record
            self._records.move_to_end((class_name, reference))
            if len(self._records) > _LARGEST:
                self._records.popitem(last=False)
        if "uuid" in record:
            self._name(class_name, record["uuid"], reference)

    def _name(self, class_name: str, uuid: str, reference: str) -> None:
        self._references[class_name, uuid] = reference
        self._references.move_to_end((class_name, uuid))
        self._uuids[class_name, reference] = uuid
        if len(self._references) > 2 * _LARGEST:
            (class_name, _), reference = self._references.popitem(last=False)
            self._uuids.pop((class_name, reference), None)

    def _drop(self, class_name: str, reference: str) -> str:
        """Forget an object that is gone; return its UUID, '' where it is not known."""
        self._records.pop((class_name, reference), None)
        self._whole.get(class_name, {}).pop(reference, None)
        uuid = self._uuids.pop((class_name, reference), "")
        self._references.pop((class_name, uuid), None)
        return uuid
