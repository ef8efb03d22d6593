"""How long the command takes to start, as ratios to the imports that it cannot do without.

Baselines and commands take turns, so that a busy machine is slow for all of them; the medians of one run are
compared, and the load is written beside them. Absolute times say little: only the ratios of one run do.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

LMFLOW = (sys.executable, "-m", "lmflow")
CLIFF = "import cliff.app"
DATABASE = "import sqlalchemy, cliff.app"


@dataclasses.dataclass(frozen=True)
class Subject:
    """A command, the baseline it is compared with, and the ratio that is wanted (0: only shown)."""

    name: str
    arguments: tuple[str, ...]
    baseline: str
    goal: float = 0.0


SUBJECTS = (
    Subject("lmflow --help", ("--help",), CLIFF, 1.6),
    Subject("lmflow graph --help", ("graph", "--help"), CLIFF),
    Subject("lmflow explain 9", ("explain", "9"), CLIFF),
    Subject("lmflow run list", ("run", "list"), DATABASE, 1.3),
    Subject("lmflow run list -f json", ("run", "list", "-f", "json"), DATABASE, 1.3),
    Subject("lmflow config show", ("config", "show"), DATABASE),
)


def list_subjects() -> list[Subject]:
    """Return the subjects whose command is installed."""
    names = {entry.name for entry in importlib.metadata.entry_points(group="lmflow.cli")}
    return [
        s for s in SUBJECTS if s.arguments[0].startswith("-") or names & {s.arguments[0], "_".join(s.arguments[:2])}
    ]


def measure(subjects: Sequence[Subject], rounds: int, directory: Path) -> dict[str, list[float]]:
    """Return the seconds of each run by name; one round before the first warms the disk up."""
    environment = _make_environment(directory)
    commands: dict[str, Sequence[str]] = {code: (sys.executable, "-c", code) for code in (CLIFF, DATABASE)}
    commands |= {subject.name: (*LMFLOW, *subject.arguments) for subject in subjects}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            taken = _run(command, environment, directory)
            if number:
                seconds[name].append(taken)
    return seconds


def _make_environment(directory: Path) -> dict[str, str]:
    """Write a configuration with an empty database, and return the environment that leads to it."""
    config = directory / "lmflow.conf"
    pool = "[pool:lab]\naddresses = 127.0.0.1\npassword_env = NOBODY"
    config.write_text(f"[database]\nconnection = sqlite:///{directory / 'lmflow.db'}\n{pool}\n", encoding="utf-8")
    environment = {
        **os.environ,
        "LMFLOW_CONFIG_FILE": str(config),
        "HOME": str(directory),
        "XDG_STATE_HOME": str(directory),
    }
    _run((*LMFLOW, "db", "upgrade"), environment, directory)
    return environment


def _run(command: Sequence[str], environment: dict[str, str], directory: Path) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    taken = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return taken


def compare(subjects: Sequence[Subject], seconds: dict[str, list[float]]) -> list[dict[str, object]]:
    """Return a row for each subject: its median, its baseline's median and their ratio."""
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    return [
        {
            "command": subject.name,
            "seconds": round(medians[subject.name], 3),
            "baseline": subject.baseline,
            "baseline_seconds": round(medians[subject.baseline], 3),
            "ratio": round(medians[subject.name] / medians[subject.baseline], 2),
            "ratio_of_fastest": round(min(seconds[subject.name]) / min(seconds[subject.baseline]), 2),
            "goal": subject.goal or None,
        }
        for subject in subjects
    ]


def main() -> None:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description="Measure how long the command takes to start.")
    parser.add_argument("--rounds", type=int, default=15, help="default 15")
    parser.add_argument("--json", type=Path, default=Path("bench/startup.json"), metavar="FILE", help="where it goes")
    options = parser.parse_args()
    before = os.getloadavg()
    subjects = list_subjects()
    with tempfile.TemporaryDirectory() as directory:
        rows = compare(subjects, measure(subjects, options.rounds, Path(directory)))
    load = [round(each, 1) for each in (*before[:1], *os.getloadavg()[:1])]
    result = {"python": platform.python_version(), "rounds": options.rounds, "load": load, "results": rows}
    options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"load {load[0]} before, {load[1]} after; {options.rounds} rounds, medians\n")
    sys.stdout.write(f"{'command':<26}{'seconds':>8}  {'baseline':<30}{'seconds':>8}{'ratio':>7}{'goal':>6}\n")
    for row in rows:
        goal = row["goal"] or "-"
        sys.stdout.write(
            f"{row['command']:<26}{row['seconds']:>8}  {row['baseline']:<30}{row['baseline_seconds']:>8}"
            f"{row['ratio']:>7}{goal:>6}\n"
        )


if __name__ == "__main__":
    main()
