"""High availability: flags, plans, and what is refused because a plan would end."""

from collections.abc import Iterator

import pytest

from lmflow.simulator.rules import failover, memory
from tests.support.twins import Twin, raise_twin


@pytest.fixture
def twin() -> Iterator[Twin]:
    with raise_twin("first") as twin:
        yield twin


def protect(twin: Twin, *parts: str) -> None:
    for part in parts:
        twin.call("VM.set_ha_restart_priority", twin.vm(part), "restart")


def field(twin: Twin, name: str) -> object:
    return twin.call(f"pool.get_{name}", twin.pool.pool_ref)


def test_on_and_off(twin: Twin) -> None:
    assert twin.refuse("pool.disable_ha") == ["HA_NOT_ENABLED"]
    assert twin.refuse("pool.enable_ha", [twin.ref("SR", "disk")], {}) == ["CANNOT_CREATE_STATE_FILE"]
    twin.call("pool.enable_ha", [twin.ref("SR", "nfs")], {"timeout": "60"})
    assert field(twin, "ha_enabled") is True
    assert field(twin, "ha_configuration") == {"timeout": "60"}
    (state_file,) = twin.pool.store.find("VDI", type="ha_statefile")
    assert field(twin, "ha_statefiles") == [twin.pool.store.value("VDI", state_file, "uuid")]
    assert twin.refuse("pool.enable_ha", [], {}) == ["HA_IS_ENABLED"]
    twin.call("pool.disable_ha")
    assert field(twin, "ha_enabled") is False
    assert twin.pool.store.find("VDI", type="ha_statefile") == []


def test_a_dead_host_is_no_start(twin: Twin) -> None:
    with twin.edited("host_metrics", twin.call("host.get_metrics", twin.host()), live=False):
        assert twin.refuse("pool.enable_ha", [], {}) == ["HOST_OFFLINE", twin.host()]


def test_how_many_hosts_may_fail(twin: Twin) -> None:
    assert twin.call("pool.ha_compute_max_host_failures_to_tolerate") == "2", "nothing is to be started again"
    protect(twin, "vm", "guest")
    assert twin.call("pool.ha_compute_max_host_failures_to_tolerate") == "1"
    assert twin.call("pool.ha_failover_plan_exists", "1") is True
    assert twin.call("pool.ha_failover_plan_exists", "2") is False
    protect(twin, "bound")
    assert twin.call("pool.ha_failover_plan_exists", "0") is False, "one of them is bound to a host"
    assert failover.plan(twin.pool.store, 1) is failover.Answer.NOT_FOR_THOSE_BOUND_TO_A_HOST


def test_what_would_be_if_others_were_protected(twin: Twin) -> None:
    call = "pool.ha_compute_hypothetical_max_host_failures_to_tolerate"
    assert twin.call(call, {twin.vm(): "restart", twin.vm("guest"): "best-effort"}) == "1"
    assert twin.refuse(call, {twin.vm(): "often"}) == ["INVALID_VALUE", "ha_restart_priority", "often"]
    assert twin.call("VM.get_ha_restart_priority", twin.vm()) == ""


def test_the_plan_of_a_failure(twin: Twin) -> None:
    protect(twin, "vm", "guest")
    vm, src, dst = twin.vm(), twin.host("src"), twin.host()
    assert twin.call("pool.ha_compute_vm_failover_plan", [src], []) == {vm: {"host": dst}}
    assert twin.call("pool.ha_compute_vm_failover_plan", [src, dst], [])[vm] == {"error_code": "HA_NO_PLAN"}


def test_priorities(twin: Twin) -> None:
    vm = twin.vm()
    refusal = ["INVALID_VALUE", "ha_restart_priority", "sometimes"]
    assert twin.refuse("VM.set_ha_restart_priority", vm, "sometimes") == refusal
    twin.call("VM.set_ha_restart_priority", vm, "restart")
    assert twin.call("VM.get_ha_always_run", vm) is True, "it runs"
    twin.call("VM.set_ha_restart_priority", twin.vm("stopped"), "restart")
    assert twin.call("VM.get_ha_always_run", twin.vm("stopped")) is False
    twin.call("VM.set_ha_always_run", twin.vm("stopped"), True)
    assert set(failover.protected_vms(twin.pool.store)) == {vm, twin.vm("stopped")}
    twin.call("VM.set_ha_restart_priority", vm, "")
    assert twin.call("VM.get_ha_always_run", vm) is False


def test_more_failures_than_there_is_a_plan_for(twin: Twin) -> None:
    protect(twin, "vm")
    twin.call("pool.enable_ha", [], {})
    pool_ref, call = twin.pool.pool_ref, "pool.set_ha_host_failures_to_tolerate"
    assert twin.refuse(call, pool_ref, "-1") == ["INVALID_VALUE", "ha_host_failures_to_tolerate", "-1"]
    assert twin.refuse(call, pool_ref, "2") == ["HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"]
    twin.call(call, pool_ref, "1")
    assert (field(twin, "ha_plan_exists_for"), field(twin, "ha_overcommitted")) == ("1", False)
    twin.pool.store.update("host", twin.host(), enabled=False)
    failover.update_pool(twin.pool.store)
    assert (field(twin, "ha_plan_exists_for"), field(twin, "ha_overcommitted")) == ("0", True)


def test_a_host_that_the_plan_needs_is_not_disabled(twin: Twin) -> None:
    protect(twin, "vm")
    twin.call("pool.enable_ha", [], {})
    twin.call("pool.set_ha_host_failures_to_tolerate", twin.pool.pool_ref, "1")
    assert twin.refuse("host.disable", twin.host()) == ["HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"]
    twin.pool.store.update("pool", twin.pool.pool_ref, ha_allow_overcommit=True)
    assert twin.call("host.disable", twin.host()) == ""


def test_one_vm_too_many_is_not_protected(twin: Twin) -> None:
    protect(twin, "vm")
    twin.call("pool.enable_ha", [], {})
    twin.call("pool.set_ha_host_failures_to_tolerate", twin.pool.pool_ref, "1")
    store, dst = twin.pool.store, twin.host()
    metrics = store.value("host", dst, "metrics")
    need = memory.needed_by(store, twin.vm(), at_most=True)
    taken = store.value("host_metrics", metrics, "memory_total") - memory.free_on(store, dst, at_most=True)
    with twin.edited("host_metrics", metrics, memory_total=taken + need):
        refusal = ["HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"]
        assert twin.refuse("VM.set_ha_restart_priority", twin.vm("neighbour"), "restart") == refusal
    protect(twin, "neighbour")


def test_what_is_not_agile(twin: Twin) -> None:
    assert twin.call("VM.assert_agile", twin.vm()) == ""
    code = "HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED"
    assert twin.refuse("VM.assert_agile", twin.vm("bound")) == [code, twin.ref("SR", "disk")]
    code = "HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED"
    assert twin.refuse("VM.assert_agile", twin.vm("inner")) == [code, twin.ref("network", "hidden")]


def test_many_hosts_are_judged_by_their_worst() -> None:
    """Of ten hosts of which three fail, too many for every combination, with one VM each."""
    sizes = {f"v{n}": 10 for n in range(60)}
    found, left = failover.place(sizes, {f"h{n}": 25 for n in range(30)})
    assert len(found) == 60
    assert set(left.values()) == {5}
    assert len(failover.place(sizes, {f"h{n}": 19 for n in range(59)})[0]) == 59
