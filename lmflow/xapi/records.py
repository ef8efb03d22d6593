"""XAPI's records into models: pure functions over what the SDK parsed.

Numbers come as text; fields that an older release does not have get the default they would have there. ``uuids``
maps references to UUIDs; a reference that it does not hold counts as none, as OpaqueRef:NULL does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lmflow.models import PBD, PIF, SR, VBD, VDI, VIF, VM, Host, Network, Pool, TaskView, VMGroup, XapiError

Record = Mapping[str, Any]
Uuids = Mapping[str, str]

ATTEMPT_KEY = "http:lmflow-attempt"
RUN_KEY: Final = "lmflow-run"
"""The key of other_config that names a run: on a VM the one that holds it, on a PBD the one that made it."""
NULL = "OpaqueRef:NULL"
GUEST_FILES_KEY: Final = "lmflow-guest-files"
"""The key of a host's other_config by which its dom0 says that it has lmflow's plugin for kernels."""
INTRODUCED_KEY: Final = "lmflow-introduced-for"
"""The key of an SR's or a PBD's other_config that says for which VM alone it was introduced, by UUID."""

MIRROR_KEY: Final = "base_mirror"
"""The key of a disk's sm_config that an interrupted storage migration leaves behind."""

# What rules ask of a disk's sm_config. The rest is its SR's own, and a VM may have many disks.
_DISK_KEYS = frozenset({"caching", "on_boot", MIRROR_KEY})
_YES = (True, "true", "1")
_CLAIM_LENGTH = 64
_MOVABLE_VGPUS = frozenset({"nvidia", "nvidia_sriov"})
_LINK_LOCAL = "fe80:"
_NO_SUSPEND_KEY = "data-cant-suspend-reason"
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
    metrics: Record | None = None,
    guest_metrics: Record | None = None,
    vgpus: Iterable[str] = (),
    vbds: tuple[VBD, ...] = (),
    vifs: tuple[VIF, ...] = (),
) -> VM:
    """Return the VM of a record.

    ``metrics`` and ``guest_metrics`` are the records that it names, if any; ``vgpus`` the implementations of its
    virtual GPUs.
    """
    platform = _map(record, "platform")
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
        can_suspend=can_suspend(record, guest_metrics),
        vbds=vbds,
        vifs=vifs,
        vcpus_max=_number(record, "VCPUs_max"),
        vcpus_unrestricted=_flag(platform, "vcpu-unrestricted"),
        is_immobile=is_immobile(platform, metrics),
        has_pci=bool(record.get("attached_PCIs")),
        has_vgpu=not _MOVABLE_VGPUS.issuperset(vgpus),
        has_vusb=bool(record.get("VUSBs")),
        ha_restart_priority=_text(record, "ha_restart_priority"),
        group_uuids=tuple(sorted(uuids[ref] for ref in record.get("groups") or () if ref in uuids)),
        claimed_by=make_claim(record),
    )


def make_claim(record: Record) -> str:
    """Return the UUID of the run that holds the VM of this record, '' for none; a key without a value reads as ``?``.

    Anybody may have written anything there: what is longer than a UUID by far is cut.
    """
    marks = _map(record, "other_config")
    return (marks[RUN_KEY][:_CLAIM_LENGTH] or "?") if RUN_KEY in marks else ""


def make_resident(record: Record, uuids: Uuids) -> VM:
    """Return a VM that matters only for the room it takes and the company it keeps: what it is made of is left out."""
    return VM(
        uuid=record["uuid"],
        name_label=record["name_label"],
        power_state=record["power_state"],
        resident_on_uuid=uuids.get(record.get("resident_on", NULL)),
        scheduled_to_be_resident_on_uuid=uuids.get(record.get("scheduled_to_be_resident_on", NULL)),
        is_a_template=_flag(record, "is_a_template"),
        is_a_snapshot=_flag(record, "is_a_snapshot"),
        is_control_domain=_flag(record, "is_control_domain"),
        current_operations=_operations(record),
        memory_dynamic_min_bytes=_number(record, "memory_dynamic_min"),
        memory_dynamic_max_bytes=_number(record, "memory_dynamic_max"),
        memory_static_max_bytes=_number(record, "memory_static_max"),
        memory_overhead_bytes=_number(record, "memory_overhead"),
        domain_type=_text(record, "domain_type"),
        ha_restart_priority=_text(record, "ha_restart_priority"),
        group_uuids=tuple(sorted(uuids[ref] for ref in record.get("groups") or () if ref in uuids)),
    )


def is_immobile(platform: Mapping[str, str], metrics: Record | None) -> bool:
    """Say whether the domain was built so that it cannot move; for a VM that has none, whether it would be.

    Source: nomigrate and nested_virt in xapi_vm_lifecycle.ml.
    """
    known = metrics or {}
    return any(
        _flag(known, field) if field in known else _flag(platform, key)
        for field, key in (("nomigrate", "nomigrate"), ("nested_virt", "nested-virt"))
    )


def list_implementations(vgpus: Iterable[Record], types: Mapping[str, Record]) -> tuple[str, ...]:
    """Return how each virtual GPU is made, '' where its type is unknown."""
    return tuple(_text(types.get(vgpu.get("type", NULL), {}), "implementation") for vgpu in vgpus)


def can_suspend(record: Record, guest_metrics: Record | None) -> bool | None:
    """Say whether the guest can be suspended, as a live migration needs; None when what it reported was not read.

    A guest that gives a reason against it cannot; a paravirtualised one else can. The others' ``feature-suspend``
    decides; one that says nothing of it can, if it has PV drivers: XAPI takes them to imply every feature. One that
    never reported anything cannot.
    Source: check_op_for_feature in xapi_vm_lifecycle.ml.
    """
    said = _map(guest_metrics or {}, "other")
    if _NO_SUSPEND_KEY in said:
        return False
    if _is_paravirtualised(record):
        return True
    if guest_metrics is None:
        return False if is_null(record.get("guest_metrics", "unknown")) else None
    feature = said.get("feature-suspend")
    if feature is not None:
        return feature == "1"
    return _flag(guest_metrics, "PV_drivers_detected") or bool(_map(guest_metrics, "PV_drivers_version"))


def _is_paravirtualised(record: Record) -> bool:
    """Say whether the guest is of type pv; older releases tell it by having no firmware to boot from."""
    kind = _text(record, "domain_type")
    return kind == "pv" if kind not in ("", "unspecified") else record.get("HVM_boot_policy") == ""


def make_host(record: Record, metrics: Record | None, *, is_coordinator: bool) -> Host:
    """Return the host of a record; without its metrics it counts as not live.

    ``cpu_features`` is what HVM guests see (older releases know one set only), ``cpu_features_pv`` what PV guests see.
    """
    cpu, own = _map(record, "cpu_info"), _map(record, "other_config")
    return Host(
        uuid=_text(record, "uuid"),
        name_label=_text(record, "name_label"),
        address=_text(record, "address"),
        enabled=_flag(record, "enabled"),
        live=metrics is not None and _flag(metrics, "live"),
        is_coordinator=is_coordinator,
        agent_start_time=own.get("agent_start_time", ""),
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
        guest_files=_flag(own, GUEST_FILES_KEY),
    )


def make_pool(record: Record, uuids: Uuids) -> Pool:
    """Return the pool of a record."""
    return Pool(
        uuid=_text(record, "uuid"),
        name_label=_text(record, "name_label"),
        coordinator_uuid=uuids.get(record.get("master", NULL), ""),
        rolling_upgrade="rolling_upgrade_in_progress" in _map(record, "other_config"),
        ha_enabled=_flag(record, "ha_enabled"),
        ha_failures_to_tolerate=_number(record, "ha_host_failures_to_tolerate"),
        ha_plan_exists_for=_number(record, "ha_plan_exists_for"),
        is_licensed=not _flag(_map(record, "restrictions"), "restrict_xen_motion"),
    )


def make_group(record: Record) -> VMGroup:
    """Return the VM group of a record."""
    return VMGroup(
        uuid=_text(record, "uuid"), name_label=_text(record, "name_label"), placement=_text(record, "placement")
    )


def make_vdi(record: Record, uuids: Uuids) -> VDI:
    """Return the VDI of a record."""
    return VDI(
        uuid=_text(record, "uuid"),
        name_label=_text(record, "name_label"),
        sr_uuid=uuids.get(record.get("SR", NULL), ""),
        sm_config={key: value for key, value in _map(record, "sm_config").items() if key in _DISK_KEYS},
        on_boot=_text(record, "on_boot") or "persist",
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
        introduced_for=_map(record, "other_config").get(INTRODUCED_KEY, ""),
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
        introduced_for=_map(record, "other_config").get(INTRODUCED_KEY, ""),
    )


def make_pif(record: Record, uuids: Uuids) -> PIF:
    """Return the PIF of a record, with its addresses of the family that XAPI uses on it; one of the link alone is none.

    Source: xapi_vm_migrate.ml, get_non_link_ipv6 in xapi_pif_helpers.ml.
    """
    by_ipv6 = _text(record, "primary_address_type") == "IPv6"
    wide = tuple(text for text in _texts(record, "IPv6") if text and not text.lower().startswith(_LINK_LOCAL))
    return PIF(
        uuid=_text(record, "uuid"),
        network_uuid=uuids.get(record.get("network", NULL), ""),
        host_uuid=uuids.get(record.get("host", NULL), ""),
        currently_attached=_flag(record, "currently_attached"),
        management=_flag(record, "management"),
        ip="" if by_ipv6 else _text(record, "IP"),
        ipv6=wide if by_ipv6 else (),
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
    return record.get(field) in _YES


def _number(record: Record, field: str) -> int:
    return int(record.get(field) or 0)


def _numbers(record: Record, field: str) -> tuple[int, ...]:
    return tuple(int(item) for item in record.get(field) or ())


def _operations(record: Record) -> tuple[str, ...]:
    """Return what goes on with an object; the map's keys are task references and stay here."""
    return tuple(sorted(_map(record, "current_operations").values()))
