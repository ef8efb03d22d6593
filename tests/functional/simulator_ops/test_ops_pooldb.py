"""The databases of real pools come to life, and a VM on shared storage moves there and back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import pooldb, world
from tests.support.moves import Moves

POOLS = Path(__file__).parent.parent.parent / "data" / "pools"
TWO_HOSTS = POOLS / "TampaTwoHostPoolSelectioniSCSI.xml.gz"
ONE_HOST = POOLS / "tampa_livevdimove_xapi-db.xml.gz"


@pytest.fixture
def make_pool() -> Iterator[Callable[[Path], Moves]]:
    made: list[SimulatedPool] = []

    def make(path: Path) -> Moves:
        pool = SimulatedPool(Options(time_scale=50.0), world=pooldb.load(path))
        made.append(pool)
        pool.start()
        return Moves(pool)

    yield make
    for pool in made:
        pool.stop()


@pytest.mark.parametrize(
    ("name", "source", "destination"), [("Shared", "dt16", "dt23"), ("OnMasterShared", "dt23", "dt16")]
)
def test_a_vm_on_shared_storage_moves_there_and_back(
    make_pool: Callable[[Path], Moves], name: str, source: str, destination: str
) -> None:
    moves = make_pool(TWO_HOSTS)
    assert moves.runs_on(name) == [source]
    devices = {field: moves.vm(name)[field] for field in ("uuid", "VBDs", "VIFs")}
    for host in (destination, source):
        moves.client.call("VM.assert_can_boot_here", moves.ref("VM", name), moves.ref("host", host))
        assert moves.finish(name, host)["status"] == "success"
        assert moves.runs_on(name) == [host]
        assert moves.vm(name)["resident_on"] == moves.ref("host", host)
    assert {field: moves.vm(name)[field] for field in devices} == devices


def test_a_vm_on_local_storage_does_not(make_pool: Callable[[Path], Moves]) -> None:
    moves = make_pool(TWO_HOSTS)
    assert moves.refuse("Local", "dt23")[0] == "VM_REQUIRES_SR"
    assert moves.refuse("OnMasterLocal", "dt16")[0] == "VM_REQUIRES_SR"


def test_what_the_old_release_did_not_know_is_there(make_pool: Callable[[Path], Moves]) -> None:
    moves = make_pool(TWO_HOSTS)
    hosts = moves.client.call("host.get_all_records")
    assert sorted(host["address"] for host in hosts.values()) == ["127.0.0.1", "127.0.0.2"]
    (pool,) = moves.client.call("pool.get_all_records").values()
    assert hosts[pool["master"]]["address"] == "127.0.0.1"
    assert all(int(moves.client.call("host.compute_free_memory", ref)) > 0 for ref in hosts)
    vm = moves.vm("Shared")
    assert (vm["domain_type"], vm["is_default_template"], vm["current_operations"]) == ("pv", False, {})
    assert set(vm) == set(moves.pool.schema.classes["VM"].fields)


def test_a_single_host(make_pool: Callable[[Path], Moves]) -> None:
    moves = make_pool(ONE_HOST)
    assert moves.finish("shared", "dt40")["status"] == "success"


def test_what_is_no_database(tmp_path: Path) -> None:
    for text in ("", "<html/>", "<database><table name='VM'/></database>"):
        path = tmp_path / "state.xml"
        path.write_text(text)
        with pytest.raises(world.ImpossibleWorldError):
            pooldb.load(path)
