"""``MigrateTask`` in a TaskFlow graph with a database of its own: what the graph sees of each way to end."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from taskflow import engines, task
from taskflow.exceptions import WrappedFailure
from taskflow.patterns import linear_flow, unordered_flow
from taskflow.persistence import backends, models

from lmflow.api import (
    FlowSuspended,
    LockedError,
    MigrateTask,
    MigrationFailedError,
    RefusedError,
    RunState,
    Steering,
    UnreachableError,
    UsageError,
)
from tests.support.embedding import hold_in_the_copy, is_in_the_copy, let_go, open_client
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]

FLOW = "7f0a2f6e-2f5a-4f8e-9d0c-0a4b1d5f2a11"
ATOM = "lmflow migrate T-1"
BOTH = pytest.mark.parametrize("kind", ["serial", "parallel"])


class Step(task.Task):
    """A step of the graph's own; tells what is done with it, and fails, or waits, if it shall."""

    def __init__(
        self, name: str, trace: list[str], error: Exception | None = None, gate: threading.Event | None = None
    ) -> None:
        super().__init__(name=name, provides=f"{name}_host")
        self.trace, self.error, self.gate = trace, error, gate

    def execute(self) -> str:
        if self.gate is not None:
            assert self.gate.wait(60)
        self.trace.append(self.name)
        if self.error is not None:
            raise self.error
        return "B"

    def revert(self, **kwargs: Any) -> None:
        self.trace.append(f"{self.name} reverted")


class Graph:
    """A graph in a database of its own; each ``run`` loads it anew, as a new process would."""

    def __init__(self, scene: Scene, kind: str) -> None:
        self.kind = kind
        self.trace: list[str] = []
        self.steering: Steering | None = None
        self.backend = backends.fetch({"connection": f"sqlite:///{scene.directory / 'foreign.db'}"})
        book, detail = models.LogBook("foreign"), models.FlowDetail("foreign", FLOW)
        book.add(detail)
        with contextlib.closing(self.backend.get_connection()) as connection:
            connection.upgrade()
            connection.save_logbook(book)

    def stored(self) -> Any:
        with contextlib.closing(self.backend.get_connection()) as connection:
            return connection.get_flow_details(FLOW)

    def states(self) -> tuple[str, str]:
        """The states of the flow and of its migration."""
        detail = self.stored()
        return detail.state, next(atom.state for atom in detail if atom.name == ATOM)

    def result(self) -> Any:
        return next(atom.results for atom in self.stored() if atom.name == ATOM)

    def run(self, client: Any, *items: Any) -> None:
        flow = linear_flow.Flow("foreign").add(Step("before", self.trace), *items)
        with ThreadPoolExecutor(4) as executor:
            options = {"executor": executor} if self.kind == "parallel" else {}
            engine = engines.load(flow, flow_detail=self.stored(), backend=self.backend, engine=self.kind, **options)
            live = {"lmflow_client": client} | ({"lmflow_steering": self.steering} if self.steering else {})
            engine.storage.inject(live, transient=True)
            engine.run()


@pytest.fixture
def graph(scene: Scene, kind: str) -> Iterator[Graph]:
    made = Graph(scene, kind)
    yield made
    made.backend.close()


@BOTH
def test_a_success_is_strict_json_and_never_taken_back(
    simulator: Start, scene: Scene, tmp_path: Path, graph: Graph
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    migrate = MigrateTask("T-1", vm="v", rebind={"destination": "before_host"})
    with open_client(scene) as client:
        with pytest.raises(OSError, match="full"):
            graph.run(client, migrate, Step("after", graph.trace, OSError("full")))
        run = client.run("T-1")
        assert graph.trace == ["before", "after", "after reverted", "before reverted"]
        assert graph.states() == ("REVERTED", "REVERTED")
        graph.run(client, MigrateTask("T-1", vm="v", destination="B"))  # TaskFlow runs a reverted graph from its start
    result = graph.result()
    assert json.loads(json.dumps(result)) == result
    assert (result["run"], result["state"], result["destination"]) == (run.uuid, "success", "B")
    assert result["vm_state"] == "v runs on B"
    assert pool.runs_on("v") == ["B"]
    assert len(pool.audit("VM.pool_migrate")) == len(scene.runs()) == 1


@BOTH
def test_a_graph_that_lets_go_stays_as_it_is_and_goes_on_later(
    simulator: Start, scene: Scene, tmp_path: Path, graph: Graph
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in_the_copy(pool)
    graph.steering = Steering()
    with open_client(scene) as client, ThreadPoolExecutor(1) as threads:
        job = threads.submit(graph.run, client, MigrateTask("T-1", vm="v", destination="B"))
        scene.wait_until(lambda: is_in_the_copy(scene), seconds=60)
        graph.steering.detach()
        with pytest.raises(FlowSuspended) as caught:
            job.result(60)
        assert caught.value.reason == "detached"
        assert graph.states() == ("RUNNING", "RUNNING")
        assert graph.trace == ["before"]
        let_go(pool)
        graph.steering = None
        graph.run(client, MigrateTask("T-1", vm="v", destination="B"))
    assert graph.states() == ("SUCCESS", "SUCCESS")
    assert graph.trace == ["before"]
    assert len(pool.audit("VM.pool_migrate")) == 1


@BOTH
def test_a_failure_reverts_the_graph_and_says_why(simulator: Start, scene: Scene, tmp_path: Path, graph: Graph) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    with open_client(scene) as client, pytest.raises(MigrationFailedError) as caught:
        graph.run(client, MigrateTask("T-1", vm="v", destination="B"))
    assert caught.value.xapi_code == "INTERNAL_ERROR"
    assert "v Running on A" in caught.value.state_now
    assert graph.trace == ["before", "before reverted"]
    assert graph.states() == ("REVERTED", "REVERTED")


@BOTH
def test_a_refusal_reverts_the_graph(simulator: Start, scene: Scene, tmp_path: Path, graph: Graph) -> None:
    simulator(write_world(tmp_path / "p.json", lambda world: get_item(world, "hosts", "B").update(enabled=False)))
    with open_client(scene) as client, pytest.raises(RefusedError) as caught:
        graph.run(client, MigrateTask("T-1", vm="v", destination="B"))
    assert [finding.code for finding in caught.value.findings] == ["HOST_DISABLED"]
    assert graph.trace == ["before", "before reverted"]


@BOTH
def test_where_it_is_unknown_nothing_is_reverted(simulator: Start, scene: Scene, tmp_path: Path, graph: Graph) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), "--refuse-witness")
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    with open_client(scene) as client:
        for _ in range(2):
            with pytest.raises(FlowSuspended) as caught:
                graph.run(client, MigrateTask("T-1", vm="v", destination="B"))
            assert caught.value.reason == "unknown"
            assert graph.states() == ("RUNNING", "RUNNING")
        client.resolve("T-1", runs_on="A", reason="seen on its console")
        with pytest.raises(MigrationFailedError):
            graph.run(client, MigrateTask("T-1", vm="v", destination="B"))
    assert graph.trace == ["before", "before reverted"]
    assert graph.states() == ("REVERTED", "REVERTED")
    assert len(pool.audit("VM.pool_migrate")) == 1


@pytest.mark.parametrize("kind", ["parallel"])
def test_an_open_run_is_ended_before_the_graph_reverts_what_was_before_it(
    simulator: Start, scene: Scene, tmp_path: Path, graph: Graph
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in_the_copy(pool)
    graph.steering, failing = Steering(), threading.Event()

    def make_items() -> Any:
        beside = Step("beside", graph.trace, OSError("full"), failing)
        return unordered_flow.Flow("both").add(MigrateTask("T-1", vm="v", destination="B"), beside)

    with open_client(scene) as client, ThreadPoolExecutor(1) as threads:
        job = threads.submit(graph.run, client, make_items())
        scene.wait_until(lambda: is_in_the_copy(scene), seconds=60)
        failing.set()
        scene.wait_until(lambda: "beside reverted" in graph.trace, seconds=60)
        graph.steering.detach()
        with pytest.raises(FlowSuspended):
            job.result(60)
        assert "before reverted" not in graph.trace
        assert client.run("T-1").state is RunState.SUSPENDED
        graph.steering = None
        with pytest.raises((OSError, WrappedFailure)):
            graph.run(client, make_items())
        assert client.outcome("T-1").cancelled
    assert graph.trace[-1] == "before reverted"
    assert graph.states() == ("REVERTED", "REVERTED")
    assert pool.runs_on("v") == ["A"]


@pytest.mark.parametrize("kind", ["serial"])
def test_what_another_run_holds_is_no_run_of_this_graph(
    simulator: Start, scene: Scene, tmp_path: Path, graph: Graph
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in_the_copy(pool)
    with open_client(scene) as client, ThreadPoolExecutor(1) as threads:
        other = threads.submit(client.migrate, "v", "C", request_id="T-0")
        scene.wait_until(lambda: is_in_the_copy(scene), seconds=60)
        with pytest.raises(LockedError):
            graph.run(client, MigrateTask("T-1", vm="v", destination="B"))
        assert graph.trace == ["before", "before reverted"]
        # The same id for something else, while its run is open: not even that reverts anything.
        with pytest.raises(FlowSuspended) as caught:
            graph.run(client, MigrateTask("T-0", vm="v", destination="B", name=ATOM))
        assert "names another request" in caught.value.message
        let_go(pool)
        assert other.result(60).run.state is RunState.SUCCESS
        with pytest.raises(UsageError):
            graph.run(client, MigrateTask("T-0", vm="v", destination="B", name=ATOM))
    assert len(pool.audit("VM.pool_migrate")) == 1


@pytest.mark.parametrize("kind", ["serial"])
def test_a_pool_that_cannot_be_reached_at_the_beginning_reverts_the_graph(
    simulator: Start, scene: Scene, tmp_path: Path, graph: Graph
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    with open_client(scene) as client:
        pool.stop()
        with pytest.raises(UnreachableError):
            graph.run(client, MigrateTask("T-1", vm="v", destination="B"))
    assert graph.trace == ["before", "before reverted"]
    assert not scene.runs()


@pytest.mark.parametrize("kind", ["serial"])
def test_a_database_that_is_lost_reverts_nothing(simulator: Start, scene: Scene, tmp_path: Path, graph: Graph) -> None:
    simulator(write_world(tmp_path / "p.json"))
    with open_client(scene) as client:
        client.close()
        scene.database_file.rename(scene.database_file.with_suffix(".away"))
        scene.database_file.mkdir()
        with pytest.raises(FlowSuspended) as caught:
            graph.run(client, MigrateTask("T-1", vm="v", destination="B"))
        assert caught.value.reason == "unreachable"
        scene.database_file.rmdir()
    assert graph.trace == ["before"]
    assert graph.states() == ("RUNNING", "RUNNING")
