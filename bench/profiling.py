"""Where the time of the jobs goes, summed by room: every thread's own profile, told by the file of each function."""

from __future__ import annotations

import cProfile
import pstats
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

WAITING = "waiting"
_WAITS = ("acquire", "sleep", "select", "poll", "wait", "'get' of '_queue")
_BUILT_IN = "~"
_DRIVERS = {"sqlite3": "sqlite driver and disk", "psycopg": "psycopg and server"}
_ROOMS = (
    ("/lmflow/db/", "lmflow.db"),
    ("/lmflow/runner/", "lmflow.runner"),
    ("/lmflow/tasks/", "lmflow.tasks"),
    ("/lmflow/xapi/", "lmflow.xapi"),
    ("/lmflow/", "lmflow, the rest"),
    ("/bench/", "the benchmark"),
    ("/taskflow/", "taskflow"),
    ("/networkx/", "taskflow's libraries"),
    ("/automaton/", "taskflow's libraries"),
    ("/oslo_", "taskflow's libraries"),
    ("/sqlalchemy/", "sqlalchemy"),
    ("/psycopg", "psycopg and server"),
    ("/json/", "json"),
)


def profile(work: Callable[[], object]) -> dict[str, float]:
    """Return the seconds of each room while the work is done, of all threads that begin within it and of this one."""
    profiles: list[cProfile.Profile] = []

    def begin(*_event: Any) -> None:
        made = cProfile.Profile()
        profiles.append(made)
        made.enable()

    threading.setprofile(begin)
    begin()
    try:
        work()
    finally:
        profiles[0].disable()
        threading.setprofile(None)
    rooms: Counter[str] = Counter()
    for each in profiles:
        each.create_stats()
        rooms.update(sum_rooms(each.stats))  # type: ignore[attr-defined]
    return {name: round(seconds, 4) for name, seconds in rooms.most_common() if seconds > 0}


def sum_rooms(stats: dict[Any, Any]) -> dict[str, float]:
    """Return the seconds of each room: a built-in function's are those of the rooms that called it."""
    rooms: Counter[str] = Counter()
    for (file, _line, name), (_cc, _nc, own, _cumulative, callers) in stats.items():
        known = find_room(file, name)
        if known:
            rooms[known] += own
            continue
        for (caller_file, _caller_line, caller), told in callers.items():
            rooms[find_room(caller_file, caller) or "python, the rest"] += told[2]
    return dict(rooms)


def find_room(file: str, name: str) -> str:
    """Return the room of a function, '' for a built-in one that belongs to whoever calls it."""
    if file == _BUILT_IN:
        driver = next((room for word, room in _DRIVERS.items() if word in name), "")
        return driver or (WAITING if any(word in name for word in _WAITS) else "")
    return next((room for part, room in _ROOMS if part in file), "python, the rest")


def explain(work: Callable[[], object], lines: int = 40) -> None:
    """Print the functions of this thread on standard error, by their own time."""
    made = cProfile.Profile()
    made.runcall(work)
    pstats.Stats(made, stream=sys.stderr).sort_stats("tottime").print_stats(lines)
