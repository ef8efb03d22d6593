"""The whole room against a simulated pool in a process of its own."""

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmflow.exceptions import NoReplyError, UnreachableError, XapiFailureError
from lmflow.models import VM, Host, MoveOptions, PoolProfile, TaskView, Tls, WitnessView
from lmflow.xapi import async_tasks, changes, reads, witness
from lmflow.xapi.connection import Connection
from tests.support.pool import SimulatedPool, start_pool

DATA = Path(__file__).parents[2] / "data" / "pools"
StartPool = Callable[..., SimulatedPool]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartPool]:
    """Start pools: ``start("lab", "--https", time_scale=30)``; they are stopped after the test."""
    made: list[SimulatedPool] = []

    def start_one(world: str | Path = "lab", *options: str, time_scale: float = 60) -> SimulatedPool:
        made.append(start_pool(tmp_path / str(len(made)), world, *options, time_scale=time_scale))
        return made[-1]

    yield start_one
    for pool in made:
        pool.stop()


def make_profile(pool: SimulatedPool, *addresses: str) -> PoolProfile:
    ready = pool.ready
    fingerprints = {ready["hosts"][name]: digest for name, digest in ready["certificate_sha256"].items()}
    return PoolProfile(
        "lab",
        addresses or (ready["coordinator"],),
        username=ready["username"],
        scheme=ready["scheme"],
        port=ready["port"],
        tls=Tls(fingerprints=fingerprints),
        read_timeout_seconds=30.0,
        witness_timeout_seconds=15.0,
    )


def connect(pool: SimulatedPool, *addresses: str) -> Connection:
    return Connection.open(make_profile(pool, *addresses), lambda: str(pool.ready["password"]))


def find_vm(conn: Connection, name: str) -> VM:
    (vm,) = (v for v in reads.list_vms(conn) if v.name_label == name)
    return vm


def find_host(conn: Connection, name: str) -> Host:
    (host,) = (h for h in reads.list_hosts(conn) if h.name_label == name)
    return host


def await_end(conn: Connection, task_uuid: str, vm_uuid: str) -> TaskView:
    while True:
        async_tasks.wait_for_change(conn, task_uuid=task_uuid, vm_uuid=vm_uuid, timeout_seconds=20)
        task = async_tasks.find_task(conn, task_uuid=task_uuid)
        assert task is not None
        if task.status != "pending":
            return task


def await_pool(work: Callable[[], object]) -> object:
    """Try until the pool answers again."""
    limit = time.monotonic() + 60
    while True:
        try:
            return work()
        except UnreachableError:
            assert time.monotonic() < limit


def test_migration(start: StartPool) -> None:
    pool = start()
    with connect(pool) as conn:
        vm, destination = find_vm(conn, "web-01"), find_host(conn, "xcp-b")
        source = find_host(conn, "xcp-a")
        conn.arm()
        started = changes.migrate_vm(
            conn, vm_uuid=vm.uuid, destination_uuid=destination.uuid, attempt_id="a-1", options=MoveOptions()
        )
        (pending,) = async_tasks.list_pending_migrations(conn, vm_uuid=vm.uuid)
        assert (pending.uuid, pending.attempt_id) == (started.task_uuid, "a-1")
        assert pending.ref_digits == started.ref_digits
        task = await_end(conn, started.task_uuid, vm.uuid)
        assert (task.status, task.error) == ("success", None)
        assert async_tasks.find_task(conn, attempt_id="a-1") == task
        assert async_tasks.find_task(conn, task_uuid="gone", attempt_id="a-1") == task
        assert async_tasks.find_task(conn, task_uuid="gone", attempt_id="a-2") is None
        moved = reads.read_vm(conn, vm.uuid)
        assert moved is not None
        assert moved.resident_on_uuid == destination.uuid
        arrived, left = witness.ask(conn, destination, vm.uuid), witness.ask(conn, source, vm.uuid)
        assert (arrived.answered, arrived.power_state, arrived.incoming) == (True, "Running", False)
        assert left.answered
        assert left.power_state != "Running"
        assert started.ref_digits in {t.ref_digits for t in arrived.tasks}
        assert async_tasks.destroy_task(conn, task.uuid)
        assert async_tasks.find_task(conn, task_uuid=task.uuid, attempt_id="a-1") is None
    assert len(pool.effects()) == 1


def test_lost_reply_leaves_the_attempt_to_be_found(start: StartPool) -> None:
    pool = start()
    pool.control("POST", "/faults", {"call": "VM.pool_migrate", "nth": 1, "kind": "close_after"})
    with connect(pool) as conn:
        vm, destination = find_vm(conn, "web-01"), find_host(conn, "xcp-b")
        conn.arm()
        with pytest.raises(NoReplyError):
            changes.migrate_vm(
                conn, vm_uuid=vm.uuid, destination_uuid=destination.uuid, attempt_id="a-1", options=MoveOptions()
            )
        task = async_tasks.find_task(conn, attempt_id="a-1")
        assert task is not None
        assert await_end(conn, task.uuid, vm.uuid).status == "success"
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_refusals_name_uuids(start: StartPool) -> None:
    pool = start()
    with connect(pool) as conn:
        vm, destination = find_vm(conn, "db-01"), find_host(conn, "xcp-c")
        snapshot = reads.read_snapshot(conn, vm.uuid, destination.uuid, now=12.5)
        assert snapshot.boot_check is not None
        assert destination.uuid in snapshot.boot_check.params
        conn.arm()
        started = changes.migrate_vm(
            conn, vm_uuid=vm.uuid, destination_uuid=destination.uuid, attempt_id="a-1", options=MoveOptions()
        )
        task = await_end(conn, started.task_uuid, vm.uuid)
        assert task.status == "failure"
        assert task.error is not None
        assert vm.uuid in task.error.params
        assert "OpaqueRef" not in repr((snapshot, task))


def test_snapshot(start: StartPool) -> None:
    pool = start()
    with connect(pool) as conn:
        vm, destination = find_vm(conn, "db-01"), find_host(conn, "xcp-c")
        before = len(pool.audit())
        snapshot = reads.read_snapshot(conn, vm.uuid, destination.uuid, now=12.5)
        methods = [entry["method"] for entry in pool.audit()[before:]]
        assert snapshot.observed_at == 12.5
        assert (snapshot.source_uuid, snapshot.destination_uuid) == (vm.resident_on_uuid, destination.uuid)
        assert {h.name_label for h in snapshot.hosts} == {"xcp-a", "xcp-c"}
        assert {s.name_label for s in snapshot.srs} == {"nfs-vms", "local-ssd"}
        assert len(snapshot.pbds) == 3  # both SRs on the source, one of them on the destination
        assert {p.host_uuid for p in snapshot.pbds} == {vm.resident_on_uuid, destination.uuid}
        assert {p.host_uuid for p in snapshot.pifs} == {vm.resident_on_uuid, destination.uuid}
        assert [v.vdi.name_label for v in snapshot.vm.vbds if v.vdi] == ["root", "data"]
        assert "VM.get_all_records" not in methods
        assert {m for m in methods if "get_all_records" in m} == {
            "pool.get_all_records",
            "host.get_all_records",
            "host_metrics.get_all_records",
            "PIF.get_all_records_where",  # by which the hosts are managed
            "VM.get_all_records_where",  # who has a place reserved there
        }
        assert len(methods) <= 30  # 12 for the pool and the VM, the rest by its two disks, their SRs, its interface
        with pytest.raises(XapiFailureError):
            reads.read_snapshot(conn, vm.uuid, vm.uuid, now=1.0)
        with pytest.raises(XapiFailureError):
            reads.read_snapshot(conn, destination.uuid, destination.uuid, now=1.0)


def test_old_pool(start: StartPool, tmp_path: Path) -> None:
    """A database of XenServer 6.1 misses many a field; names leave templates and control domains out."""
    database = tmp_path / "tampa.xml"
    database.write_bytes(gzip.decompress((DATA / "TampaTwoHostPoolSelectioniSCSI.xml.gz").read_bytes()))
    with connect(start(database)) as conn:
        vms, hosts = reads.list_vms(conn), reads.read_hosts(conn)
        assert vms
        assert not any(vm.is_a_template or vm.is_control_domain or vm.is_a_snapshot for vm in vms)
        assert len(hosts) == 2
        assert [host.uuid for host in hosts if host.is_coordinator] == [reads.read_pool(conn).coordinator_uuid]
        vm = next(vm for vm in vms if vm.power_state == "Running")
        destination = next(host for host in hosts if host.uuid != vm.resident_on_uuid)
        snapshot = reads.read_snapshot(conn, vm.uuid, destination.uuid, now=1.0)
        assert snapshot.vm.uuid == vm.uuid
        assert type(snapshot).from_json(snapshot.to_json()) == snapshot


def test_absent_objects(start: StartPool) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    with connect(start()) as conn:
        assert reads.read_vm(conn, nobody) is None
        assert reads.read_pbd(conn, nobody) is None
        assert async_tasks.find_task(conn, task_uuid=nobody) is None
        assert async_tasks.list_pending_migrations(conn, vm_uuid=nobody) == ()


def test_coordinator_restart(start: StartPool) -> None:
    """Session, task record and token are lost; the witness still knows the task by its digits."""
    pool = start(time_scale=20)
    with connect(pool) as conn:
        vm, destination = find_vm(conn, "web-02"), find_host(conn, "xcp-b")
        source = find_host(conn, "xcp-a")
        conn.arm()
        started = changes.migrate_vm(
            conn, vm_uuid=vm.uuid, destination_uuid=destination.uuid, attempt_id="a-1", options=MoveOptions()
        )
        async_tasks.wait_for_change(conn, task_uuid=started.task_uuid, vm_uuid=vm.uuid, timeout_seconds=5)
        first_session = conn.session_uuid
        pool.control("POST", "/toolstack", {"host": "xcp-a", "action": "restart", "how": "KILL"})
        assert await_pool(lambda: async_tasks.find_task(conn, task_uuid=started.task_uuid, attempt_id="a-1")) is None
        assert conn.session_uuid != first_session
        assert not conn.armed
        view = await_pool(lambda: witness.ask(conn, source, vm.uuid))
        assert isinstance(view, WitnessView)
        assert view.answered
        assert started.ref_digits in {task.ref_digits for task in view.tasks}
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_fence(start: StartPool) -> None:
    pool = start()
    with connect(pool) as old, connect(pool) as new:
        vm, destination = find_vm(old, "web-01"), find_host(old, "xcp-b")
        old.arm()
        assert new.end_session(old.session_uuid)
        assert new.end_session(old.session_uuid)
        with pytest.raises(XapiFailureError) as caught:
            old.start("VM.pool_migrate", vm.uuid, destination.uuid, {}, attempt_id="a-1")
        assert caught.value.xapi_code == "SESSION_INVALID"
        assert find_vm(new, "web-01") == vm
    assert pool.effects() == []


def test_member_redirects_over_tls(start: StartPool) -> None:
    pool = start("lab", "--https")
    with connect(pool, pool.ready["hosts"]["xcp-c"]) as conn:
        assert conn.address == pool.ready["coordinator"]
        assert witness.ask(conn, find_host(conn, "xcp-b"), find_vm(conn, "web-03").uuid).power_state == "Running"


def test_unwilling_witness(start: StartPool) -> None:
    with connect(start("lab", "--refuse-witness")) as conn:
        view = witness.ask(conn, find_host(conn, "xcp-a"), find_vm(conn, "web-01").uuid)
    assert (view.answered, view.power_state) == (False, None)
    assert "401" in view.reason


def test_copy_in_flight_is_seen_by_the_witness(start: StartPool) -> None:
    pool = start(time_scale=20)
    with connect(pool) as conn:
        vm, destination = find_vm(conn, "web-02"), find_host(conn, "xcp-b")
        conn.arm()
        started = changes.migrate_vm(
            conn, vm_uuid=vm.uuid, destination_uuid=destination.uuid, attempt_id="a-1", options=MoveOptions()
        )
        while not (view := witness.ask(conn, destination, vm.uuid)).incoming:
            async_tasks.wait_for_change(conn, task_uuid=started.task_uuid, vm_uuid=vm.uuid, timeout_seconds=5)
        assert view.power_state is None
        assert view.answered


def test_pbd_unplug_and_plug(start: StartPool) -> None:
    pool = start()
    with connect(pool) as conn:
        host, sr = find_host(conn, "xcp-c"), pool.uuid("SR", "isos")
        state = pool.state()
        refs = {r["uuid"]: ref for ref, r in pool.records("SR", state).items()}
        hosts = {r["uuid"]: ref for ref, r in pool.records("host", state).items()}
        (pbd_uuid,) = (
            r["uuid"]
            for r in pool.records("PBD", state).values()
            if r["SR"] == refs[sr] and r["host"] == hosts[host.uuid]
        )
        conn.arm()
        for change, attached in ((changes.unplug_pbd, False), (changes.plug_pbd, True)):
            started = change(conn, pbd_uuid=pbd_uuid, attempt_id=f"a-{attached}")
            assert await_end(conn, started.task_uuid, "").status == "success"
            pbd = reads.read_pbd(conn, pbd_uuid)
            assert pbd is not None
            assert (pbd.currently_attached, pbd.sr_uuid, pbd.host_uuid) == (attached, sr, host.uuid)
