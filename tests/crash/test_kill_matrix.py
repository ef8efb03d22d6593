"""The kill matrix: the command killed from outside at points of a migration, and at seeded pairs of them.

Wherever lmflow changes the pool or records what it does, each time; of reads and of TaskFlow's bookkeeping, a sample.

Each test has one pool and one database for its share of the schedules. What is shown: it ends right, with one
migration, no VM is started, nothing is left; and no death of the process alone leaves anything for a person to decide.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.support.kill_flows import FAULTY
from tests.support.kill_matrix import MIN_PAIRS, PARTS, Budget, Points, find_points, make_pair, make_schedules
from tests.support.kill_points import is_chance, run_schedule
from tests.support.kill_runs import Bench, open_bench
from tests.support.servers import KINDS, Servers

LOG = logging.getLogger(__name__)
Common = tuple[Points, Budget, int]
LONGEST_SECONDS = 180.0
"""How long one test goes on drawing pairs."""
SHARES = [(part, number) for part, count in PARTS.items() if part != "pairs" for number in range(count)]


@pytest.fixture(scope="session")
def common(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Common:
    """The points of this test run, its time and its seed."""
    worker = hasattr(request.config, "workerinput")
    directory = tmp_path_factory.getbasetemp()
    directory = directory.parent if worker else directory
    budget = Budget(directory, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    return find_points(directory), budget, int(request.config.getoption("randomly_seed", 0))


@contextlib.contextmanager
def open_part(part: str, room: int, servers: Servers) -> Iterator[Bench]:
    with contextlib.ExitStack() as opened:
        url = opened.enter_context(servers.shared(part).fresh_database()) if part in KINDS else ""
        flow = next(iter(FAULTY)) if part == "toolstacks" else ""
        bench = opened.enter_context(open_bench(room, url=url, header=part != "no-header", flow=flow))
        yield bench
        bench.judge(unmarked_tasks=part == "no-header")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("part", "number"), SHARES, ids=[f"{part}-{number}" for part, number in SHARES])
def test_killed_at_a_point(part: str, number: int, common: Common, servers: Servers) -> None:
    points, budget, seed = common
    share = make_schedules(part, points, seed)[number :: PARTS[part]]
    kills = sum(len(each.kills) for each in share)
    missed = []
    with budget.spend(kills), open_part(part, len(share) + kills // 2 + 10, servers) as bench:
        for schedule in share:
            missed += run_schedule(bench, schedule)
    LOG.info("%s-%d: %d points, %d migrations, not reached: %s", part, number, kills, len(bench.told), missed)
    unexplained = [str(point) for point in missed if not is_chance(point)]
    assert not unexplained, f"no migration came to {unexplained}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(PARTS["pairs"]))
def test_killed_twice(number: int, common: Common, servers: Servers) -> None:
    points, budget, run_seed = common
    seed = f"{run_seed}-{number}"
    chance = random.Random(seed)  # noqa: S311 - not a secret
    singles = sum(
        len(each.kills) for part in PARTS if part != "pairs" for each in make_schedules(part, points, run_seed)
    )
    end = time.monotonic() + min(LONGEST_SECONDS, budget.find_share(singles, PARTS["pairs"]))
    kills, room = list[int](), 60
    with open_part("sqlite", room, servers) as bench:
        while len(kills) < MIN_PAIRS // PARTS["pairs"] or (time.monotonic() < end and len(kills) < room):
            kills.append(bench.run(make_pair(points, chance)).killed)
    never, once, twice = map(kills.count, range(3))
    LOG.info("seed %s: %d pairs, killed twice %d, once %d, never %d", seed, len(kills), twice, once, never)
    # The first kill leads around some second points; a pair that begins nowhere is a mistake in how points are named.
    assert never <= 1 + len(kills) // 10, f"seed {seed}: {kills}"
    assert twice * 8 >= len(kills), f"seed {seed}: {kills}"
