"""What of the kill matrix runs in CI: every schedule by name of its part, and the time that there is for it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.kill_flows import AWAIT, FAULTY, FLOWS, SUBMIT
from tests.support.kill_points import is_of_servers, is_own, list_points, make_walks, record
from tests.support.kill_reports import Point
from tests.support.kill_runs import Schedule, open_bench

MINUTES = float(os.environ.get("LMFLOW_KILL_MINUTES", "6"))
"""How long the whole matrix may take when nothing else runs; the pairs take what the rest leaves."""
MIN_PAIRS = 32
PARTS = {"sqlite": 12, "postgresql": 4, "mariadb": 4, "no-header": 2, "toolstacks": 2, "pairs": 4}
"""Into how many tests, each with a pool and a database of its own, the schedules are shared out."""
SAMPLE = int(os.environ.get("LMFLOW_KILL_SAMPLE", "4"))
"""Of the reads and of TaskFlow's bookkeeping, one in so many is a point of a test run: others each time, by its seed.

All of them, in all databases, is what ``tox -e crash`` is for; 1 is all of them here, too."""
FRESH_EVERY = 25
"""Of the points where lmflow changes something or records it, each of that number is shown with real starts."""

Points = Mapping[str, Sequence[Point]]


def find_points(directory: Path) -> Points:
    """Return the points of each way; recorded once a test run by the first who asks, and the same for all."""
    told = directory / "kill-points.json"
    with (directory / "kill-points.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            told.write_text(json.dumps({flow: list(map(str, points)) for flow, points in _record().items()}))
    return {flow: [Point.parse(text) for text in texts] for flow, texts in json.loads(told.read_text()).items()}


def _record() -> Points:
    with open_bench(len(FLOWS)) as bench:
        return {flow: list_points(flow, record(bench, flow)) for flow in FLOWS}


def make_schedules(part: str, points: Points, seed: int = 0) -> list[Schedule]:
    """Return all schedules of a part but the pairs; the seed says which of the lesser points are in the sample."""
    if part == "sqlite":
        return [each for flow, own in points.items() for each in _make_all(flow, own, seed)] + _make_late(points)
    if part == "no-header":
        return _make_doubtful(points)
    if part == "toolstacks":
        return _make_faulty(points)
    servers = {flow: [p for p in own if is_of_servers(p) and is_ours(p)] for flow, own in points.items()}
    return [each for flow, own in servers.items() for each in _make_walked(flow, _sample(own, seed))]


def is_ours(point: Point) -> bool:
    """Tell whether a point is a commit, or a call that changes something: what a database can be asked to show."""
    return point.moment in ("before", "after") or is_own(point)


def _make_all(flow: str, points: Sequence[Point], seed: int) -> Iterator[Schedule]:
    """Kill once where lmflow changes or records something; at the others one after the other."""
    own = [point for point in points if is_own(point)]
    for number, point in enumerate(own):
        yield Schedule(flow, (point,), fresh=number % FRESH_EVERY == 0)
    yield from _make_walked(flow, [point for point in _sample(points, seed) if not is_own(point)])


def _sample(points: Sequence[Point], seed: int) -> list[Point]:
    """Return, in their order, all points where lmflow changes or records something, and a sample of the others."""
    lesser = [point for point in points if not is_own(point)][seed % SAMPLE :: SAMPLE]
    return [point for point in points if is_own(point) or point in lesser]


def _make_walked(flow: str, points: Sequence[Point]) -> list[Schedule]:
    return [Schedule(flow, walk) for walk in make_walks(points)] if points else []


def _make_late(points: Points) -> list[Schedule]:
    """Carry a request of a dead process out when its heir is done."""
    chosen = [p for p in points["moved"] if p.moment == "request_read" and is_own(p) and p.step != "copy_kernel"]
    return [Schedule("moved", (point,), late=True) for point in chosen]


def _make_doubtful(points: Points) -> list[Schedule]:
    """Kill around the submit, where a pool without our mark shows least of what became of it."""
    found = []
    for flow, own in points.items():
        near = [p for p in own if p.step in (SUBMIT, AWAIT) and is_own(p)]
        found += [Schedule(flow, (point,)) for point in near]
    return found


def _make_faulty(points: Points) -> list[Schedule]:
    """Kill while a toolstack dies: with the submit on its way, and in the watch."""
    calls = [p for p in points["moved"] if p.step == SUBMIT and p.what.endswith("VM.pool_migrate")]
    return [Schedule(flow, (p,)) for flow in FAULTY for p in (calls[-1], Point(AWAIT, "before", "progress"))]


def make_pair(points: Points, chance: random.Random) -> Schedule:
    """Return a migration that is killed, and killed again in its resume."""
    flow = chance.choice(sorted(points))
    own = list(points[flow]) if flow != "moved" else [p for p in points[flow] if is_ours(p)]
    first = chance.randrange(len(own) - 1)
    again = [*own[first:], *(p for p in points["moved"] if p.step == "begin" and is_ours(p))]
    return Schedule(flow, (own[first], chance.choice(again)), late=chance.random() < 0.25)


@dataclasses.dataclass(frozen=True)
class Budget:
    """The time that is spent, told by all workers of a test run in one file; ``workers`` spend it side by side."""

    directory: Path
    workers: int

    @contextlib.contextmanager
    def spend(self, kills: int) -> Iterator[None]:
        """Tell how long this took, and for how many kills."""
        began = time.monotonic()
        yield
        with (self.directory / "kill-times").open("a") as ledger:
            ledger.write(f"{kills} {time.monotonic() - began:.1f}\n")

    def find_share(self, kills: int, parts: int) -> float:
        """Return the seconds that each of ``parts`` has when ``kills`` take what those so far have taken."""
        with contextlib.suppress(OSError):
            told = [line.split() for line in (self.directory / "kill-times").read_text().splitlines()]
            each = sum(float(seconds) for _, seconds in told) / max(1, sum(int(count) for count, _ in told))
            return (MINUTES * 60 * self.workers - kills * each) / parts
        return 0.0
