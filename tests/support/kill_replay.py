"""Repeats one schedule of the kill matrix: ``python -m tests.support.kill_replay 'moved ; step|moment|what|nth'``."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from pathlib import Path

from tests.support.kill_runs import Schedule, open_bench
from tests.support.servers import KINDS, Servers


def main() -> None:
    """Run the schedule on a pool and a database of its own, and judge it; a traceback says what is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", *KINDS), default="sqlite")
    parser.add_argument("--ignore-attempt-header", action="store_true", help="the pool does not keep our mark")
    parser.add_argument("schedule", type=Schedule.parse)
    options = parser.parse_args()
    with contextlib.ExitStack() as opened:
        url = ""
        if options.database in KINDS:
            directory = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            server = Servers(directory, os.getpid()).shared(options.database)
            url = opened.enter_context(server.fresh_database())
        header = not options.ignore_attempt_header
        bench = opened.enter_context(open_bench(1, url=url, header=header, flow=options.schedule.flow))
        outcome = bench.run(options.schedule)
        bench.judge(unmarked_tasks=not header)
        print("\n".join(outcome.said))  # noqa: T201 - a program
        print(f"killed {outcome.killed} times, ended {outcome.state}")  # noqa: T201 - as above


if __name__ == "__main__":
    main()
