"""The numbers on the page about reliability, made from the results: ``python -m tests.schedules.page`` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.schedules import results
from tests.schedules.model import CLASSES, KILL_ONLY, KINDS
from tests.schedules.results import ENDS, ROOT

FILE = ROOT / "doc" / "source" / "crash-results.inc"
_HEAD = ".. made by python -m tests.schedules.page from crash-results.json; a test fails when it is out of date"
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}


def render(known: Mapping[str, Any]) -> str:
    """Return the part of the page that tells the results, as reStructuredText; noughts of no run would tell a lie."""
    if not known["runs"]:
        return f"{_HEAD}\n\n**No run of the program has been published yet: there are no results.**\n"
    total, struck, commands = (_count(known, CLASSES, name) for name in ("schedules", "struck", "commands"))
    kills = _count(known, KILL_ONLY, "schedules")
    unknown = results.count_ends(known, KILL_ONLY)["unknown"]
    lost, sessions = (_count(known, CLASSES, name) for name in ("lost", "sessions_left"))
    lost_by_kills, sessions_by_kills = (_count(known, KILL_ONLY, name) for name in ("lost", "sessions_left"))
    broken = sum(run["broken"] for run in known["runs"])
    ends = ("class", "schedules", "strikes", *ENDS)
    lines = [
        _HEAD,
        "",
        f"Schedules in which something did not hold: {broken}. Schedules that held: {total:,}; {kills:,} of them were",
        f"kills only, and of these {unknown} ended unknown. They took {commands:,} commands, struck {struck:,} times.",
        f"What was lost: the VM ran nowhere afterwards in {lost:,} schedules, {lost_by_kills:,} of them kills only.",
        f"Sessions that were left to XAPI to end: {sessions:,}, {sessions_by_kills:,} of them after kills only.",
        "",
        *_make_table("What was done, and how the runs ended", ends, _of_classes(known)),
        *_make_table("Every kill point once", ("database", "points tried", "killed there"), _of_points(known)),
        *_make_table("Faults, and how runs with them ended", ("fault", "schedules", *ENDS), _of_faults(known)),
        *_make_table("The runs of the driver", ("date", "commit", "schedules", "broken", "minutes"), _of_runs(known)),
    ]
    return "\n".join(lines)


def write(known: Mapping[str, Any]) -> None:
    """Write the part of the page."""
    FILE.write_text(render(known), encoding="utf-8")


def _count(known: Mapping[str, Any], labels: Iterable[str], name: str) -> int:
    return sum(known["classes"][label][name] for label in labels)


def _of_classes(known: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for label in CLASSES:
        counts = known["classes"][label]
        yield label, counts["schedules"], counts["struck"], *(counts["ends"][end] for end in ENDS)


def _of_points(known: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for kind in KINDS:
        counts = known["points"]["databases"].get(kind, {"tried": 0, "killed": 0})
        yield _NAMES[kind], counts["tried"], counts["killed"]


def _of_faults(known: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for kind, counts in known["faults"].items():
        yield kind, counts["schedules"], *(counts["ends"][end] for end in ENDS)


def _of_runs(known: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for run in known["runs"]:
        yield run["date"], f"``{run['commit']}``", run["schedules"], run["broken"], round(run["seconds"] / 60)


def _make_table(title: str, head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    """Return nothing without rows: reStructuredText has no empty table."""
    lines = []
    for row in rows:
        lines += [f"   {'*' if index == 0 else ' '} - {cell}" for index, cell in enumerate(row)]
    titles = [f"   {'*' if index == 0 else ' '} - {cell}" for index, cell in enumerate(head)]
    return [f".. list-table:: {title}", "   :header-rows: 1", "", *titles, *lines, ""] if lines else []


if __name__ == "__main__":
    write(results.load())
