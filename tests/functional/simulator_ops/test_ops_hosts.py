"""What may be done to hosts: their operations, going down and coming back, and what they tell."""

from collections.abc import Iterator

import pytest

from lmflow.simulator.hosts.toolstack import Toolstack
from tests.support.twins import Twin, raise_twin

ENABLED = {"vm_migrate", "provision", "vm_resume", "enable", "evacuate", "vm_start"}
DISABLED = ENABLED | {"apply_updates", "reboot", "shutdown"}


@pytest.fixture
def twin() -> Iterator[Twin]:
    with raise_twin("first") as twin:
        yield twin


def test_operations_of_a_host_follow_its_state(twin: Twin) -> None:
    dst = twin.host()
    assert set(twin.call("host.get_allowed_operations", dst)) == ENABLED
    twin.call("host.disable", dst)
    assert set(twin.call("host.get_allowed_operations", dst)) == DISABLED
    twin.call("host.enable", dst)
    assert set(twin.call("host.get_allowed_operations", dst)) == ENABLED


def test_what_brings_vms_excludes_what_takes_them_away(twin: Twin) -> None:
    twin.set_copy("vm", 4000)
    moving = twin.start("VM.pool_migrate", twin.vm(), twin.host(), {})
    twin.wait(lambda: bool(twin.pool.store.value("host", twin.host(), "current_operations")))
    assert twin.call("host.get_current_operations", twin.host()) == {moving: "vm_migrate"}
    assert set(twin.call("host.get_allowed_operations", twin.host())) == ENABLED - {"evacuate"}
    waiting = twin.start("host.evacuate", twin.host())
    assert twin.call("task.get_status", waiting) == "pending"
    twin.call("task.cancel", moving)
    assert twin.end(moving)["status"] == "cancelled"
    assert twin.end(waiting)["status"] == "success"
    assert set(twin.call("host.get_allowed_operations", twin.host())) == ENABLED


def test_an_evacuation_that_waits_may_be_cancelled(twin: Twin) -> None:
    with twin.edited("host", twin.host(), current_operations={"OpaqueRef:t": "provision"}):
        waiting = twin.start("host.evacuate", twin.host())
        twin.call("task.cancel", waiting)
        assert twin.end(waiting)["status"] == "cancelled"


def test_during_an_upgrade_few_operations_are_shown(twin: Twin) -> None:
    twin.call("pool.add_to_other_config", twin.pool.pool_ref, "rolling_upgrade_in_progress", "true")
    twin.call("host.disable", twin.host())
    assert set(twin.call("host.get_allowed_operations", twin.host())) == {"provision", "evacuate"}


def test_a_host_that_is_shut_down_comes_back_with_power(twin: Twin) -> None:
    dst, store = twin.host(), twin.pool.store
    metrics = twin.call("host.get_metrics", dst)
    assert twin.refuse("host.power_on", dst) == ["HOST_IS_LIVE", dst]
    twin.call("host.disable", dst)
    twin.call("host.evacuate", dst)
    twin.call("host.shutdown", dst)
    assert twin.call("host_metrics.get_live", metrics) is False
    assert twin.refuse_migrate() == ["HOST_NOT_LIVE"]
    assert twin.refuse("host.enable", dst) == ["HOST_OFFLINE", dst]
    assert twin.refuse("host.power_on", dst) == ["HOST_POWER_ON_MODE_DISABLED"]
    with twin.edited("host", dst, power_on_mode="wake-on-lan"):
        twin.call("host.power_on", dst)
    toolstack = twin.pool.part(Toolstack)
    with toolstack.changed:
        assert toolstack.changed.wait_for(lambda: toolstack.is_ready(dst), 30)
    assert store.value("host", dst, "enabled") is False


def test_a_host_boots_anew(twin: Twin) -> None:
    dst = twin.host()
    started = twin.call("host.get_other_config", dst)["agent_start_time"]
    twin.call("host.disable", dst)
    twin.call("host.evacuate", dst)
    twin.call("host.reboot", dst)
    twin.wait(lambda: twin.pool.store.value("host", dst, "other_config")["agent_start_time"] != started)


@pytest.mark.parametrize(
    "call", ["host.disable", "host.enable", "host.evacuate", "host.reboot", "host.assert_can_evacuate"]
)
def test_a_reference_that_names_no_host(twin: Twin, call: str) -> None:
    assert twin.refuse(call, "OpaqueRef:x") == ["HANDLE_INVALID", "host", "OpaqueRef:x"]


def test_what_a_host_tells(twin: Twin) -> None:
    src = twin.host("src")
    assert twin.call("host.compute_memory_overhead", src) == twin.call("host.get_memory_overhead", src)
    assert twin.call("host.get_data_sources", src) == []
    local, zoned = (str(twin.call(f"host.{name}", src)) for name in ("get_server_localtime", "get_servertime"))
    assert len(local) + 1 == len(zoned)
    assert zoned.endswith("Z")


def test_an_older_host_may_not_boot_during_an_upgrade(twin: Twin) -> None:
    dst, vm = twin.host(), twin.vm("stopped")
    older = {**twin.call("host.get_software_version", dst), "xapi_build": "26.16.9"}
    twin.pool.store.update("host", dst, software_version=older)
    twin.call("VM.assert_can_boot_here", vm, dst)
    twin.call("pool.add_to_other_config", twin.pool.pool_ref, "rolling_upgrade_in_progress", "true")
    assert twin.refuse("VM.assert_can_boot_here", vm, dst) == ["VM_HOST_INCOMPATIBLE_VERSION", dst, vm]
    assert twin.refuse_migrate() == ["NOT_SUPPORTED_DURING_UPGRADE"]
    twin.migrate("guest", "src")
