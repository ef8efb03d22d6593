"""A snapshot that every rule passes, and ways to change one thing in it."""

from __future__ import annotations

import dataclasses
from typing import Any

from lmflow.models import PBD, PIF, SR, VBD, VDI, VIF, VM, Host, Network, Pool, Snapshot, Terms, XapiError

A = Host(
    "a", "xcp-a", "10.0.0.1", enabled=True, live=True, is_coordinator=True, cpu_vendor="GenuineIntel",
    cpu_features="ffff-00ff", software_version={"platform_version": "3.2.1"}, agent_start_time="100.",
)  # fmt: skip
B = dataclasses.replace(A, uuid="b", name_label="xcp-b", address="10.0.0.2", is_coordinator=False)
DISK = VBD("vbd1", "0", "Disk", empty=False, currently_attached=True, vdi=VDI("vdi1", "root", "nfs"))
DRIVE = VBD("vbd2", "3", "CD", empty=True, currently_attached=True)
LOCAL_DISK = dataclasses.replace(DISK, vdi=VDI("vdi9", "data", "local"))
LOCAL_DISC = VBD("vbd3", "4", "CD", empty=False, currently_attached=True, vdi=VDI("vdi8", "tools.iso", "local"))
VM_V = VM(
    uuid="v", name_label="web", power_state="Running", resident_on_uuid="a", scheduled_to_be_resident_on_uuid=None,
    allowed_operations=("pool_migrate",), last_boot_cpu_flags={"vendor": "GenuineIntel", "features": "0fff-000f"},
    can_suspend=True, vbds=(DISK, DRIVE), vifs=(VIF("vif", "0", "net", currently_attached=True),),
)  # fmt: skip
GOOD = Snapshot(
    observed_at=10_000.0,
    pool=Pool("p", "lab", "a"),
    vm=VM_V,
    source_uuid="a",
    destination_uuid="b",
    hosts=(A, B),
    srs=(SR("nfs", "nfs", "nfs", shared=True), SR("local", "local-ssd", "lvm", shared=False)),
    pbds=(PBD("pa", "nfs", "a", currently_attached=True), PBD("pb", "nfs", "b", currently_attached=True)),
    networks=(Network("net", "lan"),),
    pifs=(
        PIF("fa", "net", "a", currently_attached=True, management=True, ip="10.0.0.1"),
        PIF("fb", "net", "b", currently_attached=True, management=True, ip="10.0.0.2"),
    ),
    may_migrate=True,
)


def change(**changes: Any) -> Snapshot:
    """Return the good one with other fields."""
    return dataclasses.replace(GOOD, **changes)


def with_vm(**changes: Any) -> Snapshot:
    """Return the good one with another VM."""
    return change(vm=dataclasses.replace(VM_V, **changes))


def with_a(**changes: Any) -> Snapshot:
    """Return the good one with another source."""
    return change(hosts=(dataclasses.replace(A, **changes), B))


def with_b(**changes: Any) -> Snapshot:
    """Return the good one with another destination."""
    return change(hosts=(A, dataclasses.replace(B, **changes)))


def with_pif(host: str, **changes: Any) -> Snapshot:
    """Return the good one with another interface of a host, and a migration over its network."""
    pifs = tuple(dataclasses.replace(pif, **changes) if pif.host_uuid == host else pif for pif in GOOD.pifs)
    return change(pifs=pifs, terms=Terms(network_uuid="net"))


def with_pool(**changes: Any) -> Snapshot:
    """Return the good one with another pool."""
    return change(pool=dataclasses.replace(GOOD.pool, **changes))


def on_terms(snapshot: Snapshot = GOOD, **terms: Any) -> Snapshot:
    """Return a snapshot on other terms."""
    return dataclasses.replace(snapshot, terms=Terms(**terms))


def answered(code: str, *params: str) -> Snapshot:
    """Return the good one with an objection of XAPI."""
    return change(boot_check=XapiError(code, params))


def unasked(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """Return a snapshot about which XAPI was not asked."""
    return dataclasses.replace(snapshot, boot_asked=False, **changes)
