"""The examples of the embedding page, run as anybody would run them: killed, resumed, and with fifty VMs at a time."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedding import count_accepted, hold_in_the_copy, is_in_the_copy, let_go, start_example, write_site
from tests.support.kills import kill_when_progress, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]

ORDER = ("--ticket", "T-1", "--vm", "v", "--to", "B")
RESUME = ("--ticket", "T-1", "--resume")
FIFTY = [f"vm-{number:02}" for number in range(50)]
HOSTS = ("A", "B", "C")


def ask_orchestrator(scene: Scene, statement: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(scene.directory / "orchestrator.db", timeout=30)) as database:
        return database.execute(statement).fetchall()


def steps(scene: Scene) -> list[str]:
    return [step for (step,) in ask_orchestrator(scene, "select step from journal order by number")]


def states(scene: Scene) -> tuple[str, str]:
    """The states of the graph and of its migration, as the orchestrator's own database has them."""
    (flow,) = ask_orchestrator(scene, "select state from flowdetails")
    (atom,) = ask_orchestrator(scene, "select state from atomdetails where name = 'lmflow migrate T-1'")
    return flow[0], atom[0]


def test_57_an_orchestrator_killed_in_mid_migration_and_resumed_moves_the_vm_once(
    simulator: Start, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    site = write_site(scene, pool)
    hold_in_the_copy(pool)
    killed = start_example(scene, "orchestrator_taskflow.py", site, *ORDER)
    kill_when_progress(scene, killed, 0.2)
    assert states(scene) == ("RUNNING", "RUNNING")
    assert steps(scene) == ["reserve"]

    heir = start_example(scene, "orchestrator_taskflow.py", site, *RESUME)
    taken = "select 1 from lmflow_events where kind = 'taken_over'"
    assert wait_until(lambda: bool(query(scene, taken)), heir, "taken over"), scene.read_output(heir)
    let_go(pool)
    assert heir.wait(60) == 0, scene.read_output(heir)
    assert states(scene) == ("SUCCESS", "SUCCESS")

    assert start_example(scene, "orchestrator_taskflow.py", site, *RESUME).wait(60) == 0
    assert pool.runs_on("v") == ["B"]
    assert len(pool.audit("VM.pool_migrate")) == len(pool.effects("v")) == 1
    assert steps(scene) == ["reserve", "update"]
    assert ask_orchestrator(scene, "select vm, host from inventory") == [("v", "B")]
    assert len(scene.runs()) == 1


def test_an_orchestrator_that_is_stopped_reverts_nothing(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    site = write_site(scene, pool)
    hold_in_the_copy(pool)
    stopped = start_example(scene, "orchestrator_taskflow.py", site, *ORDER)
    assert wait_until(lambda: is_in_the_copy(scene), stopped, "progress"), scene.read_output(stopped)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(60) == 5, scene.read_output(stopped)
    assert "nothing was reverted" in scene.read_output(stopped)[0]
    assert states(scene) == ("RUNNING", "RUNNING")
    assert steps(scene) == ["reserve"]

    let_go(pool)
    heir = start_example(scene, "orchestrator_taskflow.py", site, *RESUME)
    assert heir.wait(60) == 0, scene.read_output(heir)
    assert steps(scene) == ["reserve", "update"]
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_an_orchestrator_whose_migration_is_refused_is_reverted(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(
        write_world(tmp_path / "p.json", lambda world: get_item(world, "hosts", "B").update(enabled=False))
    )
    child = start_example(scene, "orchestrator_taskflow.py", write_site(scene, pool), *ORDER)
    assert child.wait(60) == 4, scene.read_output(child)
    assert states(scene) == ("REVERTED", "REVERTED")
    assert steps(scene) == ["reserve", "release"]
    assert not pool.audit("VM.pool_migrate")


def spread_fifty(world: dict[str, Any]) -> None:
    """Put fifty small VMs on three hosts."""
    (like,) = world["vms"]
    like |= {"memory": "256 MiB", "copy_seconds": 10}
    world["vms"] = [{**like, "name": name, "host": HOSTS[number % 3]} for number, name in enumerate(FIFTY)]


def make_orders(pool: SimulatedPool) -> dict[str, str]:
    """Return a line of orders by VM. By UUID: a name makes lmflow read all VMs, and fifty names fifty times all."""
    uuids = {record["name_label"]: record["uuid"] for record in pool.records("VM").values()}
    return {uuids[name]: f"order-{n} {uuids[name]} {HOSTS[(n + 1) % 3]}\n" for n, name in enumerate(FIFTY)}


@pytest.mark.timeout(600)
def test_a_service_has_fifty_migrations_at_a_time(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", spread_fifty), time_scale=20)
    hold_in_the_copy(pool, *FIFTY)
    # As often as in a real pool: fifty that ask as often as one does here would leave nothing for the work.
    site = write_site(scene, pool, poll_seconds=1.0, event_seconds=60.0)
    orders = make_orders(pool)
    child = start_example(scene, "service_asyncio.py", site, orders="".join(orders.values()))
    scene.wait_until(lambda: count_accepted(scene) == len(FIFTY) or child.poll() is not None, seconds=300)
    assert child.poll() is None, scene.read_output(child)
    assert not any(run["state"] == "success" for run in scene.runs())
    let_go(pool)
    code, (out, err) = child.wait(300), scene.read_output(child)
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    outcomes = {line["vm"]: line["state"] for line in lines if line["kind"] == "outcome"}
    assert outcomes == dict.fromkeys(orders, "success")
    assert len({line["run"] for line in lines if line["kind"] == "run"}) == len(FIFTY)
    assert len(pool.effects()) == len(pool.audit("VM.pool_migrate")) == len(FIFTY)


def test_a_service_that_is_stopped_goes_on_where_it_was(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", lambda w: w["vms"].append({**w["vms"][0], "name": "w"})))
    hold_in_the_copy(pool, "v", "w")
    site, orders = write_site(scene, pool), "order-v v B\norder-w w C\n"
    stopped = start_example(scene, "service_asyncio.py", site, orders=orders)
    assert wait_until(lambda: count_accepted(scene) == 2, stopped, "all are sent"), scene.read_output(stopped)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(60) == 5, scene.read_output(stopped)
    last = json.loads(scene.read_output(stopped)[0].splitlines()[-1])
    assert (last["kind"], sorted(last["open"])) == ("let go", ["order-v", "order-w"])
    assert {run["state"] for run in scene.runs()} == {"suspended"}

    let_go(pool)
    again = start_example(scene, "service_asyncio.py", site, orders=orders)
    assert again.wait(60) == 0, scene.read_output(again)
    assert (pool.runs_on("v"), pool.runs_on("w")) == (["B"], ["C"])
    assert len(pool.audit("VM.pool_migrate")) == 2
