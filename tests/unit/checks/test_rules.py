"""Each rule: one snapshot that passes, and one change that does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lmflow import checks
from lmflow.models import PBD, PIF, SR, VBD, VDI, VIF, VM, Host, Network, Pool, Snapshot, XapiError

A = Host(
    "a", "xcp-a", "10.0.0.1", enabled=True, live=True, is_coordinator=True, cpu_vendor="GenuineIntel",
    cpu_features="ffff-00ff", software_version={"platform_version": "3.2.1"},
)  # fmt: skip
B = dataclasses.replace(A, uuid="b", name_label="xcp-b", address="10.0.0.2", is_coordinator=False)
DISK = VBD("vbd1", "0", "Disk", empty=False, currently_attached=True, vdi=VDI("vdi1", "root", "nfs"))
DRIVE = VBD("vbd2", "3", "CD", empty=True, currently_attached=True)
VM_V = VM(
    uuid="v", name_label="web", power_state="Running", resident_on_uuid="a", scheduled_to_be_resident_on_uuid=None,
    allowed_operations=("pool_migrate",), last_boot_cpu_flags={"vendor": "GenuineIntel", "features": "0fff-000f"},
    can_suspend=True, vbds=(DISK, DRIVE), vifs=(VIF("vif", "0", "net", currently_attached=True),),
)  # fmt: skip
GOOD = Snapshot(
    observed_at=0.0,
    pool=Pool("p", "lab", "a"),
    vm=VM_V,
    source_uuid="a",
    destination_uuid="b",
    hosts=(A, B),
    srs=(SR("nfs", "nfs", "nfs", shared=True), SR("local", "local-ssd", "lvm", shared=False)),
    pbds=(PBD("pa", "nfs", "a", currently_attached=True), PBD("pb", "nfs", "b", currently_attached=True)),
    networks=(Network("net", "lan"),),
    pifs=(PIF("fa", "net", "a", currently_attached=True), PIF("fb", "net", "b", currently_attached=True)),
)


def with_vm(**changes: Any) -> Snapshot:
    return dataclasses.replace(GOOD, vm=dataclasses.replace(VM_V, **changes))


def with_b(**changes: Any) -> Snapshot:
    return dataclasses.replace(GOOD, hosts=(A, dataclasses.replace(B, **changes)))


def answered(code: str, *params: str) -> Snapshot:
    return dataclasses.replace(GOOD, boot_check=XapiError(code, params))


def unasked(snapshot: Snapshot, **changes: Any) -> Snapshot:
    return dataclasses.replace(snapshot, boot_asked=False, **changes)


LOCAL_DISK = dataclasses.replace(DISK, vdi=VDI("vdi9", "data", "local"))
OLD = {"software_version": {"platform_version": "3.2.0"}}

ROWS = [
    ("pool", "HOST_NOT_IN_POOL", dataclasses.replace(GOOD, hosts=(A,))),
    ("pool", "NOT_SUPPORTED_DURING_UPGRADE", dataclasses.replace(with_b(**OLD), pool=Pool("p", "lab", "a", rolling_upgrade=True))),
    ("host", "HOST_NOT_LIVE", with_b(live=False)),
    ("host", "HOST_OFFLINE", dataclasses.replace(GOOD, hosts=(dataclasses.replace(A, live=False), B))),
    ("host", "HOST_DISABLED", with_b(enabled=False)),
    ("host", "OTHER_OPERATION_IN_PROGRESS", with_b(current_operations=("evacuate",))),
    ("host", "VM_HOST_INCOMPATIBLE_VERSION", with_b(**OLD)),
    ("host", "VM_REQUIRES_IOMMU", answered("VM_REQUIRES_IOMMU", "v", "b")),
    ("sr", "VM_REQUIRES_SR", with_vm(vbds=(DISK, LOCAL_DISK))),
    ("sr", "VM_REQUIRES_SR", answered("VM_REQUIRES_SR", "v", "nfs")),
    ("network", "VM_REQUIRES_NETWORK", dataclasses.replace(GOOD, pifs=GOOD.pifs[:1])),
    ("network", "VM_REQUIRES_NETWORK", answered("VM_REQUIRES_NETWORK", "v", "net")),
    ("cpu", "VM_INCOMPATIBLE_WITH_THIS_HOST", with_b(cpu_features="0ff0-00ff")),
    ("cpu", "VM_INCOMPATIBLE_WITH_THIS_HOST", with_b(cpu_vendor="AuthenticAMD")),
    ("cpu", "VM_HVM_REQUIRED", answered("VM_HVM_REQUIRED", "v")),
    ("memory", "HOST_NOT_ENOUGH_FREE_MEMORY", answered("HOST_NOT_ENOUGH_FREE_MEMORY", "1073741824", "104857600")),
    ("memory", "HOST_NOT_ENOUGH_FREE_MEMORY", unasked(with_vm(memory_dynamic_min_bytes=90, memory_overhead_bytes=11), free_bytes=100)),
    ("cpu", "HOST_NOT_ENOUGH_PCPUS", unasked(dataclasses.replace(with_vm(vcpus_max=9), hosts=(A, dataclasses.replace(B, cpu_count=8))))),
    ("host", "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION", unasked(with_b(hardware_platform_versions=(1, 2)))),
    ("network", "VM_REQUIRES_NETWORK", unasked(GOOD, pifs=(), networks=(Network("net", "inside", wired=False),))),
    ("vm", "VM_BAD_POWER_STATE", with_vm(power_state="Halted", allowed_operations=())),
    ("vm", "VM_BAD_POWER_STATE", with_vm(power_state="Suspended", allowed_operations=())),
    ("vm", "VM_IS_TEMPLATE", with_vm(is_a_template=True)),
    ("vm", "VM_IS_SNAPSHOT", with_vm(is_a_snapshot=True, is_a_template=True)),
    ("vm", "OPERATION_NOT_ALLOWED", with_vm(is_control_domain=True)),
    ("vm", "OPERATION_BLOCKED", with_vm(blocked_operations={"pool_migrate": "licence server"}, allowed_operations=())),
    ("vm", "OPERATION_NOT_ALLOWED", with_vm(allowed_operations=("clean_shutdown",))),
    ("vm", "VM_LACKS_FEATURE", with_vm(can_suspend=False, allowed_operations=())),
    ("vm", "VM_REQUIRES_KERNEL", with_vm(pv_kernel="/var/lib/xcp/guest/vmlinuz")),
]  # fmt: skip


def test_the_good_one_passes() -> None:
    assert checks.check_all(GOOD) == ()
    assert checks.find_plugs(GOOD) == ()


@pytest.mark.parametrize(("group", "code", "snapshot"), ROWS, ids=[f"{r[0]}-{r[1]}-{n}" for n, r in enumerate(ROWS)])
def test_exactly_one_finding_in_its_group(group: str, code: str, snapshot: Snapshot) -> None:
    findings = checks.check_all(snapshot)
    assert [(f.rule.partition(".")[0], f.code) for f in findings] == [(group, code)]
    assert findings == checks.check_group(group, snapshot)
    assert all(f.message and f.remedy for f in findings)


@pytest.mark.parametrize("snapshot", [row[2] for row in ROWS if not row[2].boot_asked])
def test_what_records_suggest_yields_to_the_pools_own_yes(snapshot: Snapshot) -> None:
    assert checks.check_all(dataclasses.replace(snapshot, boot_asked=True)) == ()


def test_records_that_do_not_say_are_no_reason() -> None:
    enough = {"memory_dynamic_min_bytes": 90, "memory_overhead_bytes": 10}
    assert checks.check_all(unasked(with_vm(**enough), free_bytes=100)) == ()
    assert checks.check_all(unasked(with_vm(vcpus_max=9), free_bytes=None)) == ()
    few = (A, dataclasses.replace(B, cpu_count=8))
    assert checks.check_all(unasked(with_vm(vcpus_max=9, vcpus_unrestricted=True), hosts=few)) == ()
    inside = Network("net", "inside", wired=False, assumed_shared=True)
    assert checks.check_all(unasked(GOOD, pifs=(), networks=(inside,))) == ()
    idle = (VIF("vif", "0", "net", currently_attached=False),)
    assert checks.check_all(unasked(with_vm(vifs=idle), pifs=(), networks=(Network("net", "in", wired=False),))) == ()


def test_a_stored_snapshot_of_an_older_release_counts_as_asked() -> None:
    stored = answered("HOST_NOT_ENOUGH_FREE_MEMORY", "2", "1").to_json()
    for name in ("boot_asked", "free_bytes"):
        del stored[name]
    assert [f.rule for f in checks.check_all(Snapshot.from_json(stored))] == ["memory.answer"]


def test_a_local_disk_is_named_with_its_storage() -> None:
    (finding,) = checks.check_group("sr", with_vm(vbds=(LOCAL_DISK,)))
    assert '"data"' in finding.message
    assert '"local-ssd"' in finding.message
    assert "xcp-b" in finding.message


def test_memory_names_needed_and_available() -> None:
    (finding,) = checks.check_group("memory", answered("HOST_NOT_ENOUGH_FREE_MEMORY", "1073741824", "104857600"))
    assert "needs 1024 MiB, 100 MiB are available" in finding.message


def test_an_unplugged_pbd_of_a_shared_sr_is_a_plug_and_no_finding() -> None:
    pbds = (GOOD.pbds[0], dataclasses.replace(GOOD.pbds[1], currently_attached=False))
    snapshot = dataclasses.replace(answered("VM_REQUIRES_SR", "v", "nfs"), pbds=pbds)
    assert checks.check_all(snapshot) == ()
    assert [p.uuid for p in checks.find_plugs(snapshot)] == ["pb"]


def test_an_unplugged_pbd_of_a_local_sr_is_a_finding() -> None:
    pbds = (*GOOD.pbds, PBD("pl", "local", "b", currently_attached=False))
    snapshot = dataclasses.replace(with_vm(vbds=(LOCAL_DISK,)), pbds=pbds)
    assert [f.code for f in checks.check_all(snapshot)] == ["VM_REQUIRES_SR"]
    assert checks.find_plugs(snapshot) == ()


def test_a_newer_destination_is_accepted() -> None:
    assert checks.check_all(with_b(software_version={"platform_version": "3.10.0"})) == ()


def test_a_busy_vm_is_no_finding_here_because_it_is_waited_for() -> None:
    assert checks.check_all(with_vm(current_operations=("snapshot",), allowed_operations=())) == ()


def test_a_snapshot_survives_json() -> None:
    assert Snapshot.from_json(GOOD.to_json()) == GOOD
