"""VMs of a real XenServer pool's database, of the generation that the first live migration was written for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.pool import SimulatedPool

POOL = Path(__file__).parents[1] / "data" / "pools" / "TampaTwoHostPoolSelectioniSCSI.xml.gz"

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize(("vm", "home", "away"), [("Shared", "dt16", "dt23"), ("OnMasterShared", "dt23", "dt16")])
def test_a_vm_on_shared_storage_goes_there_and_back(
    simulator: Start, lmflow: Lmflow, vm: str, home: str, away: str
) -> None:
    pool = simulator(POOL)
    assert pool.runs_on(vm) == [home]
    for destination in (away, home):
        done = lmflow("migrate", vm, "--to", destination)
        assert done.returncode == 0, done.stdout + done.stderr
        assert pool.runs_on(vm) == [destination]
        assert pool.resident_on(vm) == destination
    assert len(pool.effects(vm)) == 2


def test_a_vm_on_local_storage_is_refused(simulator: Start, lmflow: Lmflow) -> None:
    pool = simulator(POOL)
    done = lmflow("migrate", "Local", "--to", "dt23")
    assert done.returncode == 3, done.stderr
    assert "Local storage" in done.stdout + done.stderr
    assert pool.changing_calls() == []
