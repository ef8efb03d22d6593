"""Kill, cancel and disturb migrations for so many minutes: ``tox -e crash``.

In turns: every kill point once on three databases, as long as this commit has some left, seeded pairs of kills and
drawn schedules, from where the last run has ended. The results are added up in a file, from which the page about
reliability is made.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis

from tests.schedules import page, results
from tests.schedules.model import Schedule
from tests.schedules.work import (
    Result,
    count_visited,
    list_single_points,
    make_drawn,
    make_pairs,
    make_singles,
    run_unit,
)

TURNS = ("points", "drawn", "points", "drawn", "drawn", "pairs")
Unit = tuple[str, int, list[Schedule]]
"""Its kind, one of TURNS, its number, and its schedules."""


class Driver:
    """Hands units to its workers until the time is over, and tells what they find."""

    def __init__(self, args: argparse.Namespace, known: dict[str, Any]) -> None:
        self.args, self.known = args, known
        self.until = time.monotonic() + args.minutes * 60
        self.found: list[Result] = []

    def make_units(self) -> Iterator[Unit]:
        """Yield units without end."""
        points = list_single_points()
        say("kill points: " + ", ".join(f"{flow} {len(found)}" for flow, found in points.items()))
        done = set(self.known["points"]["done"])
        singles = ((number, unit) for number, unit in enumerate(make_singles(points)) if number not in done)
        for kind in itertools.cycle(TURNS):
            if kind == "points":
                yield from (("points", number, unit) for number, unit in itertools.islice(singles, 1))
            elif kind == "pairs":
                self.known["next_pair"] += 1
                yield kind, self.known["next_pair"] - 1, make_pairs(points, self.known["next_pair"] - 1)
            else:
                self.known["next_seed"] += 1
                yield kind, self.known["next_seed"] - 1, make_drawn(self.known["next_seed"] - 1)

    def run(self, units: Iterator[Unit]) -> None:
        """Run units until there are none, or the time is over."""
        context = multiprocessing.get_context("spawn")
        with (
            tempfile.TemporaryDirectory(prefix="lmflow-crash-") as servers,
            concurrent.futures.ProcessPoolExecutor(self.args.workers, mp_context=context) as workers,
        ):
            running: dict[concurrent.futures.Future[list[Result]], Unit] = {}
            for unit in units:
                running[workers.submit(run_unit, unit[2], servers, os.getpid(), self.until)] = unit
                self._wait(running, self.args.workers)
                if time.monotonic() >= self.until:
                    break
            self._wait(running, 0)

    def _wait(self, running: dict[concurrent.futures.Future[list[Result]], Unit], most: int) -> None:
        while len(running) > most:
            done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for each in done:
                self._take(running.pop(each), each.result())

    def _take(self, unit: Unit, found: list[Result]) -> None:
        kind, number, schedules = unit
        self.found += found
        visited = sum(map(count_visited, found))
        if kind == "points" and visited == sum(len(each.rounds) for each in schedules):
            results.add_points(self.known, number, found)
        for result in found:
            if result.report is None:
                say(f"\nBROKEN ({result.schedule.label}): {result.broken}")
                say(f"  to repeat it: {make_replay(result.schedule)}\n")
        broken = sum(result.report is None for result in self.found)
        left = max(0.0, self.until - time.monotonic()) / 60
        say(f"{len(self.found)} schedules, {broken} broken, {left:.1f} minutes left")


def say(line: str) -> None:
    """Print a line now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def make_replay(schedule: Schedule) -> str:
    """Return the command that runs a schedule again."""
    return f"python -m tests.schedules --replay '{schedule.to_json()}'"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.schedules", description=__doc__)
    parser.add_argument("--minutes", type=float, default=40.0, help="how long (default: 40)")
    parser.add_argument("--workers", type=int, default=2, help="processes that run schedules (default: 2)")
    parser.add_argument(
        "--replay", metavar="SCHEDULE", help="run this one: JSON, or the seed of drawn ones (all of them)"
    )
    parser.add_argument("--results", type=Path, default=results.FILE, help="the file in which results are added up")
    parser.add_argument("--dirty", action="store_true", help="add up although the tree is not as it was committed")
    parser.add_argument("--forget", action="store_true", help="begin anew instead of adding up")
    return parser


def main() -> int:
    """Run; 1 when something was broken, 2 when nothing was run."""
    args = make_parser().parse_args()
    if args.replay:
        return replay(args)
    commit, dirty = results.read_commit([args.results, page.FILE])
    if dirty and not args.dirty:
        say("the tree has changes: commit them, or add up with --dirty")
        return 2
    commit += "+changes" if dirty else ""
    known = results.make_empty() if args.forget else results.load(args.results)
    if known["points"]["commit"] != commit:
        known["points"] = {**results.make_empty()["points"], "commit": commit}
    driver, began = Driver(args, known), time.monotonic()
    driver.run(driver.make_units())
    results.add_run(
        known,
        commit=commit,
        found=driver.found,
        seconds=time.monotonic() - began,
        hypothesis=hypothesis.__version__,
    )
    results.save(known, args.results)
    if args.results == results.FILE:
        page.write(known)
    return int(any(result.report is None for result in driver.found))


def replay(args: argparse.Namespace) -> int:
    """Run one schedule, or those of a seed, again."""
    unit = make_drawn(int(args.replay)) if args.replay.isdecimal() else [Schedule.from_json(args.replay)]
    driver = Driver(args, {})
    driver.run(iter([("replay", 0, unit)]))
    for result in driver.found:
        say(f"{result.schedule.to_json()} {result.report}")
    return int(any(result.report is None for result in driver.found))


if __name__ == "__main__":
    sys.exit(main())
