"""Each rule: the snapshot that passes all of them, and changes that this rule objects to, and no other."""

from __future__ import annotations

import dataclasses

import pytest

from lmflow import checks
from lmflow.catalogue import ENTRIES
from lmflow.models import SR, VDI, VIF, Network, Site, Snapshot, Terms, XapiError
from tests.support.snapshots import (
    DISK,
    GOOD,
    LOCAL_DISC,
    LOCAL_DISK,
    VM_V,
    A,
    B,
    answered,
    change,
    on_terms,
    unasked,
    with_a,
    with_b,
    with_pif,
    with_pool,
    with_vm,
)

OLD = {"software_version": {"platform_version": "3.2.0"}}
KERNEL = {"pv_kernel": "/var/lib/xcp/guest/vmlinuz", "domain_type": "pv"}
BOTH_COPY = (dataclasses.replace(A, guest_files=True), dataclasses.replace(B, guest_files=True))
CACHED = dataclasses.replace(DISK, vdi=VDI("vdi7", "desk", "nfs", {"on_boot": "reset", "caching": "true"}, "reset"))
MIRRORED = dataclasses.replace(DISK, vdi=VDI("vdi6", "left", "nfs", {"base_mirror": "x/y"}))
FEW_CPUS = (A, dataclasses.replace(B, cpu_count=8))
DEMANDING = with_vm(memory_dynamic_min_bytes=90, memory_overhead_bytes=11)
INSIDE = (Network("net", "inside", wired=False),)
BARE_SHARED = {"srs": (SR("nfs", "nfs", "nfs", shared=True),), "pbds": ()}

# Rule, code, and the one snapshot that it objects to.
ROWS = [
    ("pool.role", "RBAC_PERMISSION_DENIED", change(may_migrate=False)),
    ("pool.role", "RBAC_PERMISSION_DENIED", change(vm=with_vm(**KERNEL).vm, hosts=BOTH_COPY, denied=("host.call_plugin",))),
    ("pool.role", "RBAC_PERMISSION_DENIED", change(pbds=(GOOD.pbds[0], dataclasses.replace(GOOD.pbds[1], currently_attached=False)), denied=("pbd.unplug",))),
    ("pool.role", "RBAC_PERMISSION_DENIED", change(pbds=GOOD.pbds[:1], denied=("pbd.create",))),
    ("pool.role", "RBAC_PERMISSION_DENIED", change(denied=("vm.add_to_other_config",))),
    ("pool.role", "RBAC_PERMISSION_DENIED", on_terms(change(vm=with_vm(vbds=(DISK, LOCAL_DISC)).vm, denied=("vbd.insert",)), eject_local_iso=True)),
    ("pool.tidying", "RBAC_PERMISSION_DENIED", change(denied=("task.cancel",))),
    ("pool.tidying", "RBAC_PERMISSION_DENIED", change(denied=("task.destroy",))),
    ("pool.tidying", "RBAC_PERMISSION_DENIED", change(srs=(dataclasses.replace(GOOD.srs[0], introduced_for="v"),), denied=("pbd.unplug",))),
    ("pool.tidying", "RBAC_PERMISSION_DENIED", change(pbds=(dataclasses.replace(GOOD.pbds[0], introduced_for="v"), GOOD.pbds[1]), denied=("pbd.destroy",))),
    ("pool.tidying", "RBAC_PERMISSION_DENIED", change(vm=with_vm(vbds=(MIRRORED,)).vm, denied=("vdi.remove_from_sm_config",))),
    ("pool.membership", "HOST_NOT_IN_POOL", change(hosts=(A,))),
    ("pool.upgrade", "NOT_SUPPORTED_DURING_UPGRADE", change(pool=dataclasses.replace(GOOD.pool, rolling_upgrade=True), hosts=with_b(**OLD).hosts)),
    ("pool.plan", "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN", with_pool(ha_enabled=True, ha_failures_to_tolerate=1, ha_plan_exists_for=1)),
    ("pool.licence", "LICENCE_RESTRICTION", with_pool(is_licensed=False)),
    ("host.live", "HOST_NOT_LIVE", with_b(live=False)),
    ("host.live", "HOST_NOT_LIVE", change(hosts=with_b(live=False).hosts, boot_check=XapiError("HOST_NOT_LIVE"))),
    ("host.source", "HOST_OFFLINE", with_a(live=False)),
    ("host.enabled", "HOST_DISABLED", with_b(enabled=False)),
    ("host.enabled", "HOST_DISABLED", change(hosts=with_b(enabled=False).hosts, boot_check=XapiError("HOST_DISABLED", ("b",)))),
    ("host.operations", "OTHER_OPERATION_IN_PROGRESS", with_b(current_operations=("vm_start", "evacuate"))),
    ("host.version", "VM_HOST_INCOMPATIBLE_VERSION", with_b(**OLD)),
    ("host.hardware", "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION", unasked(with_b(hardware_platform_versions=(1, 2)))),
    ("host.answer", "VM_REQUIRES_IOMMU", answered("VM_REQUIRES_IOMMU", "v", "b")),
    ("host.answer", "VM_REQUIRES_VUSB", answered("VM_REQUIRES_VUSB", "v", "b")),
    ("host.answer", "HOST_NOT_LIVE", answered("HOST_NOT_LIVE")),
    ("host.answer", "SOMETHING_NEW", answered("SOMETHING_NEW")),
    ("host.address", "HOST_HAS_NO_MANAGEMENT_IP", change(hosts=with_b(address="").hosts, pifs=with_pif("b", ip="", ipv6=("",)).pifs)),
    ("host.reserved", "RESERVATION_LEFT", change(reserved_by=("db-01", "db-02"))),
    ("host.restart", "TOOLSTACK_RESTARTED", with_a(agent_start_time="9900.")),
    ("host.restart", "TOOLSTACK_RESTARTED", with_b(agent_start_time="10100.0")),
    ("host.kernel", "VM_REQUIRES_KERNEL", change(vm=with_vm(**KERNEL).vm, hosts=(BOTH_COPY[0], B))),
    ("sr.reach", "VM_REQUIRES_SR", with_vm(vbds=(DISK, LOCAL_DISK))),
    ("sr.reach", "VM_REQUIRES_SR", with_vm(vbds=(DISK, LOCAL_DISC))),
    ("sr.reach", "VM_REQUIRES_SR", change(**BARE_SHARED)),
    ("sr.reach", "VM_REQUIRES_SR", change(boot_check=XapiError("VM_REQUIRES_SR", ("v", "nfs")), **BARE_SHARED)),
    ("sr.answer", "VM_REQUIRES_SR", answered("VM_REQUIRES_SR", "v", "nfs")),
    ("network.reach", "VM_REQUIRES_NETWORK", change(pifs=GOOD.pifs[:1])),
    ("network.reach", "VM_REQUIRES_NETWORK", change(pifs=GOOD.pifs[:1], boot_check=XapiError("VM_REQUIRES_NETWORK"))),
    ("network.internal", "VM_REQUIRES_NETWORK", unasked(GOOD, pifs=(), networks=INSIDE)),
    ("network.internal", "VM_REQUIRES_NETWORK", on_terms(change(vm=with_vm(vbds=(LOCAL_DISC,)).vm, pifs=(), networks=INSIDE, boot_check=XapiError("VM_REQUIRES_SR")), eject_local_iso=True)),
    ("network.answer", "VM_REQUIRES_NETWORK", answered("VM_REQUIRES_NETWORK", "v", "net")),
    ("network.answer", "NETWORK_SRIOV_INSUFFICIENT_CAPACITY", answered("NETWORK_SRIOV_INSUFFICIENT_CAPACITY", "net")),
    ("network.sender", "PIF_NOT_PRESENT", with_pif("a", network_uuid="other", management=False)),
    ("network.sender", "REQUIRED_PIF_IS_UNPLUGGED", with_pif("a", currently_attached=False)),
    ("network.sender", "INTERFACE_HAS_NO_IP", with_pif("a", ip="")),
    ("network.receiver", "PIF_NOT_PRESENT", on_terms(change(vm=with_vm(vifs=()).vm, pifs=GOOD.pifs[:1]), network_uuid="net")),
    ("network.receiver", "REQUIRED_PIF_IS_UNPLUGGED", with_pif("b", currently_attached=False)),
    ("network.receiver", "INTERFACE_HAS_NO_IP", with_pif("b", ip="", ipv6=())),
    ("cpu.features", "VM_INCOMPATIBLE_WITH_THIS_HOST", with_b(cpu_features="0ff0-00ff")),
    ("cpu.features", "VM_INCOMPATIBLE_WITH_THIS_HOST", with_b(cpu_vendor="AuthenticAMD")),
    ("cpu.features", "VM_INCOMPATIBLE_WITH_THIS_HOST", change(vm=with_vm(domain_type="pv").vm, hosts=with_b(cpu_features_pv="0000-0000").hosts)),
    ("cpu.features", "VM_INCOMPATIBLE_WITH_THIS_HOST", change(hosts=with_b(cpu_vendor="AuthenticAMD").hosts, boot_check=XapiError("VM_INCOMPATIBLE_WITH_THIS_HOST"))),
    ("cpu.answer", "VM_INCOMPATIBLE_WITH_THIS_HOST", answered("VM_INCOMPATIBLE_WITH_THIS_HOST", "v", "b", "because")),
    ("cpu.virtual", "VM_HVM_REQUIRED", answered("VM_HVM_REQUIRED", "v")),
    ("cpu.virtual", "HOST_NOT_ENOUGH_PCPUS", answered("HOST_NOT_ENOUGH_PCPUS", "9", "8")),
    ("cpu.count", "HOST_NOT_ENOUGH_PCPUS", unasked(change(vm=with_vm(vcpus_max=9).vm, hosts=FEW_CPUS))),
    ("memory.answer", "HOST_NOT_ENOUGH_FREE_MEMORY", answered("HOST_NOT_ENOUGH_FREE_MEMORY", "1073741824", "104857600")),
    ("memory.answer", "HOST_NOT_ENOUGH_FREE_MEMORY", dataclasses.replace(DEMANDING, free_bytes=1, boot_check=XapiError("HOST_NOT_ENOUGH_FREE_MEMORY"))),
    ("memory.estimate", "HOST_NOT_ENOUGH_FREE_MEMORY", unasked(DEMANDING, free_bytes=100)),
    ("vm.power_state", "VM_BAD_POWER_STATE", with_vm(power_state="Halted", allowed_operations=())),
    ("vm.power_state", "VM_BAD_POWER_STATE", with_vm(power_state="Suspended", can_suspend=False, allowed_operations=())),
    ("vm.kind", "VM_IS_TEMPLATE", with_vm(is_a_template=True, power_state="Halted", allowed_operations=())),
    ("vm.kind", "VM_IS_SNAPSHOT", with_vm(is_a_snapshot=True, is_a_template=True, power_state="Halted")),
    ("vm.kind", "OPERATION_NOT_ALLOWED", with_vm(is_control_domain=True)),
    ("vm.blocked", "OPERATION_BLOCKED", with_vm(blocked_operations={"pool_migrate": "licence server"}, allowed_operations=())),
    ("vm.claimed", "VM_CLAIMED", with_vm(claimed_by="another")),
    ("vm.immobile", "VM_IS_IMMOBILE", with_vm(is_immobile=True, allowed_operations=())),
    ("vm.suspend", "VM_LACKS_FEATURE", with_vm(can_suspend=False, allowed_operations=())),
    ("vm.on_boot", "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", with_vm(vbds=(CACHED,), allowed_operations=())),
    ("vm.pci", "VM_HAS_PCI_ATTACHED", with_vm(has_pci=True, allowed_operations=())),
    ("vm.vgpu", "VM_HAS_VGPU", with_vm(has_vgpu=True, allowed_operations=())),
    ("vm.vusb", "VM_HAS_VUSBS", with_vm(has_vusb=True, allowed_operations=())),
    ("vm.allowed", "OPERATION_NOT_ALLOWED", with_vm(allowed_operations=("clean_shutdown",))),
    ("vm.kernel", "VM_REQUIRES_KERNEL", change(vm=with_vm(**KERNEL).vm, hosts=(A, BOTH_COPY[1]))),
    ("vm.kernel", "VM_REQUIRES_KERNEL", change(vm=with_vm(pv_ramdisk="/boot/initrd").vm, hosts=BOTH_COPY)),
    ("vm.kernel", "VM_REQUIRES_KERNEL", change(vm=with_vm(pv_kernel="/var/lib/xcp/guest/../../vmlinuz").vm, hosts=BOTH_COPY)),
    ("vm.itself", "VM_IS_LMFLOW_ITSELF", on_terms(own_vm_uuid="v")),
    ("vm.reserved", "RESERVATION_LEFT", with_vm(scheduled_to_be_resident_on_uuid="b")),
    ("vm.reserved", "RESERVATION_LEFT", with_vm(scheduled_to_be_resident_on_uuid="far")),
]  # fmt: skip

PASSING = {
    "the good one": GOOD,
    "a role that could not be read": change(may_migrate=None),
    "a role that may not do what is not needed": change(
        denied=("pbd.plug", "pbd.create", "host.call_plugin", "vbd.eject", "vdi.remove_from_sm_config")
    ),
    "storage that was introduced for another VM": change(
        srs=(dataclasses.replace(GOOD.srs[0], introduced_for="w"),), denied=("pbd.unplug",)
    ),
    "a newer destination": with_b(software_version={"platform_version": "3.10.0"}),
    "a version that is none": with_b(software_version={"platform_version": "3.x"}),
    "a plan with room": with_pool(ha_enabled=True, ha_failures_to_tolerate=1, ha_plan_exists_for=2),
    "a disabled source": with_a(enabled=False),
    "a busy VM, which is waited for": with_vm(current_operations=("snapshot",), allowed_operations=()),
    "a reservation that is under way": with_vm(scheduled_to_be_resident_on_uuid="b", current_operations=("x",)),
    "an address by IPv6 alone": change(hosts=with_b(address="").hosts, pifs=with_pif("b", ip="", ipv6=("fd00::2",)).pifs),
    "a migration over a network with addresses": with_pif("b", ip="", ipv6=("fd00::2",)),
    "a migration over an unknown network, nowhere to be": change(terms=Terms(network_uuid="net"), networks=(), vm=with_vm(vifs=()).vm),
    "a disk that is reset, and not cached": with_vm(vbds=(dataclasses.replace(DISK, vdi=VDI("x", "x", "nfs", {"on_boot": "reset"}, "reset")),)),
    "a start of the toolstack long ago": with_b(agent_start_time="9000."),
    "a start of the toolstack that is unreadable": with_b(agent_start_time="soon"),
    "lmflow in another VM": on_terms(own_vm_uuid="w"),
    "a VM that this run holds": change(vm=with_vm(claimed_by="r").vm, terms=Terms(run_uuid="r")),
    "a kernel that can be copied": change(vm=with_vm(**KERNEL, pv_ramdisk="/var/lib/xcp/guest/initrd").vm, hosts=BOTH_COPY),
    "a kernel that a boot loader finds": with_vm(**{**KERNEL, "pv_bootloader": "pygrub"}),
    "a kernel that HVM does not read": with_vm(**{**KERNEL, "domain_type": "hvm"}),
    "features that are not written in hexadecimal": with_b(cpu_features="sse-avx"),
    "enough memory": unasked(with_vm(memory_dynamic_min_bytes=90, memory_overhead_bytes=10), free_bytes=100),
    "memory that is unknown": unasked(DEMANDING, free_bytes=None),
    "CPUs that are unknown": unasked(with_vm(vcpus_max=9)),
    "VCPUs without restriction": unasked(change(vm=with_vm(vcpus_max=9, vcpus_unrestricted=True).vm, hosts=FEW_CPUS)),
    "hardware that is offered": unasked(with_b(hardware_platform_versions=(0, 1))),
    "an internal network that counts as shared": unasked(GOOD, pifs=(), networks=(Network("net", "in", wired=False, assumed_shared=True),)),
    "an internal network of an interface that is not in use": unasked(with_vm(vifs=(VIF("vif", "0", "net", currently_attached=False),)), pifs=(), networks=INSIDE),
    "a local disc that is to be ejected": on_terms(with_vm(vbds=(DISK, LOCAL_DISC)), eject_local_iso=True),
    "a local disc that is to be ejected, to which XAPI objects": on_terms(change(vm=with_vm(vbds=(LOCAL_DISC,)).vm, boot_check=XapiError("VM_REQUIRES_SR", ("v", "local"))), eject_local_iso=True),
}  # fmt: skip


@pytest.mark.parametrize("snapshot", PASSING.values(), ids=PASSING)
def test_nothing_to_object_to(snapshot: Snapshot) -> None:
    assert checks.check_all(snapshot) == ()


@pytest.mark.parametrize(("name", "code", "snapshot"), ROWS, ids=[f"{r[0]}-{r[1]}-{n}" for n, r in enumerate(ROWS)])
def test_exactly_one_finding(name: str, code: str, snapshot: Snapshot) -> None:
    findings = checks.check_all(snapshot)
    assert [(f.rule, f.code) for f in findings] == [(name, code)]
    (rule,) = (rule for rule in checks.find_rules() if rule.name == name)
    assert findings == checks.check_group(rule.place, snapshot)
    (finding,) = findings
    assert (finding.elsewhere, finding.warning, finding.forced) == (rule.elsewhere, rule.warning, False)
    assert finding.message
    assert finding.remedy
    assert code in rule.codes or code in ("SOMETHING_NEW", "HOST_NOT_LIVE")


def test_every_rule_has_a_row_that_it_objects_to() -> None:
    assert {row[0] for row in ROWS} == {rule.name for rule in checks.find_rules()}


@pytest.mark.parametrize(("name", "snapshot"), [(row[0], row[2]) for row in ROWS], ids=[row[0] for row in ROWS])
def test_force_overrides_what_xapi_skips_then_and_nothing_else(name: str, snapshot: Snapshot) -> None:
    (rule,) = (rule for rule in checks.find_rules() if rule.name == name)
    forced = dataclasses.replace(snapshot, terms=dataclasses.replace(snapshot.terms, force=True))
    (finding,) = checks.check_all(forced)
    assert finding.forced is rule.forced
    for strict in (False, True):
        refused = not rule.forced and (strict or not rule.warning)
        assert checks.find_refusals([finding], strict) == ((finding,) if refused else ())
        assert checks.find_warnings([finding], strict) == (() if refused else (finding,))


def test_force_is_for_what_xapi_skips() -> None:
    skipped = {"cpu.features", "cpu.answer", "vm.immobile", "vm.suspend"}
    assert {rule.name for rule in checks.find_rules() if rule.forced} == skipped


@pytest.mark.parametrize("snapshot", [row[2] for row in ROWS if not row[2].boot_asked])
def test_what_records_suggest_yields_to_the_pools_own_yes(snapshot: Snapshot) -> None:
    assert checks.check_all(dataclasses.replace(snapshot, boot_asked=True)) == ()


def test_what_records_suggest_stands_where_xapi_stopped_before() -> None:
    """With force XAPI goes on where this answer ended: what it would have said then is estimated."""
    lacking = dataclasses.replace(DEMANDING, free_bytes=100, boot_check=XapiError("VM_INCOMPATIBLE_WITH_THIS_HOST"))
    found = checks.check_all(dataclasses.replace(lacking, terms=Terms(force=True)))
    assert [(f.rule, f.forced) for f in found] == [("cpu.answer", True), ("memory.estimate", False)]
    later = dataclasses.replace(lacking, boot_check=XapiError("HOST_NOT_ENOUGH_PCPUS"))
    assert [f.rule for f in checks.check_all(later)] == ["cpu.virtual"]


def test_a_destination_that_is_not_there_is_one_reason() -> None:
    for subject in (None, "VM_REQUIRES_SR", "VM_REQUIRES_NETWORK", "HOST_NOT_ENOUGH_PCPUS", "VM_REQUIRES_GPU",
                    "HOST_NOT_ENOUGH_FREE_MEMORY", "VM_INCOMPATIBLE_WITH_THIS_HOST"):  # fmt: skip
        gone = change(hosts=(A,), boot_check=XapiError(subject) if subject else None)
        assert [f.rule for f in checks.check_all(gone)] == ["pool.membership"]
        assert [f.rule for f in checks.check_all(unasked(gone))] == ["pool.membership"]


def test_the_upgrade_that_xapi_names_is_explained_once() -> None:
    """Outside an upgrade the older host is told by our rule, also when XAPI says it in its own words."""
    for upgrade, rule in ((False, "host.version"), (True, "pool.upgrade")):
        pool = dataclasses.replace(GOOD.pool, rolling_upgrade=upgrade)
        told = change(pool=pool, hosts=with_b(**OLD).hosts, boot_check=XapiError("VM_HOST_INCOMPATIBLE_VERSION"))
        assert [f.rule for f in checks.check_all(told)] == [rule]
    assert [f.rule for f in checks.check_all(answered("VM_HOST_INCOMPATIBLE_VERSION"))] == ["host.answer"]


def test_a_vm_that_is_nowhere_has_no_source_to_ask() -> None:
    halted = dataclasses.replace(VM_V, power_state="Halted", resident_on_uuid=None, **KERNEL)
    snapshot = unasked(change(vm=halted, source_uuid=None, hosts=BOTH_COPY, terms=Terms(network_uuid="net")))
    assert [f.rule for f in checks.check_all(snapshot)] == ["vm.power_state"]


def test_reasons_come_in_the_order_in_which_xapi_would_object() -> None:
    many = change(
        vm=dataclasses.replace(VM_V, blocked_operations={"pool_migrate": "no"}, has_pci=True, vbds=(LOCAL_DISK,)),
        hosts=with_b(enabled=False, cpu_vendor="AuthenticAMD", **OLD).hosts,
        may_migrate=False,
    )
    assert [f.rule for f in checks.check_all(many)] == [
        "pool.role", "cpu.features", "vm.blocked", "vm.pci", "host.enabled", "sr.reach", "host.version"
    ]  # fmt: skip


def test_a_stored_snapshot_of_an_older_release_counts_as_asked() -> None:
    stored = answered("HOST_NOT_ENOUGH_FREE_MEMORY", "2", "1").to_json()
    for name in ("boot_asked", "free_bytes", "may_migrate", "reserved_by", "terms"):
        del stored[name]
    assert [f.rule for f in checks.check_all(Snapshot.from_json(stored))] == ["memory.answer"]


def test_memory_names_needed_and_available() -> None:
    (finding,) = checks.check_group("memory", answered("HOST_NOT_ENOUGH_FREE_MEMORY", "1073741824", "104857600"))
    assert "needs 1024 MiB, 100 MiB are available" in finding.message


def test_a_missing_plugin_names_the_host_and_the_way_to_announce_it() -> None:
    here, there = checks.check_all(with_vm(**KERNEL))
    assert (here.rule, here.elsewhere, there.rule, there.elsewhere) == ("vm.kernel", False, "host.kernel", True)
    assert "xcp-a" in here.message
    assert "xcp-b" in there.message
    assert "xe host-param-set uuid=b other-config:lmflow-guest-files=1" in there.remedy


@pytest.mark.parametrize(
    ("off", "rule", "snapshot"),
    [
        (
            "host.enabled",
            "host.answer",
            change(hosts=with_b(enabled=False).hosts, boot_check=XapiError("HOST_DISABLED")),
        ),
        ("network.reach", "network.answer", change(pifs=GOOD.pifs[:1], boot_check=XapiError("VM_REQUIRES_NETWORK"))),
        ("vm.blocked", "vm.allowed", with_vm(blocked_operations={"pool_migrate": "no"}, allowed_operations=())),
    ],
)
def test_a_rule_that_is_switched_off_explains_nothing(off: str, rule: str, snapshot: Snapshot) -> None:
    """XAPI's own word counts then: it will refuse."""
    assert [f.rule for f in checks.check_all(snapshot)] == [off]
    assert [f.rule for f in checks.check_all(snapshot, Site(rules_off=(off,)))] == [rule]


def test_every_code_is_in_the_catalogue() -> None:
    known = {entry.code for entry in ENTRIES}
    assert [code for rule in checks.find_rules() for code in rule.codes if code not in known] == []


def test_a_snapshot_survives_json() -> None:
    snapshot = on_terms(change(reserved_by=("w",)), force=True, network_uuid="net")
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
