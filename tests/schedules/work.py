"""What a worker does: a unit is some schedules for one pool and one database, run one after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.schedules.drawing import draw_schedules
from tests.schedules.lab import BrokenError, Playing, Report
from tests.schedules.model import KINDS, Round, Schedule, Strike
from tests.support.kill_flows import FLOWS
from tests.support.kill_points import list_points, make_walks, record
from tests.support.kill_reports import Point
from tests.support.kill_runs import Bench, open_bench
from tests.support.servers import Servers

CHUNK, WALKS = 20, 3
"""How many schedules a unit has; of those that are killed some twenty times it has fewer."""
ROOM = 24


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one schedule: a report, or what is ``broken``."""

    schedule: Schedule
    report: Report | None
    broken: str = ""
    seconds: float = 0.0


def list_single_points() -> dict[str, list[Point]]:
    """Return the points of each flow of the matrix, recorded now."""
    with open_bench(len(FLOWS)) as bench:
        return {flow: list_points(flow, record(bench, flow)) for flow in FLOWS}


def make_singles(points: dict[str, list[Point]]) -> Iterator[list[Schedule]]:
    """Yield units with every point of every flow, on every database, with and without the attempt header.

    A migration is killed at many points, one after the other, as the matrix does it.
    """
    for database in KINDS:
        for flow, found in points.items():
            walks = make_walks(found)
            for number, start in enumerate(range(0, len(walks), WALKS)):
                header = bool((number + KINDS.index(database)) % 3)
                yield [
                    Schedule(_make_kills(walk), flow, database, header=header, single=True)
                    for walk in walks[start : start + WALKS]
                ]


def _make_kills(points: Sequence[Point]) -> tuple[Round, ...]:
    return tuple(Round(Strike("kill", point)) for point in points)


def make_pairs(points: dict[str, list[Point]], seed: int) -> list[Schedule]:
    """Return a unit with pairs of kills, the same for a seed and the same points."""
    generator = random.Random(f"pairs {seed}")  # noqa: S311 - not a secret
    database, header = choose_world(seed)
    made = []
    for _ in range(CHUNK):
        flow = generator.choice(sorted(points))
        pair = sorted(generator.choices(range(len(points[flow])), k=2))
        made.append(Schedule(_make_kills([points[flow][i] for i in pair]), flow, database, header=header))
    return made


def make_drawn(seed: int) -> list[Schedule]:
    """Return a unit with the drawn schedules of a seed, all in the world of the seed."""
    database, header = choose_world(seed)
    return [dataclasses.replace(each, database=database, header=header) for each in draw_schedules(seed, CHUNK)]


def choose_world(seed: int) -> tuple[str, bool]:
    """Return database and whether the attempt header is kept, for the schedules of a seed."""
    return (*KINDS, "sqlite")[seed // 3 % 4], seed // 12 % 4 != 3


def run_unit(schedules: Sequence[Schedule], servers_directory: str, controller: int, until: float) -> list[Result]:
    """Run schedules until it is ``until`` by the monotonic clock; what was not begun by then has no result."""
    results: list[Result] = []
    for witness in sorted({each.witness for each in schedules}, reverse=True):
        left = [each for each in schedules if each.witness == witness]
        while left and time.monotonic() < until:
            with _open_bench(left[0], servers_directory, controller) as bench:
                done = _run_on(bench, left, until)
            results += done
            left = [*filter(None, map(_find_rest, done)), *left[len(done) :]]
    return results


def count_visited(result: Result) -> int:
    """Return how many of its points a schedule has settled: those where it was killed; else the first, not reached."""
    return (result.report.struck or 1) if result.report else len(result.schedule.rounds)


def _find_rest(result: Result) -> Schedule | None:
    """Return the points that a migration has not come to, as a kill has led around one: another VM is killed there."""
    rest = result.schedule.rounds[count_visited(result) :]
    return dataclasses.replace(result.schedule, rounds=rest) if result.schedule.single and rest else None


def _run_on(bench: Bench, schedules: Sequence[Schedule], until: float) -> list[Result]:
    """Run schedules on a bench as long as it is fit for them, and there is time."""
    results: list[Result] = []
    lost: frozenset[str] = frozenset()
    for number, schedule in enumerate(schedules[: bench.room]):
        if time.monotonic() >= until:
            break
        began = time.monotonic()
        playing = Playing(bench, schedule, number, lost)
        try:
            report, broken = playing.play(), ""
        except (BrokenError, AssertionError) as error:
            report, broken = None, str(error)
        lost = frozenset(playing.lost)
        results.append(Result(schedule, report, broken, time.monotonic() - began))
        # A run that is open, a toolstack that was restarted, a fault that nothing met: no ground for the next one.
        faults = [fault for each in schedule.rounds for fault in each.phases]
        soiled = any(f["kind"] == "restart" or str(f["phase"]).startswith("PBD") for f in faults)
        if soiled or report is None or report.state == "unknown":
            break
    return results


@contextlib.contextmanager
def _open_bench(schedule: Schedule, servers_directory: str, controller: int) -> Iterator[Bench]:
    options = () if schedule.witness else ("--refuse-witness",)
    with contextlib.ExitStack() as stack:
        url = ""
        if schedule.database != "sqlite":
            server = _get_servers(servers_directory, controller).shared(schedule.database)
            url = stack.enter_context(server.fresh_database())
        yield stack.enter_context(open_bench(ROOM, url=url, header=schedule.header, options=options))


@functools.cache
def _get_servers(directory: str, controller: int) -> Servers:
    return Servers(Path(directory), controller)
