"""XAPI's records into models: pure functions over what the SDK parsed.

Numbers come as text; fields that an older release does not have get the default they would have there. ``uuids``
maps references to UUIDs; a reference that it does not hold counts as none, as OpaqueRef:NULL does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lmflow.models import PBD, PIF, SR, VBD, VDI, VIF, VM, Host, Network, Pool, TaskView, XapiError

Record = Mapping[str, Any]
Uuids = Mapping[str, str]

ATTEMPT_KEY = "http:lmflow-attempt"
NULL = "OpaqueRef:NULL"

_DIGITS = re.compile(r"[0-9a-f]")


def is_null(reference: Any) -> bool:
    """Say whether a reference means nothing: OpaqueRef:NULL, empty, or absent."""
    return not reference or reference == NULL


def make_ref_digits(reference: str) -> str:
    """Return the first twelve hex digits of a task's reference, by which xenopsd names the task."""
    return "".join(_DIGITS.findall(reference.partition(":")[2].lower()))[:12]


def make_vm(
    record: Record,
    uuids: Uuids,
    *,
    guest_metrics: Record | None = None,
    vbds: tuple[VBD, ...] = (),
    vifs: tuple[VIF, ...] = (),
) -> VM:
    """Return the VM of a record; ``guest_metrics`` is the record its ``guest_metrics`` names, if any."""
    return VM(
        uuid=_text(record, "uuid"),
        name_label=_text(record, "name_label"),
        power_state=_text(record, "power_state"),
        resident_on_uuid=uuids.get(record.get("resident_on", NULL)),
        scheduled_to_be_resident_on_uuid=uuids.get(record.get("scheduled_to_be_resident_on", NULL)),
        is_a_template=_flag(record, "is_a_template"),
        is_a_snapshot=_flag(record, "is_a_snapshot"),
        is_control_domain=_flag(record, "is_control_domain"),
        allowed_operations=_texts(record, "allowed_operations"),
        current_operations=_operations(record),
        blocked_operations=_map(record, "blocked_operations"),
        memory_dynamic_min_bytes=_number(record, "memory_dynamic_min"),
        memory_dynamic_max_bytes=_number(record, "memory_dynamic_max"),
        memory_static_max_bytes=_number(record, "memory_static_max"),
        memory_overhead_bytes=_number(record, "memory_overhead"),
        domid=int(record.get("domid", -1)),
        last_boot_cpu_flags=_map(record, "last_boot_CPU_flags"),
        hardware_platform_version=_number(record, "hardware_platform_version"),
        domain_type=_text(record, "domain_type"),
        pv_kernel=_text(record, "PV_kernel"),
        pv_ramdisk=_text(record, "PV_ramdisk"),
        pv_bootloader=_text(record, "PV_bootloader"),
        can_suspend=can_suspend(guest_metrics),
        vbds=vbds,
        vifs=vifs,
        vcpus_max=_number(record, "VCPUs_max"),
        vcpus_unrestricted="vcpu-unrestricted" in _map(record, "platform"),
    )


def can_suspend(guest_metrics: Record | None) -> bool | None:
    """Say whether the guest can be suspended, as a live migration needs; None without guest metrics.

    The guest's own ``feature-suspend`` decides. A guest that says nothing of it can, if it has PV drivers:
    XAPI takes them to imply every feature.
    """
    if guest_metrics is None:
        return None
    feature = _map(guest_metrics, "other").get("feature-suspend")
    if feature is not None:
        return feature == "1"
    return _flag(guest_metrics, "PV_drivers_detected") or bool(_map(guest_metrics, "PV_drivers_version"))


def make_host(record: Record, metrics: Record | None, *, is_coordinator: bool) -> Host:
    """Return the host of a record; without its metrics it counts as not live.

    ``cpu_features`` is what HVM guests see (older releases know one set only), ``cpu_features_pv`` what PV guests see.
    """
    cpu = _map(record, "cpu_info")
    return Host(
        uuid=_text(record, "uuid"),
        name_label=_text(record, "name_label"),
        address=_text(record, "address"),
        enabled=_flag(record, "enabled"),
        live=metrics is not None and _flag(metrics, "live"),
        is_coordinator=is_coordinator,
        agent_start_time=_map(record, "other_config").get("agent_start_time", ""),
        software_version=_map(record, "software_version"),
        cpu_vendor=cpu.get("vendor", ""),
        cpu_features=cpu.get("features_hvm") or cpu.get("features", ""),
        cpu_features_pv=cpu.get("features_pv") or cpu.get("features", ""),
        memory_total_bytes=_number(metrics or {}, "memory_total"),
        memory_free_bytes=_number(metrics or {}, "memory_free"),
        current_operations=_operations(record),
        memory_overhead_bytes=_number(record, "memory_overhead"),
        cpu_count=len(_texts(record, "host_CPUs")),
        hardware_platform_versions=_numbers(record, "virtual_hardware_platform_versions"),
    )


def make_pool(record: Record, uuids: Uuids) -> Pool:
    """Return the pool of a record."""
    return Pool(
        uuid=_text(record, "uuid"),
        name_label=_text(record, "name_label"),
        coordinator_uuid=uuids.get(record.get("master", NULL), ""),
        rolling_upgrade="rolling_upgrade_in_progress" in _map(record, "other_config"),
    )


def make_vdi(record: Record, uuids: Uuids) -> VDI:
    """Return the VDI of a record."""
    return VDI(
        uuid=_text(record, "uuid"),
        name_label=_text(record, "name_label"),
        sr_uuid=uuids.get(record.get("SR", NULL), ""),
        sm_config=_map(record, "sm_config"),
    )


def make_vbd(record: Record, vdi: VDI | None) -> VBD:
    """Return the VBD of a record."""
    return VBD(
        uuid=_text(record, "uuid"),
        userdevice=_text(record, "userdevice"),
        type=_text(record, "type"),
        empty=_flag(record, "empty"),
        currently_attached=_flag(record, "currently_attached"),
        vdi=vdi,
    )


def make_vif(record: Record, uuids: Uuids) -> VIF:
    """Return the VIF of a record."""
    return VIF(
        uuid=_text(record, "uuid"),
        device=_text(record, "device"),
        network_uuid=uuids.get(record.get("network", NULL), ""),
        currently_attached=_flag(record, "currently_attached"),
    )


def make_sr(record: Record) -> SR:
    """Return the SR of a record."""
    return SR(
        uuid=_text(record, "uuid"),
        name_label=_text(record, "name_label"),
        type=_text(record, "type"),
        shared=_flag(record, "shared"),
    )


def make_network(record: Record) -> Network:
    """Return the network of a record."""
    return Network(
        uuid=_text(record, "uuid"),
        name_label=_text(record, "name_label"),
        wired=bool(_texts(record, "PIFs")),
        assumed_shared=_map(record, "other_config").get("assume_network_is_shared") == "true",
    )


def make_pbd(record: Record, uuids: Uuids) -> PBD:
    """Return the PBD of a record."""
    return PBD(
        uuid=_text(record, "uuid"),
        sr_uuid=uuids.get(record.get("SR", NULL), ""),
        host_uuid=uuids.get(record.get("host", NULL), ""),
        currently_attached=_flag(record, "currently_attached"),
    )


def make_pif(record: Record, uuids: Uuids) -> PIF:
    """Return the PIF of a record."""
    return PIF(
        uuid=_text(record, "uuid"),
        network_uuid=uuids.get(record.get("network", NULL), ""),
        host_uuid=uuids.get(record.get("host", NULL), ""),
        currently_attached=_flag(record, "currently_attached"),
    )


def make_task(reference: str, record: Record, error: XapiError | None) -> TaskView:
    """Return the task of a record; ``error`` is its error_info without references.

    ``cancelling`` counts as pending: the task still runs.
    """
    status = _text(record, "status")
    return TaskView(
        uuid=_text(record, "uuid"),
        name_label=_text(record, "name_label"),
        status="pending" if status == "cancelling" else status,
        progress=float(record.get("progress") or 0.0),
        cancellable="cancel" in _texts(record, "allowed_operations"),
        error=error,
        attempt_id=_map(record, "other_config").get(ATTEMPT_KEY),
        ref_digits=make_ref_digits(reference),
    )


def _text(record: Record, field: str) -> str:
    return str(record.get(field, ""))


def _texts(record: Record, field: str) -> tuple[str, ...]:
    return tuple(str(item) for item in record.get(field) or ())


def _map(record: Record, field: str) -> dict[str, str]:
    return {str(key): str(value) for key, value in (record.get(field) or {}).items()}


def _flag(record: Record, field: str) -> bool:
    return record.get(field) in (True, "true", "1")


def _number(record: Record, field: str) -> int:
    return int(record.get(field) or 0)


def _numbers(record: Record, field: str) -> tuple[int, ...]:
    return tuple(int(item) for item in record.get(field) or ())


def _operations(record: Record) -> tuple[str, ...]:
    """Return what goes on with an object; the map's keys are task references and stay here."""
    return tuple(sorted(_map(record, "current_operations").values()))
