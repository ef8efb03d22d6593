"""The numbers of one run of the benchmark: series of rounds, ratios of them, and where they came from."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILE = ROOT / "bench" / "results.json"
_VERSIONS = ("lmflow", "taskflow", "SQLAlchemy", "psycopg", "dbos", "XenAPI")
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Value:
    """A median with its quartiles; of a number that was seen once they are the same."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """The distance of the quartiles as a part of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def make_value(numbers: Sequence[float]) -> Value:
    """Return the median and the quartiles of numbers."""
    if len(numbers) == 1:
        return Value(numbers[0], numbers[0], numbers[0])
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Value(median, low, high)


class Results:
    """What was measured. ``series`` are rounds by ``measure/subject/store``, ``facts`` single numbers by their names.

    ``absent`` are the subjects that do not exist here. Numbers of one series stand in the order of the rounds, so that
    those of two series with the same place were measured side by side.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.told = dict(told)
        self.series: dict[str, list[float]] = self.told.setdefault("series", {})
        self.facts: dict[str, Any] = self.told.setdefault("facts", {})
        self.absent: list[str] = self.told.setdefault("absent", [])
        self.loads: dict[str, list[float]] = self.told.setdefault("load", {})

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured."""
        return not self.series and not self.facts

    def find(self, name: str) -> Value | None:
        """Return a series' value, or that of a fact."""
        if self.series.get(name):
            return make_value(self.series[name])
        number = self.facts.get(name)
        return make_value([float(number)]) if isinstance(number, (int, float)) else None

    def find_ratio(self, above: str, below: str) -> Value | None:
        """Return the ratio of two series, taken round by round; of a fact it is that of its number."""
        numbers, others = (self.series.get(name) or self._list_fact(name) for name in (above, below))
        ratios = [one / other for one, other in zip(numbers, others, strict=False) if other]
        return make_value(ratios) if ratios else None

    def _list_fact(self, name: str) -> list[float]:
        number = self.facts.get(name)
        return [float(number)] if isinstance(number, (int, float)) else []

    def note_load(self, part: str) -> None:
        """Keep how loaded the machine is now."""
        self.loads.setdefault(part, []).append(round(os.getloadavg()[0], 2))

    def add_round(self, name: str, number: float) -> None:
        """Keep one number of a series."""
        self.series.setdefault(name, []).append(_shorten(number))

    def add_fact(self, name: str, fact: Any) -> None:
        """Keep something that was seen once."""
        self.facts[name] = _shorten(fact) if isinstance(fact, float) else fact

    def save(self, path: Path) -> None:
        """Write all of it, with the medians and spreads for those who read the file."""
        values = {name: make_value(numbers) for name, numbers in self.series.items() if numbers}
        medians = {n: {"median": _shorten(v.median), "spread": round(v.spread, 2)} for n, v in values.items()}
        path.write_text(json.dumps({**self.told, "medians": medians}, indent=1) + "\n", encoding="utf-8")


def load(path: Path = FILE) -> Results:
    """Return the results in a file; empty ones when there is none."""
    told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return Results({name: value for name, value in told.items() if name != "medians"})


def begin(*, quick: bool, rounds: int) -> Results:
    """Return results without numbers, which say when, where and of what they will be."""
    installed = {name: _find_version(name) for name in _VERSIONS}
    return Results({
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "commit": _git("rev-parse", "HEAD")[:10],
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "quick": quick,
        "rounds": rounds,
        "machine": {"cpus": os.cpu_count(), "cpu": _find_cpu(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **{n: v for n, v in installed.items() if v}},
    })  # fmt: skip


def _shorten(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _find_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _find_cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout.strip()
