"""Moving of VMs with their disks inside the pool, and who prepares it."""

from collections.abc import Iterator
from typing import Any

import pytest

from lmflow.simulator.migrations import migration
from lmflow.simulator.migrations.storage_motion import NO_COPY, NO_VIF_MAP
from tests.support.twins import NULL, Twin, raise_twin


@pytest.fixture(params=["first", "second"])
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    with raise_twin(request.param) as twin:
        yield twin


def target(twin: Twin, host: str = "dst") -> dict[str, str]:
    found = twin.call("host.migrate_receive", twin.host(host), twin.ref("network", "lan"), {})
    assert isinstance(found, dict)
    return found


def disks(twin: Twin, part: str = "vm") -> list[str]:
    return [twin.call("VBD.get_VDI", vbd) for vbd in twin.call("VM.get_VBDs", twin.vm(part))]


def arguments(twin: Twin, part: str, sr: str, host: str = "dst", **options: str) -> tuple[Any, ...]:
    vdi_map = dict.fromkeys(disks(twin, part), twin.ref("SR", sr))
    return (twin.vm(part), target(twin, host), True, vdi_map, {}, options)


def test_who_receives_opens_a_session_of_the_same_user(twin: Twin) -> None:
    found = target(twin)
    address = twin.call("host.get_address", twin.host())
    session = found["session_id"]
    assert found == {
        "SM": f"http://{address}/services/SM?session_id={session}",
        "xenops": f"http://{address}/services/xenops?session_id={session}",
        "host": twin.host(),
        "master": f"http://{twin.pool.sessions.coordinator_address()}",
        "session_id": session,
    }
    assert session != twin.client.session
    assert twin.client.raw("host.get_address", session, twin.host()).value == address
    hidden = twin.ref("network", "hidden")
    assert twin.refuse("host.migrate_receive", twin.host(), hidden, {}) == ["PIF_NOT_PRESENT", twin.host(), hidden]


def test_a_running_vm_and_its_disks(twin: Twin) -> None:
    vm, (old,) = twin.vm(), disks(twin)
    task = twin.start("VM.migrate_send", *arguments(twin, "vm", "second nfs"))
    twin.wait(lambda: "migrate_send" in twin.pool.store.value("VM", vm, "current_operations").values())
    ended = twin.end(task)
    assert (ended["status"], ended["result"]) == ("success", f"<value>{vm}</value>")
    (new,) = disks(twin)
    assert new != old
    assert not twin.pool.store.exists("VDI", old)
    assert twin.call("VDI.get_SR", new) == twin.ref("SR", "second nfs")
    record = twin.call("VM.get_record", vm)
    assert (record["resident_on"], record["power_state"], record["current_operations"]) == (twin.host(), "Running", {})
    assert twin.pool.real_domains()[twin.names.get("dst", "dst")].count(record["uuid"]) == 1


def test_a_disk_that_is_bound_to_a_host_is_let_go(twin: Twin) -> None:
    assert twin.call("VM.migrate_send", *arguments(twin, "bound", "nfs")) == twin.vm("bound")
    assert {twin.call("VDI.get_SR", ref) for ref in disks(twin, "bound")} == {twin.ref("SR", "nfs")}
    assert twin.call("VM.get_resident_on", twin.vm("bound")) == twin.host()


def test_a_stopped_vm_keeps_its_place(twin: Twin) -> None:
    assert twin.call("VM.migrate_send", *arguments(twin, "stopped", "second nfs")) == twin.vm("stopped")
    assert {twin.call("VDI.get_SR", ref) for ref in disks(twin, "stopped")} == {twin.ref("SR", "second nfs")}
    assert twin.call("VM.get_resident_on", twin.vm("stopped")) == NULL


def test_a_cancel_leaves_nothing_behind(twin: Twin) -> None:
    before, old = twin.pool.store.refs("VDI"), disks(twin)
    for vdi in old:
        twin.pool.store.update("VDI", vdi, virtual_size=2**50)
    task = twin.start("VM.migrate_send", *arguments(twin, "vm", "second nfs"))
    twin.wait(lambda: len(twin.pool.store.refs("VDI")) > len(before))
    twin.call("task.cancel", task)
    assert twin.end(task)["status"] == "cancelled"
    assert twin.pool.store.refs("VDI") == before
    assert disks(twin) == old
    assert twin.call("VM.get_resident_on", twin.vm()) == twin.host("src")
    assert twin.call("host.get_current_operations", twin.host()) == {}


def test_three_at_a_time(twin: Twin) -> None:
    for part in ("vm", "neighbour", "bound", "stopped"):
        for vdi in disks(twin, part):
            twin.pool.store.update("VDI", vdi, virtual_size=2**50)
    before = len(twin.pool.store.refs("VDI"))
    calls = [arguments(twin, part, "second nfs") for part in ("vm", "neighbour", "bound")]
    tasks = [twin.start("VM.migrate_send", *call) for call in calls]
    twin.wait(lambda: len(twin.pool.store.refs("VDI")) == before + 4)
    twin.migrate("guest", "src")
    fourth = arguments(twin, "guest", "second nfs")
    assert twin.refuse("VM.migrate_send", *fourth) == ["TOO_MANY_STORAGE_MIGRATES", "3"]
    for task in tasks:
        twin.call("task.cancel", task)
    assert {twin.end(task)["status"] for task in tasks} == {"cancelled"}


def test_what_is_not_possible(twin: Twin) -> None:
    vm, dest, (disk,) = twin.vm(), target(twin), disks(twin)
    nfs, second = twin.ref("SR", "nfs"), twin.ref("SR", "second nfs")
    call, good = "VM.assert_can_migrate", {disk: second}

    def refuse(*, to: Any = dest, vdi_map: Any = good, vif_map: Any = None, **options: str) -> list[str]:
        return twin.refuse(call, vm, to, True, vdi_map, vif_map or {}, options)

    assert twin.call(call, vm, dest, True, good, {}, {}) == ""
    assert refuse(to={}) == ["INTERNAL_ERROR", "Not_found"]
    assert refuse(vdi_map={}) == ["VDI_NOT_IN_MAP", disk]
    assert refuse(vdi_map={disk: "OpaqueRef:dead"}) == ["HANDLE_INVALID", "SR", "OpaqueRef:dead"]
    assert refuse(to={**dest, "host": "OpaqueRef:far"})[0] == "CANNOT_CONTACT_HOST"
    vif = twin.call("VM.get_VIFs", vm)[0]
    assert refuse(vif_map={vif: twin.ref("network", "lan")}) == ["OPERATION_NOT_ALLOWED", NO_VIF_MAP]
    with twin.edited("VDI", disk, cbt_enabled=True):
        assert refuse() == ["VDI_CBT_ENABLED", disk]
    with twin.edited("host", twin.host(), enabled=False):
        assert refuse() == ["HOST_DISABLED", twin.host()]
    cpu = twin.call("host.get_cpu_info", twin.host())
    with twin.edited("host", twin.host(), cpu_info={**cpu, "vendor": "AuthenticAMD"}):
        assert refuse()[0] == "VM_INCOMPATIBLE_WITH_THIS_HOST"
        assert twin.call(call, vm, dest, True, good, {}, {"force": "true"}) == ""
    with twin.edited("SR", nfs, type="odd"), twin.having("SM", type="odd", features={"VDI_SNAPSHOT": 1}):
        assert refuse() == ["SR_DOES_NOT_SUPPORT_MIGRATION", nfs, "VDI_MIRROR"]


def test_what_the_move_itself_refuses(twin: Twin) -> None:
    call = "VM.migrate_send"
    assert twin.refuse(call, *arguments(twin, "vm", "second nfs", copy="true")) == ["OPERATION_NOT_ALLOWED", NO_COPY]
    assert twin.refuse(call, *arguments(twin, "vm", "disk")) == ["SR_HAS_NO_PBDS", twin.ref("SR", "disk")]
    (disk,) = disks(twin)
    with twin.edited("VDI", disk, on_boot="reset"):
        refusal = ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", disk]
        assert twin.refuse(call, *arguments(twin, "vm", "second nfs")) == refusal
    twin.call("VM.pause", twin.vm())
    refusal = ["VM_BAD_POWER_STATE", twin.vm(), "halted, suspended, running", "paused"]
    assert twin.refuse(call, *arguments(twin, "vm", "second nfs")) == refusal
    twin.call("VM.unpause", twin.vm())
    twin.call("pool.add_to_other_config", twin.pool.pool_ref, "rolling_upgrade_in_progress", "true")
    assert twin.refuse(call, *arguments(twin, "vm", "second nfs")) == ["NOT_SUPPORTED_DURING_UPGRADE"]
    assert twin.call("host.get_current_operations", twin.host()) == {}


def test_a_guest_that_shuts_down_in_the_middle(twin: Twin) -> None:
    vm_uuid = twin.call("VM.get_uuid", twin.vm())
    places = [twin.call("host.get_uuid", twin.host(part)) for part in ("src", "dst")]
    before, old = twin.pool.store.refs("VDI"), disks(twin)
    migration.add_phase_fault(twin.pool, {"phase": "copy", "kind": "guest", "how": "shutdown", "vm": vm_uuid})
    refusal = twin.refuse("VM.migrate_send", *arguments(twin, "vm", "second nfs"))
    text = "The VM changed its power state during migration"
    assert refusal == ["VM_MIGRATE_FAILED", vm_uuid, *places, text]
    assert twin.call("VM.get_power_state", twin.vm()) == "Halted"
    assert (twin.pool.store.refs("VDI"), disks(twin)) == (before, old)
