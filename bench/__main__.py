"""``python -m bench``: measure, say what became of the goals, and compare with the committed result."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bench import parts, results, showing
from bench.databases import Databases
from bench.goals import MISSED, judge, list_worse
from bench.parts import FULL, LONG, PARTS, QUICK, Bench


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure every goal whose subject exists.")
    parser.add_argument("--quick", action="store_true", help="about a minute: few rounds, without the long parts")
    parser.add_argument("--only", action="append", choices=[*PARTS], metavar="NAME", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, help=f"of the part one; default {FULL.rounds}")
    parser.add_argument("--directory", type=Path, help="where files of SQLite lie; default: a temporary directory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go; default: nowhere")
    parser.add_argument(
        "--publish", action="store_true", help="write bench/results.json, and the page's table and chart"
    )
    parser.add_argument("--page", action="store_true", help="measure nothing: make the page from bench/results.json")
    return parser


def main() -> int:
    """Return 0 when no goal is missed, else 1; a goal without a number is not missed."""
    options = _make_parser().parse_args()
    committed = results.load()
    if options.page:
        showing.write_page(committed)
        return 0
    found = _measure(options)
    sys.stdout.write(showing.make_text(found))
    worse = list_worse(committed, found)
    compared = "nothing to compare with" if committed.is_empty else "nothing got worse by more than its noise"
    sys.stdout.write("\n".join(["", *([f"worse than committed: {line}" for line in worse] or [compared])]) + "\n")
    if options.json:
        found.save(options.json)
    if options.publish:
        found.save(results.FILE)
        showing.write_page(found)
    return int(any(verdict.word == MISSED for verdict in judge(found)))


def _measure(options: argparse.Namespace) -> results.Results:
    scale = QUICK if options.quick else FULL
    rounds = options.rounds or scale.rounds
    names = options.only or [name for name in PARTS if not (options.quick and name in LONG)]
    found = results.begin(quick=options.quick, rounds=rounds)
    found.absent += parts.find_absent()
    found.note_load("before")
    with Databases(options.directory) as databases:
        bench = Bench(found, databases, parts.with_rounds(scale, rounds), _say)
        for name in names:
            _say(f"{name}: load {os.getloadavg()[0]:.1f}")
            found.note_load(name)
            PARTS[name](bench)
    found.note_load("after")
    return found


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
