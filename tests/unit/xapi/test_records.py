"""Records of a current and of an old XAPI, as the SDK parses them, become the same models."""

import xmlrpc.client

import pytest

from lmflow.models import XapiError
from lmflow.xapi import records
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
        ({"other": {}, "PV_drivers_detected": True}, True),
        ({"other": {}, "PV_drivers_version": {"major": "5", "minor": "9"}}, True),
        ({"other": {}, "PV_drivers_version": {}, "PV_drivers_detected": False}, False),
    ],
)
def test_can_suspend(metrics: dict[str, object] | None, expected: bool | None) -> None:
    assert records.can_suspend(metrics) is expected


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
