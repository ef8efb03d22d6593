"""Conformance M: what VM.pool_migrate refuses, and when. Each case as in xapi's source or seen at a real one."""

import contextlib
from collections.abc import Iterator

import pytest

from lmflow.simulator.rules import memory
from lmflow.simulator.turns import Turns
from tests.support.twins import NULL, Twin, raise_twin

LESSER = "0000000f-00000000"
FEATURES = "VM last booted on a CPU with features this host's CPU does not have."
VENDOR = "VM last booted on a host which had a CPU from a different vendor."


@pytest.fixture(scope="module", params=["first", "second"])
def shared(request: pytest.FixtureRequest) -> Iterator[Twin]:
    with raise_twin(request.param) as twin:
        yield twin


@pytest.fixture
def twin(shared: Twin) -> Iterator[Twin]:
    """A pool whose ``vm`` is on ``src`` again after the test, and on which no operation is left."""
    yield shared
    if shared.call("VM.get_resident_on", shared.vm()) != shared.host("src"):
        shared.migrate(host="src")
    for cls in ("VM", "host"):
        for ref in shared.pool.store.refs(cls):
            assert shared.pool.store.value(cls, ref, "current_operations") == {}


@contextlib.contextmanager
def other_cpu(twin: Twin, **keys: str) -> Iterator[None]:
    cpu = twin.call("host.get_cpu_info", twin.host())
    with twin.edited("host", twin.host(), cpu_info={**cpu, **keys}):
        yield


def test_m01_a_lesser_cpu_is_found_before_the_power_state(twin: Twin) -> None:
    vm = twin.vm()
    with other_cpu(twin, features_hvm=LESSER):
        refusal = ["VM_INCOMPATIBLE_WITH_THIS_HOST", vm, twin.host(), FEATURES]
        assert twin.refuse_migrate() == refusal
        with twin.edited("VM", vm, power_state="Paused", blocked_operations={"pool_migrate": "no"}):
            assert twin.refuse_migrate() == refusal
        assert twin.refuse_migrate("stopped")[0] == "VM_BAD_POWER_STATE"
        twin.migrate(force="true")
    with other_cpu(twin, vendor="AuthenticAMD"):
        assert twin.refuse_migrate("neighbour")[3] == VENDOR


def test_m01_the_checks_come_in_their_order(twin: Twin) -> None:
    """Every obstacle at once; each is seen when those before it have gone."""
    store, vm, dst = twin.pool.store, twin.vm(), twin.host()
    record, metrics = store.record("VM", vm), store.value("VM", vm, "metrics")
    guest, disk = record["guest_metrics"], store.value("VBD", record["VBDs"][0], "VDI")
    said, pool_ref = store.value("VM_guest_metrics", guest, "other"), twin.pool.pool_ref
    cached = {"on_boot": "reset", "caching": "true"}
    obstacles = [
        ("OPERATION_BLOCKED", "VM", vm, {"blocked_operations": {"pool_migrate": "no"}}),
        ("VM_BAD_POWER_STATE", "VM", vm, {"power_state": "Paused"}),
        ("VM_IS_TEMPLATE", "VM", vm, {"is_a_template": True}),
        ("VM_IS_IMMOBILE", "VM_metrics", metrics, {"nested_virt": True}),
        ("OPERATION_NOT_ALLOWED", "VM", vm, {"is_control_domain": True}),
        ("VM_NON_SUSPENDABLE", "VM_guest_metrics", guest, {"other": {**said, "data-cant-suspend-reason": "no"}}),
        ("VM_LACKS_FEATURE", "VM_guest_metrics", guest, {"other": {}}),
        ("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", "VDI", disk, {"sm_config": cached}),
        ("VM_HAS_PCI_ATTACHED", "VM", vm, {"attached_PCIs": ["OpaqueRef:pci"]}),
        ("NOT_SUPPORTED_DURING_UPGRADE", "pool", pool_ref, {"other_config": {"rolling_upgrade_in_progress": "true"}}),
        ("INVALID_VALUE", "VM", vm, {"VCPUs_at_startup": 0}),
        ("HOST_NOT_LIVE", "host_metrics", store.value("host", dst, "metrics"), {"live": False}),
        ("HOST_DISABLED", "host", dst, {"enabled": False}),
        ("VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION", "VM", vm, {"hardware_platform_version": 99}),
        ("VM_REQUIRES_SR", "VDI", disk, {"SR": twin.ref("SR", "disk")}),
        ("VM_REQUIRES_NETWORK", "VIF", record["VIFs"][0], {"network": twin.ref("network", "src only")}),
        ("VM_HVM_REQUIRED", "host", dst, {"capabilities": ["xen-3.0-x86_64"]}),
        ("HOST_NOT_ENOUGH_FREE_MEMORY", "VM", vm, {"memory_dynamic_min": 2**45}),
        ("HOST_NOT_ENOUGH_PCPUS", "VM", vm, {"VCPUs_max": 64}),
        ("OTHER_OPERATION_IN_PROGRESS", "host", dst, {"current_operations": {"OpaqueRef:t": "evacuate"}}),
        ("LICENCE_RESTRICTION", "pool", pool_ref, {"restrictions": {"restrict_xen_motion": "true"}}),
    ]  # fmt: skip
    older = {**store.value("host", dst, "software_version"), "platform_version": "2.1.0"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(twin.edited("host", dst, software_version=older))
        before: list[dict[str, object]] = []
        for _, cls, ref, fields in reversed(obstacles):
            before.insert(0, {name: store.value(cls, ref, name) for name in fields})
            stack.enter_context(twin.edited(cls, ref, **fields))
        for (code, cls, ref, _), fields in zip(obstacles, before, strict=True):
            assert twin.refuse_migrate()[0] == code
            store.update(cls, ref, **fields)


def test_m03_a_halted_vm(twin: Twin) -> None:
    assert twin.refuse_migrate("stopped") == ["VM_BAD_POWER_STATE", twin.vm("stopped"), "running", "halted"]


def test_m05_who_comes_second_waits_and_may_be_cancelled(twin: Twin) -> None:
    first = twin.start("VM.pool_migrate", twin.vm(), twin.host(), {})
    twin.wait(lambda: twin.pool.store.value("VM", twin.vm(), "current_operations") == {first: "pool_migrate"})
    second = twin.start("VM.pool_migrate", twin.vm(), twin.host(), {})
    twin.wait(lambda: twin.pool.part(Turns).waiting(twin.vm()) == ["pool_migrate"])
    record = twin.call("task.get_record", second)
    assert (record["status"], record["allowed_operations"]) == ("pending", ["cancel"])
    assert twin.call("task.cancel", second) == ""
    ended = twin.end(second)
    assert (ended["status"], ended["error_info"]) == ("cancelled", [])
    assert twin.end(first)["status"] == "success"


def test_m05_after_two_hours_it_is_refused() -> None:
    with raise_twin("second", time_scale=20_000.0) as twin:
        twin.pool.store.update("VM", twin.vm(), current_operations={"OpaqueRef:t": "snapshot"})
        refusal = ["OTHER_OPERATION_IN_PROGRESS", "VM", twin.vm(), "snapshot", "OpaqueRef:t"]
        assert twin.refuse_migrate() == refusal


def test_m06_more_than_a_hundred_do_not_wait() -> None:
    with raise_twin("first") as twin, twin.edited("VM", twin.vm(), current_operations={"OpaqueRef:t": "snapshot"}):
        tasks = [twin.start("VM.pool_migrate", twin.vm(), twin.host(), {}) for _ in range(101)]
        twin.wait(lambda: len(twin.pool.part(Turns).waiting(twin.vm())) == len(tasks))
        assert twin.refuse_migrate() == ["TOO_MANY_PENDING_TASKS"]
        for task in tasks:
            twin.call("task.cancel", task)
        assert {twin.end(task)["status"] for task in tasks} == {"cancelled"}


def test_m07_a_template(twin: Twin) -> None:
    image = twin.vm("image")
    assert twin.refuse_migrate("image") == ["VM_BAD_POWER_STATE", image, "running", "halted"]
    with twin.edited("VM", image, power_state="Running"):
        assert twin.refuse_migrate("image") == ["VM_IS_TEMPLATE", image, "pool_migrate"]


def test_m12_a_pci_device(twin: Twin) -> None:
    with twin.edited("VM", twin.vm(), attached_PCIs=["OpaqueRef:pci"]):
        assert twin.refuse_migrate() == ["VM_HAS_PCI_ATTACHED", twin.vm()]
        assert twin.refuse_migrate(force="true") == ["VM_HAS_PCI_ATTACHED", twin.vm()]


def test_m13_a_virtual_gpu(twin: Twin) -> None:
    with twin.having("VGPU_type", implementation="passthrough") as kind, twin.having("VGPU", VM=twin.vm(), type=kind):
        assert twin.refuse_migrate() == ["VM_HAS_VGPU", twin.vm()]


def test_m14_a_usb_device(twin: Twin) -> None:
    with twin.having("VUSB", VM=twin.vm()):
        assert twin.refuse_migrate() == ["VM_HAS_VUSBS", twin.vm()]


def test_m16_a_destination_that_is_not_live(twin: Twin) -> None:
    with twin.edited("host_metrics", twin.call("host.get_metrics", twin.host()), live=False):
        assert twin.refuse_migrate() == ["HOST_NOT_LIVE"]


def test_m17_a_disabled_destination_but_not_the_vms_own_host(twin: Twin) -> None:
    twin.call("host.disable", twin.host())
    assert twin.refuse_migrate() == ["HOST_DISABLED", twin.host()]
    twin.call("host.enable", twin.host())
    twin.call("host.disable", twin.host("src"))
    twin.migrate(host="src")
    twin.migrate()
    twin.call("host.enable", twin.host("src"))


def test_m18_virtual_hardware_that_the_destination_lacks(twin: Twin) -> None:
    with twin.edited("VM", twin.vm(), hardware_platform_version=99):
        code = "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION"
        refusal = [code, twin.host(), "[0; 1; 2]", twin.vm(), "99"]
        assert twin.refuse_migrate() == refusal
        assert twin.refuse("VM.assert_can_boot_here", twin.vm(), twin.host()) == refusal


def test_m19_storage_that_the_destination_lacks(twin: Twin) -> None:
    assert twin.refuse_migrate("bound") == ["VM_REQUIRES_SR", twin.vm("bound"), twin.ref("SR", "disk")]
    shared_sr = twin.ref("SR", "nfs")
    plugs = [ref for ref in twin.call("SR.get_PBDs", shared_sr) if twin.call("PBD.get_host", ref) == twin.host()]
    with twin.edited("PBD", plugs[0], currently_attached=False):
        assert twin.refuse_migrate("bound") == ["VM_REQUIRES_SR", twin.vm("bound"), shared_sr]


def test_m20_a_network_that_the_destination_lacks(twin: Twin) -> None:
    hidden = twin.ref("network", "hidden")
    assert twin.refuse_migrate("inner") == ["VM_REQUIRES_NETWORK", twin.vm("inner"), hidden]
    with twin.edited("network", hidden, other_config={"assume_network_is_shared": "true"}):
        twin.call("VM.assert_can_boot_here", twin.vm("inner"), twin.host())
    with twin.having("VIF", VM=twin.vm("guest"), network=hidden, currently_attached=True):
        twin.call("VM.assert_can_boot_here", twin.vm("inner"), twin.host())


def test_m20_a_wire_that_is_part_of_a_bond(twin: Twin) -> None:
    lan = twin.ref("network", "lan")
    wires = [ref for ref in twin.call("network.get_PIFs", lan) if twin.call("PIF.get_host", ref) == twin.host()]
    with twin.edited("PIF", wires[0], bond_slave_of="OpaqueRef:bond"):
        assert twin.refuse_migrate() == ["HOST_CANNOT_ATTACH_NETWORK", twin.host(), lan]


def test_m21_devices_that_the_destination_lacks(twin: Twin) -> None:
    vm, dst = twin.vm(), twin.host()
    with (
        twin.having("USB_group", name_label="g") as group,
        twin.having("PUSB", USB_group=group, host=twin.host("src")),
        twin.having("VUSB", VM=vm, USB_group=group) as vusb,
    ):
        text = f"VUSB {vusb} is not available on Host {dst}"
        assert twin.refuse("VM.assert_can_boot_here", vm, dst) == ["OPERATION_NOT_ALLOWED", text]
        twin.call("VM.assert_can_boot_here", vm, twin.host("src"))


def test_m21_a_gpu_that_the_destination_lacks(twin: Twin) -> None:
    vm, dst = twin.vm(), twin.host()
    with (
        twin.having("GPU_group", name_label="g") as group,
        twin.having("VGPU_type", implementation="nvidia") as kind,
        twin.having("VGPU", VM=vm, GPU_group=group, type=kind),
    ):
        assert twin.refuse_migrate() == ["VM_REQUIRES_GPU", vm, group]
        with twin.having("PGPU", GPU_group=group, host=dst):
            assert twin.refuse_migrate() == ["VM_REQUIRES_VGPU", vm, group, kind]
        with twin.having("PGPU", GPU_group=group, host=dst, enabled_VGPU_types=[kind]):
            twin.call("VM.assert_can_boot_here", vm, dst)
    with (
        twin.having("VGPU_type", implementation="passthrough") as kind,
        twin.having("VGPU", VM=vm, type=kind),
        twin.edited("host", dst, chipset_info={"iommu": "false"}),
    ):
        assert twin.refuse("VM.assert_can_boot_here", vm, dst) == ["VM_REQUIRES_IOMMU", dst]


def test_m21_virtual_functions_that_the_destination_lacks(twin: Twin) -> None:
    store, vm, dst, lan = twin.pool.store, twin.vm(), twin.host(), twin.ref("network", "lan")
    (wire,) = [ref for ref in store.value("network", lan, "PIFs") if store.value("PIF", ref, "host") == dst]
    with (
        twin.having("PCI", host=dst) as card,
        twin.edited("PIF", wire, PCI=card),
        twin.having("network_sriov", physical_PIF=wire, logical_PIF=wire),
    ):
        assert twin.refuse_migrate() == ["NETWORK_SRIOV_INSUFFICIENT_CAPACITY", lan]
        with twin.having("PCI", host=dst, dependencies=[card]) as function:
            twin.call("VM.assert_can_boot_here", vm, dst)
            with twin.edited("VM", twin.vm("guest"), attached_PCIs=[function]):
                assert twin.refuse_migrate() == ["NETWORK_SRIOV_INSUFFICIENT_CAPACITY", lan]


def test_m23_memory_that_the_destination_lacks(twin: Twin) -> None:
    store, vm, dst = twin.pool.store, twin.vm(), twin.host()
    needed = memory.needed_by(store, vm)
    metrics, free = store.value("host", dst, "metrics"), memory.free_on(store, dst)
    taken = store.value("host_metrics", metrics, "memory_total") - free
    with twin.edited("host_metrics", metrics, memory_total=taken + needed - 1):
        assert twin.refuse_migrate() == ["HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(needed - 1)]
    other = memory.needed_by(store, twin.vm("neighbour"))
    with (
        twin.edited("host_metrics", metrics, memory_total=taken + needed + other - 1),
        twin.edited("VM", twin.vm("neighbour"), scheduled_to_be_resident_on=dst),
    ):
        assert twin.refuse_migrate() == ["HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(needed - 1)]


def test_m24_cpus_that_the_destination_lacks(twin: Twin) -> None:
    with twin.edited("VM", twin.vm(), VCPUs_max=512):
        assert twin.refuse_migrate() == ["HOST_NOT_ENOUGH_PCPUS", "512", "4"]
        with twin.edited("VM", twin.vm(), platform={"vcpu-unrestricted": "true"}):
            twin.call("VM.assert_can_boot_here", twin.vm(), twin.host())


def test_m25_a_move_that_would_break_the_failover_plan() -> None:
    with raise_twin("first") as twin:
        for part in ("vm", "guest"):
            twin.call("VM.set_ha_restart_priority", twin.vm(part), "restart")
        twin.call("pool.enable_ha", [], {})
        twin.call("pool.set_ha_host_failures_to_tolerate", twin.pool.pool_ref, 1)
        assert twin.call("pool.get_ha_plan_exists_for", twin.pool.pool_ref) == "1"
        # Both fit on either host, but not one of them twice, as a VM counts that is on its way.
        store, dst = twin.pool.store, twin.host()
        need = memory.needed_by(store, twin.vm(), at_most=True)
        metrics = store.value("host", dst, "metrics")
        total = store.value("host_metrics", metrics, "memory_total")
        room = memory.free_on(store, dst, at_most=True)
        with twin.edited("host_metrics", metrics, memory_total=total - room + need):
            assert twin.refuse_migrate() == ["HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"]
        twin.migrate()


def test_m27_a_source_that_is_not_live(twin: Twin) -> None:
    with twin.edited("host_metrics", twin.call("host.get_metrics", twin.host("src")), live=False):
        assert twin.refuse_migrate() == ["HOST_OFFLINE", twin.host("src")]


def test_m28_a_licence_without_it(twin: Twin) -> None:
    with twin.edited("pool", twin.pool.pool_ref, restrictions={"restrict_xen_motion": "true"}):
        assert twin.refuse_migrate() == ["LICENCE_RESTRICTION", "Live_migration"]


def test_m29_a_way_that_does_not_lead_there(twin: Twin) -> None:
    lan, local = twin.ref("network", "lan"), twin.ref("network", "src only")
    assert twin.refuse_migrate(network=local) == ["PIF_NOT_PRESENT", twin.host(), local]
    (wire,) = [ref for ref in twin.call("network.get_PIFs", lan) if twin.call("PIF.get_host", ref) == twin.host()]
    with twin.edited("PIF", wire, IP=""):
        assert twin.refuse_migrate(network=lan) == ["INTERFACE_HAS_NO_IP", wire]
    with twin.edited("PIF", wire, currently_attached=False):
        assert twin.refuse_migrate(network=lan) == ["REQUIRED_PIF_IS_UNPLUGGED", wire]
    assert twin.refuse_migrate(network="OpaqueRef:x") == ["HANDLE_INVALID", "network", "OpaqueRef:x"]
    twin.migrate(network=lan)


def test_m31_an_unknown_vm_ends_in_the_task(twin: Twin) -> None:
    task = twin.start("VM.pool_migrate", "OpaqueRef:x", twin.host(), {})
    assert twin.end(task)["error_info"] == ["HANDLE_INVALID", "VM", "OpaqueRef:x"]


def test_m32_to_the_host_where_it_runs_is_a_migration(twin: Twin) -> None:
    said = twin.pool.store.find("message", name="VM_MIGRATED")
    domid = twin.call("VM.get_domid", twin.vm())
    task = twin.start("VM.pool_migrate", twin.vm(), twin.host("src"), {})
    ended = twin.end(task)
    assert ended["status"] == "success"
    assert twin.call("VM.get_resident_on", twin.vm()) == twin.host("src")
    assert twin.call("VM.get_domid", twin.vm()) != domid
    assert len(twin.pool.store.find("message", name="VM_MIGRATED")) == len(said) + 1


def test_m33_only_one_word_forces(twin: Twin) -> None:
    assert twin.refuse_migrate("bare", force="True") == ["VM_LACKS_FEATURE", twin.vm("bare")]
    twin.migrate(compress="TRUE", live="nonsense", copy="x")
    twin.migrate(compress="maybe")
    twin.migrate("bare", force="true")
    twin.migrate("bare", host="src", force="true")


def test_a_move_that_is_refused_reserves_nothing(twin: Twin) -> None:
    with twin.edited("host", twin.host(), enabled=False):
        twin.refuse_migrate()
    assert twin.call("VM.get_scheduled_to_be_resident_on", twin.vm()) == NULL
