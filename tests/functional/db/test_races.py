"""Several real processes on one database at once."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lmflow.db.database import Database, Fence
from lmflow.db.owner import current_owner, describe
from lmflow.exceptions import LockedError
from lmflow.models import Run, RunState


class Actor:
    """A process that does one thing with the database when it is told to."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-W", "error", "-m", "tests.functional.db.actor", *words]
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)

    def wait_ready(self) -> None:
        assert self._line() == "ready\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._line() or '"the actor failed"')
        return said

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start() -> Iterator[Callable[..., Actor]]:
    actors: list[Actor] = []

    def call(*words: object) -> Actor:
        actors.append(Actor(*map(str, words)))
        return actors[-1]

    yield call
    for actor in actors:
        actor.kill()


def _race(actors: list[Actor]) -> list[dict[str, Any]]:
    for actor in actors:
        actor.wait_ready()
    for actor in actors:
        actor.go()
    return [actor.result() for actor in actors]


def test_four_processes_open_one_empty_database(url: str, start: Callable[..., Actor]) -> None:
    assert _race([start(url, "open") for _ in range(4)]) == [{"runs": 0}] * 4


def test_of_racing_requests_for_one_vm_exactly_one_wins(
    url: str, database: Database, start: Callable[..., Actor]
) -> None:
    results = _race([start(url, "create", "web-01", f"request-{n}") for n in range(3)])
    winners = [r for r in results if "run" in r]
    assert len(winners) == 1
    assert [r["locked"] for r in results if "locked" in r] == [winners[0]["run"]] * 2
    assert all(winners[0]["run"] in r["message"] for r in results if "locked" in r)
    assert len(database.runs.list()) == 1


def test_of_racing_requests_with_one_id_all_get_the_same_run(
    url: str, database: Database, start: Callable[..., Actor]
) -> None:
    results = _race([start(url, "create", "web-01", "the-same") for _ in range(3)])
    assert sorted(key for r in results for key in r if key != "token") == ["exists", "exists", "run"]
    assert len({r.get("run") or r.get("exists") for r in results}) == 1


def test_of_racing_heirs_exactly_one_gets_the_lease(
    url: str, create: Callable[..., tuple[Run, Fence]], start: Callable[..., Actor]
) -> None:
    run, _fence = create(lease_seconds=0)
    results = _race([start(url, "acquire", run.uuid, "30") for _ in range(3)])
    assert [r["token"] for r in results if "token" in r] == [2]
    assert [r["locked"] for r in results if "locked" in r] == [run.uuid] * 2


def test_a_killed_owner_is_followed_at_once(
    url: str, database: Database, create: Callable[..., tuple[Run, Fence]], start: Callable[..., Actor]
) -> None:
    run, _fence = create(lease_seconds=0)
    owner = start(url, "acquire", run.uuid, "3600")
    owner.wait_ready()
    owner.go()
    assert owner.result()["token"] == 2
    lease = database.leases.get(run.uuid)
    assert lease is not None
    with pytest.raises(LockedError) as locked:
        database.leases.acquire(run.uuid, current_owner(), 30)
    assert f"pid {owner.process.pid} on " in locked.value.message
    assert describe(lease.owner) in locked.value.message
    assert "expires in 3" in locked.value.message
    owner.process.kill()  # SIGKILL; nobody has waited for it, so it is a zombie now
    owner.process.wait()
    fence, previous = database.leases.acquire(run.uuid, current_owner(), 30)
    assert fence.token == 3
    assert previous is not None
    assert previous.owner == lease.owner


def test_a_writer_killed_in_mid_write_leaves_whole_transactions(
    url: str, database: Database, create: Callable[..., tuple[Run, Fence]], start: Callable[..., Actor]
) -> None:
    run, _fence = create(lease_seconds=0)
    writer = start(url, "write", run.uuid)
    writer.wait_ready()
    writer.go()
    while len(database.events.list(run.uuid, "state")) < 10:
        assert writer.process.poll() is None
    writer.process.kill()
    writer.process.wait()
    heir, previous = database.leases.acquire(run.uuid, current_owner(), 30)
    assert previous is not None
    assert previous.expires_in_seconds > 3000
    events = database.events.list(run.uuid)
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    assert database.runs.get(run.uuid).summary == events[-1].data["summary"]
    database.runs.set_state(heir, RunState.FAILED)
    assert database.events.list(run.uuid)[-1].sequence == len(events) + 1


def test_writers_of_different_runs_do_not_lose_each_others_events(
    url: str, database: Database, create: Callable[..., tuple[Run, Fence]], start: Callable[..., Actor]
) -> None:
    runs = [create(name) for name in ("web-01", "web-02", "web-03")]
    actors = [start(url, "append", run.uuid, fence.token, "20") for run, fence in runs]
    assert _race(actors) == [{}] * 3
    for run, _fence in runs:
        assert [e.data["number"] for e in database.events.list(run.uuid, "tick")] == list(range(20))
