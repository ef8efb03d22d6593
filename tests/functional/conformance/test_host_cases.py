"""Conformance H: what hosts refuse. Each case as in xapi's source or seen at a real one, in both worlds."""

from collections.abc import Iterator

import pytest

from tests.support.twins import Twin, raise_twin


@pytest.fixture(scope="module", params=["first", "second"])
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    with raise_twin(request.param) as twin:
        yield twin


@pytest.fixture
def emptied(request: pytest.FixtureRequest, twin: Twin) -> Iterator[Twin]:
    """A pool whose ``dst`` is enabled again after the test and has its guest."""
    yield twin
    twin.call("host.enable", twin.host())
    if twin.call("VM.get_resident_on", twin.vm("guest")) != twin.host():
        twin.migrate("guest")


def test_h01_a_disabled_host_takes_nothing(emptied: Twin) -> None:
    twin = emptied
    assert twin.call("host.disable", twin.host()) == ""
    assert twin.call("host.get_enabled", twin.host()) is False
    assert twin.refuse_migrate() == ["HOST_DISABLED", twin.host()]
    assert twin.call("host.disable", twin.host()) == ""


def test_h02_what_prevents_an_evacuation(twin: Twin) -> None:
    bare, bound, inner = (twin.vm(part) for part in ("bare", "bound", "inner"))
    found = twin.call("host.get_vms_which_prevent_evacuation", twin.host("src"))
    expected = {
        bare: ["VM_LACKS_FEATURE", bare],
        bound: ["VM_REQUIRES_SR", bound, twin.ref("SR", "disk")],
        inner: ["VM_REQUIRES_NETWORK", inner, twin.ref("network", "hidden")],
    }
    assert found == expected
    guest = twin.vm("guest")
    with twin.edited("host", twin.host("src"), enabled=False):
        found = twin.call("host.get_vms_which_prevent_evacuation", twin.host())
        assert found == {guest: ["NO_HOSTS_AVAILABLE", guest]}
    with twin.edited("VM", guest, memory_dynamic_min=2**45):
        found = twin.call("host.get_vms_which_prevent_evacuation", twin.host())
        assert found == {guest: ["HOST_NOT_ENOUGH_FREE_MEMORY", guest]}


def test_h03_each_vm_is_moved_by_a_task_of_its_own(emptied: Twin) -> None:
    twin, store = emptied, emptied.pool.store
    task = twin.start("host.evacuate", twin.host())
    twin.wait(lambda: bool(store.value("task", task, "subtasks")))
    (below,) = store.value("task", task, "subtasks")
    assert store.value("task", below, "name_label") == "Async.VM.pool_migrate"
    assert store.value("host", twin.host(), "current_operations") == {task: "evacuate"}
    assert twin.end(task)["status"] == "success"
    assert not store.exists("task", below)
    assert twin.call("host.get_enabled", twin.host()) is True
    assert twin.call("VM.get_resident_on", twin.vm("guest")) == twin.host("src")


def test_h03_the_first_obstacle_is_raised_and_nothing_moves(twin: Twin) -> None:
    before = twin.call("host.get_resident_VMs", twin.host("src"))
    assert twin.refuse("host.evacuate", twin.host("src")) == ["VM_LACKS_FEATURE", twin.vm("bare")]
    assert twin.call("host.get_resident_VMs", twin.host("src")) == before


def test_h04_all_obstacles_in_one_text(twin: Twin) -> None:
    code, text = twin.refuse("host.assert_can_evacuate", twin.host("src"))
    assert code == "CANNOT_EVACUATE_HOST"
    assert text.split("|") == [
        f"VM_REQUIRES_NETWORK,{twin.vm('inner')},{twin.ref('network', 'hidden')}",
        f"VM_REQUIRES_SR,{twin.vm('bound')},{twin.ref('SR', 'disk')}",
        f"VM_LACKS_FEATURE,{twin.vm('bare')}",
    ]


@pytest.mark.parametrize("call", ["host.reboot", "host.shutdown"])
def test_h05_an_enabled_host_stays_up(emptied: Twin, call: str) -> None:
    twin = emptied
    assert twin.refuse(call, twin.host()) == ["HOST_NOT_DISABLED"]
    twin.call("host.disable", twin.host())
    assert twin.refuse(call, twin.host()) == ["HOST_IN_USE", twin.host(), "vm", twin.vm("guest")]


def test_h08_nobody_balances_the_load(twin: Twin) -> None:
    assert twin.refuse("VM.retrieve_wlb_recommendations", twin.vm()) == ["WLB_NOT_INITIALIZED"]
    assert twin.refuse("host.retrieve_wlb_evacuate_recommendations", twin.host()) == ["WLB_NOT_INITIALIZED"]
