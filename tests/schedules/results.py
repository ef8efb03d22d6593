"""What was seen, added up over all runs of the driver, in a file that is committed."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.schedules.model import CLASSES
from tests.schedules.work import Result, count_visited

ROOT = Path(__file__).parents[2]
FILE = ROOT / "doc" / "source" / "crash-results.json"
ENDS = ("success", "failed", "refused", "dirty", "unknown")
_COUNTED = ("schedules", "strikes", "struck", "commands", "sessions_left", "lost", "seconds")


def make_empty() -> dict[str, Any]:
    """Return the results of nothing. ``next_seed`` and ``next_pair`` are those that the next run begins with."""
    return {
        "runs": [],
        "next_seed": 0,
        "next_pair": 0,
        "points": {"commit": "", "done": [], "databases": {}},
        "classes": {label: {**dict.fromkeys(_COUNTED, 0), "ends": dict.fromkeys(ENDS, 0)} for label in CLASSES},
        "faults": {},
    }


def load(path: Path = FILE) -> dict[str, Any]:
    """Return the results in a file, those of nothing if there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else make_empty()


def save(results: Mapping[str, Any], path: Path = FILE) -> None:
    """Write the results."""
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def add(results: dict[str, Any], found: Iterable[Result]) -> None:
    """Add up the schedules that were judged; those that are broken have no end, and are counted with the run."""
    for result in found:
        report = result.report
        if report is None:
            continue
        counts = results["classes"][report.label]
        counts["schedules"] += 1
        counts["strikes"] += sum(each.strike is not None for each in result.schedule.rounds[: report.played])
        counts["struck"] += report.struck
        counts["commands"] += len(report.codes)
        counts["sessions_left"] += report.sessions_left
        counts["lost"] += report.lost
        counts["seconds"] = round(counts["seconds"] + result.seconds, 1)
        counts["ends"][report.state] += 1
        for kind in report.faults:
            of_kind = results["faults"].setdefault(kind, {"schedules": 0, "ends": dict.fromkeys(ENDS, 0)})
            of_kind["schedules"] += 1
            of_kind["ends"][report.state] += 1


def add_points(results: dict[str, Any], number: int, found: Sequence[Result]) -> None:
    """Note that a unit with points that are to be visited once is done."""
    results["points"]["done"] = sorted({*results["points"]["done"], number})
    for result in found:
        of_database = results["points"]["databases"].setdefault(result.schedule.database, {"tried": 0, "killed": 0})
        of_database["tried"] += count_visited(result)
        of_database["killed"] += result.report.struck if result.report else 0


def add_run(results: dict[str, Any], *, commit: str, found: list[Result], seconds: float, hypothesis: str) -> None:
    """Note the run itself, and add up what it found."""
    add(results, found)
    results["faults"] = dict(sorted(results["faults"].items()))
    run = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit,
        "schedules": len(found),
        "broken": sum(result.report is None for result in found),
        "seconds": round(seconds),
        "hypothesis": hypothesis,
    }
    results["runs"].append(run)


def count_ends(results: Mapping[str, Any], labels: Iterable[str] = CLASSES) -> Counter[str]:
    """Return how often each end was seen in these classes."""
    total: Counter[str] = Counter()
    for label in labels:
        total.update(results["classes"][label]["ends"])
    return total


def read_commit(ours: Iterable[Path] = ()) -> tuple[str, bool]:
    """Return the commit of the tree, and whether something in it was changed; ``ours`` are files that may be."""
    commit = _git("rev-parse", "HEAD").strip()[:10]
    names = {str(path.relative_to(ROOT)) for path in ours if path.is_relative_to(ROOT)}
    changed = [line[3:] for line in _git("status", "--porcelain").splitlines()]
    return commit, bool(set(changed) - names)


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
