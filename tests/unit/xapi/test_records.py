"""Records of a current and of an old XAPI, as the SDK parses them, become the same models."""

import xmlrpc.client

import pytest

from lmflow.models import VMGroup, XapiError
from lmflow.xapi import records, role
from lmflow.xapi.failures import mask_failure, name_failure
from lmflow.xapi.witness import make_xenops_task

NULL = "OpaqueRef:NULL"

VM_RECORD = {
    "uuid": "v",
    "name_label": "web-01",
    "power_state": "Running",
    "resident_on": "OpaqueRef:h1",
    "scheduled_to_be_resident_on": NULL,
    "is_a_template": False,
    "allowed_operations": ["pool_migrate", "suspend"],
    "current_operations": {"OpaqueRef:t": "pool_migrate"},
    "blocked_operations": {"suspend": "no"},
    "memory_dynamic_min": "536870912",
    "memory_static_max": "1073741824",
    "last_boot_CPU_flags": {"vendor": "GenuineIntel", "features": "0f-0f"},
    "hardware_platform_version": "2",
    "domain_type": "hvm",
    "PV_kernel": "",
    "snapshot_time": xmlrpc.client.DateTime("19700101T00:00:00Z"),
}


def test_vm() -> None:
    vm = records.make_vm(VM_RECORD, {"OpaqueRef:h1": "h1"})
    assert (vm.resident_on_uuid, vm.scheduled_to_be_resident_on_uuid) == ("h1", None)
    assert (vm.memory_dynamic_min_bytes, vm.memory_static_max_bytes) == (536870912, 1073741824)
    assert vm.hardware_platform_version == 2
    assert vm.current_operations == ("pool_migrate",)
    assert "OpaqueRef" not in repr(vm)
    assert type(vm).from_json(vm.to_json()) == vm


def test_vm_of_an_old_release_misses_fields() -> None:
    old = {"uuid": "v", "name_label": "old", "power_state": "Halted", "resident_on": NULL}
    vm = records.make_vm(old, {})
    assert (vm.domain_type, vm.hardware_platform_version, vm.memory_overhead_bytes) == ("", 0, 0)
    assert vm.resident_on_uuid is None
    assert vm.can_suspend is None


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (None, None),
        ({"other": {"feature-suspend": "1"}}, True),
        ({"other": {"feature-suspend": "0"}, "PV_drivers_detected": True}, False),
        ({"other": {"feature-suspend": "1", "data-cant-suspend-reason": "a passed-through disk"}}, False),
        ({"other": {}, "PV_drivers_detected": True}, True),
        ({"other": {}, "PV_drivers_version": {"major": "5", "minor": "9"}}, True),
        ({"other": {}, "PV_drivers_version": {}, "PV_drivers_detected": False}, False),
    ],
)
def test_can_suspend(metrics: dict[str, object] | None, expected: bool | None) -> None:
    assert records.can_suspend({**VM_RECORD, "guest_metrics": "OpaqueRef:g"}, metrics) is expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"domain_type": "hvm", "guest_metrics": NULL}, False),
        ({"domain_type": "hvm", "guest_metrics": "OpaqueRef:g"}, None),
        ({"domain_type": "pv", "guest_metrics": NULL}, True),
        ({"HVM_boot_policy": "", "guest_metrics": NULL}, True),
        ({"domain_type": "unspecified", "HVM_boot_policy": "", "guest_metrics": NULL}, True),
        ({"HVM_boot_policy": "BIOS order", "guest_metrics": NULL}, False),
        ({}, None),
    ],
)
def test_can_suspend_without_a_word_of_the_guest(told: dict[str, object], expected: bool | None) -> None:
    assert records.can_suspend(told, None) is expected


def test_no_guest_can_against_its_own_word() -> None:
    said = {"other": {"data-cant-suspend-reason": "a passed-through disk"}, "PV_drivers_detected": True}
    assert records.can_suspend({"domain_type": "pv"}, said) is False


@pytest.mark.parametrize(
    ("platform", "metrics", "immobile"),
    [
        ({}, None, False),
        ({}, {"nomigrate": True, "nested_virt": False}, True),
        ({}, {"nomigrate": False, "nested_virt": True}, True),
        ({"nomigrate": "true", "nested-virt": "1"}, {"nomigrate": False, "nested_virt": False}, False),
        ({"nomigrate": "true"}, {"nested_virt": False}, True),
        ({"nomigrate": "1"}, None, True),
        ({"nested-virt": "true"}, None, True),
        ({"nomigrate": "0", "nested-virt": "false"}, None, False),
        ({"nomigrate": "yes"}, None, False),
    ],
)
def test_what_was_built_not_to_move(
    platform: dict[str, str], metrics: dict[str, object] | None, immobile: bool
) -> None:
    """The domain's own metrics decide; without any, what it would be built with."""
    assert records.make_vm({**VM_RECORD, "platform": platform}, {}, metrics=metrics).is_immobile is immobile


@pytest.mark.parametrize(
    ("vgpus", "types", "held"),
    [
        ([], {}, False),
        ([{"type": "t"}], {"t": {"implementation": "nvidia"}}, False),
        ([{"type": "t"}], {"t": {"implementation": "nvidia_sriov"}}, False),
        ([{"type": "t"}, {"type": "p"}], {"t": {"implementation": "nvidia"}, "p": {"implementation": "gvt_g"}}, True),
        ([{"type": "t"}], {}, True),
        ([{}], {}, True),
    ],
)
def test_virtual_gpus(vgpus: list[dict[str, str]], types: dict[str, dict[str, str]], held: bool) -> None:
    """Some are carried along; what nobody knows is not."""
    names = records.list_implementations(vgpus, types)
    assert records.make_vm(VM_RECORD, {}, vgpus=names).has_vgpu is held


def test_devices_and_groups() -> None:
    held = {"attached_PCIs": ["OpaqueRef:p"], "VUSBs": ["OpaqueRef:u"], "ha_restart_priority": "restart",
            "groups": ["OpaqueRef:g2", "OpaqueRef:g1", "OpaqueRef:gone"]}  # fmt: skip
    uuids = {"OpaqueRef:g1": "g1", "OpaqueRef:g2": "g2"}
    vm = records.make_vm({**VM_RECORD, **held}, uuids)
    assert (vm.has_pci, vm.has_vusb, vm.ha_restart_priority) == (True, True, "restart")
    assert vm.group_uuids == ("g1", "g2")
    plain = records.make_vm(VM_RECORD, uuids)
    assert (plain.has_pci, plain.has_vusb, plain.ha_restart_priority, plain.group_uuids) == (False, False, "", ())


@pytest.mark.parametrize(("word", "free"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_more_vcpus_than_a_host_has(word: str, free: bool) -> None:
    record = {**VM_RECORD, "platform": {"vcpu-unrestricted": word}}
    assert records.make_vm(record, {}).vcpus_unrestricted is free


def test_who_only_takes_room_is_known_by_what_that_needs() -> None:
    """Of such a VM nothing is wrong, and nothing is said that was not read."""
    record = {
        **VM_RECORD,
        "memory_dynamic_max": "1", "memory_overhead": "7", "groups": ["OpaqueRef:g"], "ha_restart_priority": "restart",
        "scheduled_to_be_resident_on": "OpaqueRef:h2", "is_control_domain": True, "platform": {"nomigrate": "true"},
    }  # fmt: skip
    uuids = {"OpaqueRef:h1": "h1", "OpaqueRef:h2": "h2", "OpaqueRef:g": "g"}
    one, whole = records.make_resident(record, uuids).to_json(), records.make_vm(record, uuids).to_json()
    left = {"allowed_operations", "blocked_operations", "domid", "hardware_platform_version", "is_immobile",
            "last_boot_cpu_flags"}  # fmt: skip
    assert {name for name in whole if whole[name] != one[name]} <= left
    assert (one["resident_on_uuid"], one["scheduled_to_be_resident_on_uuid"]) == ("h1", "h2")


@pytest.mark.parametrize(("word", "there"), [("1", True), ("true", True), ("0", False), ("", False), (None, False)])
def test_a_host_announces_the_plugin_for_kernels(word: str | None, there: bool) -> None:
    own = {} if word is None else {records.GUEST_FILES_KEY: word}
    assert records.make_host({"uuid": "h", "other_config": own}, {}, is_coordinator=False).guest_files is there


def test_host() -> None:
    record = {
        "uuid": "h",
        "name_label": "xcp-a",
        "address": "10.0.0.1",
        "enabled": True,
        "other_config": {"agent_start_time": "1795403118.", "boot_time": "1."},
        "cpu_info": {"vendor": "GenuineIntel", "features_hvm": "0f", "features_pv": "07"},
        "current_operations": {"OpaqueRef:t": "vm_migrate"},
    }
    metrics = {"live": True, "memory_total": "17179869184", "memory_free": "1024"}
    host = records.make_host(record, metrics, is_coordinator=True)
    assert (host.live, host.enabled, host.is_coordinator) == (True, True, True)
    assert host.agent_start_time == "1795403118."
    assert (host.cpu_features, host.cpu_features_pv) == ("0f", "07")
    assert (host.memory_total_bytes, host.memory_free_bytes) == (17179869184, 1024)
    assert host.current_operations == ("vm_migrate",)
    assert not records.make_host(record, None, is_coordinator=False).live


def test_host_of_an_old_release_knows_one_set_of_features() -> None:
    host = records.make_host({"uuid": "h", "cpu_info": {"features": "0f"}}, {}, is_coordinator=False)
    assert (host.cpu_features, host.cpu_features_pv, host.agent_start_time) == ("0f", "0f", "")


def test_pool() -> None:
    record = {"uuid": "p", "name_label": "", "master": "OpaqueRef:h", "other_config": {}}
    pool = records.make_pool(record, {"OpaqueRef:h": "h"})
    assert (pool.coordinator_uuid, pool.rolling_upgrade) == ("h", False)
    record["other_config"] = {"rolling_upgrade_in_progress": "true"}
    assert records.make_pool(record, {}).rolling_upgrade
    assert not pool.ha_enabled
    assert pool.is_licensed
    assert not records.make_pool({**record, "restrictions": {"restrict_xen_motion": "true"}}, {}).is_licensed
    told = {"ha_enabled": True, "ha_host_failures_to_tolerate": "2", "ha_plan_exists_for": "1"}
    careful = records.make_pool({**record, **told}, {})
    assert (careful.ha_enabled, careful.ha_failures_to_tolerate, careful.ha_plan_exists_for) == (True, 2, 1)


def test_group() -> None:
    record = {"uuid": "g", "name_label": "web", "placement": "anti_affinity", "VMs": ["OpaqueRef:v"]}
    assert records.make_group(record) == VMGroup("g", "web", "anti_affinity")


def test_pif() -> None:
    record = {"uuid": "p", "network": "OpaqueRef:n", "host": "OpaqueRef:h", "currently_attached": True}
    uuids = {"OpaqueRef:n": "n", "OpaqueRef:h": "h"}
    plain = records.make_pif(record, uuids)
    assert (plain.network_uuid, plain.host_uuid, plain.management, plain.ip, plain.ipv6) == ("n", "h", False, "", ())
    told = {**record, "management": True, "IP": "10.0.0.1", "IPv6": ["fe80::1/64", "", "fd00::1/64"]}
    managing = records.make_pif(told, uuids)
    assert (managing.management, managing.ip, managing.ipv6) == (True, "10.0.0.1", ())
    newer = records.make_pif({**told, "primary_address_type": "IPv6"}, uuids)
    assert (newer.ip, newer.ipv6) == ("", ("fd00::1/64",))
    assert records.make_pif({**told, "primary_address_type": "IPv4"}, uuids) == managing


@pytest.mark.parametrize(
    ("told", "said"), [({}, "persist"), ({"on_boot": "reset"}, "reset"), ({"on_boot": ""}, "persist")]
)
def test_a_disk_that_forgets(told: dict[str, str], said: str) -> None:
    assert records.make_vdi({"uuid": "d", "name_label": "root", **told}, {}).on_boot == said


@pytest.mark.parametrize(
    ("session", "may"),
    [
        ({"is_local_superuser": True, "rbac_permissions": []}, True),
        ({"is_local_superuser": "true"}, True),
        ({"is_local_superuser": False, "rbac_permissions": ["vm.start", "vm.pool_migrate"]}, True),
        ({"is_local_superuser": False, "rbac_permissions": ["VM.pool_migrate"]}, True),
        ({"is_local_superuser": False, "rbac_permissions": ["vm.start", "vm.pool_migrate_complete"]}, False),
        ({"is_local_superuser": False, "rbac_permissions": []}, False),
        ({"is_local_superuser": False}, None),
        ({}, None),
    ],
)
def test_what_our_role_allows(session: dict[str, object], may: bool | None) -> None:
    assert role.may_migrate(session) is may


ALL = (*role.PREPARING, *role.TIDYING)


@pytest.mark.parametrize(
    ("session", "denied"),
    [
        ({"is_local_superuser": True, "rbac_permissions": []}, ()),
        ({"is_local_superuser": False}, ()),
        (
            {"rbac_permissions": [name.upper() for name in ALL if not name.startswith("host.")]},
            ("host.call_plugin",),
        ),
        ({"rbac_permissions": []}, ALL),
    ],
)
def test_what_our_role_denies(session: dict[str, object], denied: tuple[str, ...]) -> None:
    assert role.list_denied(session) == denied


def test_empty_drive() -> None:
    vbd = records.make_vbd({"uuid": "b", "userdevice": "3", "type": "CD", "empty": True}, None)
    assert (vbd.empty, vbd.vdi, vbd.currently_attached) == (True, None, False)


def test_task() -> None:
    record = {
        "uuid": "t",
        "name_label": "Async.VM.pool_migrate",
        "status": "cancelling",
        "progress": 0.5,
        "allowed_operations": ["cancel"],
        "other_config": {"http:lmflow-attempt": "a-1"},
    }
    task = records.make_task("OpaqueRef:18444f57-7ece-1111-2222-333344445555", record, XapiError("X", ("y",)))
    assert (task.status, task.cancellable, task.attempt_id) == ("pending", True, "a-1")
    assert task.ref_digits == "18444f577ece"
    assert records.make_task("OpaqueRef:1", {**record, "allowed_operations": []}, None).cancellable is False


@pytest.mark.parametrize("reference", [NULL, "", None])
def test_null(reference: str | None) -> None:
    assert records.is_null(reference)


def test_failure_gets_uuids() -> None:
    asked: list[tuple[str, str]] = []

    def get_uuid(class_name: str, reference: str) -> str | None:
        asked.append((class_name, reference))
        return {("VM", "OpaqueRef:v"): "uuid-v", ("SR", "OpaqueRef:s"): "uuid-s"}.get((class_name, reference))

    assert name_failure(["VM_REQUIRES_SR", "OpaqueRef:v", "OpaqueRef:s"], get_uuid) == XapiError(
        "VM_REQUIRES_SR", ("uuid-v", "uuid-s")
    )
    assert len(asked) == 3


def test_failure_masks_what_nobody_knows() -> None:
    long = " ".join(f"OpaqueRef:{n}" for n in range(9))
    assert "OpaqueRef" not in repr(name_failure(["INTERNAL_ERROR", long], lambda *_: None))
    assert "OpaqueRef" not in repr(mask_failure(["HANDLE_INVALID", "VM", "OpaqueRef:dead-beef"]))
    assert "DummyRef" not in repr(mask_failure(["X", "DummyRef:|1|task.cancel"]))
    assert mask_failure(["HOST_NOT_ENOUGH_FREE_MEMORY", "1", "2"]).params == ("1", "2")


@pytest.mark.parametrize(
    ("state", "word", "progress"),
    [
        ("Pending", "Pending", 0.0),
        (["Pending", 0.73], "Pending", 0.73),
        (["Completed", {"duration": 1.5}], "Completed", 1.0),
        (["Failed", ["Internal_error", "x"]], "Failed", 0.0),
    ],
)
def test_xenops_task(state: object, word: str, progress: float) -> None:
    task = make_xenops_task({"id": "1", "dbg": "Async.VM.pool_migrate R:18444f577ece", "state": state})
    assert (task.label, task.ref_digits) == ("Async.VM.pool_migrate", "18444f577ece")
    assert (task.state, task.progress) == (word, progress)


def test_xenops_task_of_something_else() -> None:
    task = make_xenops_task({"dbg": "xapi events", "state": ["Pending", 1.0]})
    assert (task.label, task.ref_digits) == ("xapi events", "")
