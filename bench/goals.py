"""The goals, and what a run's numbers say about each: reached, missed, not measured, or of something not built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Results, Value

REACHED, MISSED, NOT_MEASURED, NOT_BUILT = "reached", "missed", "not measured", "not built"
_FLOOR = 0.05
"""A change smaller than this is noise whatever the quartiles say."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One number that is wanted. ``seen``: what a prototype reached. ``of``: the subjects without which it is none."""

    number: int
    what: str
    limit: float
    measure: Callable[[Results], Value | None]
    seen: str = ""
    at_least: bool = False
    unit: str = "×"
    of: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}".strip()

    @property
    def key(self) -> str:
        """What names the goal from run to run."""
        return f"{self.number}: {self.what}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a goal."""

    goal: Goal
    word: str
    value: Value | None = None


def _ratio(above: str, below: str) -> Callable[[Results], Value | None]:
    return lambda results: results.find_ratio(above, below)


def _fact(name: str) -> Callable[[Results], Value | None]:
    return lambda results: results.find(name)


def _of_store(store: str, name: str, engine: float, raw: float, seen: tuple[str, str]) -> list[Goal]:
    one, many = f"one/{{}}/{store}", f"many/{{}}/{store}"
    ours, seconds = one.format("lmflow"), f"resume/{{}}/{store}"
    dbos = ("lmflow", "dbos")
    return [
        Goal(1, f"{name}: lmflow ÷ TaskFlow in memory", engine, _ratio(ours, "one/memory/memory"), seen[0]),
        Goal(1, f"{name}: lmflow ÷ raw SQL", raw, _ratio(ours, one.format("sql")), seen[1]),
        Goal(1, f"{name}: lmflow ÷ DBOS", 1.0, _ratio(ours, one.format("dbos")), "level", of=dbos),
        Goal(1, f"{name}: stock TaskFlow ÷ lmflow", 10.0, _ratio(one.format("stock"), ours), at_least=True),
        Goal(2, f"{name}: commits of the job", 7, _fact(f"count/lmflow/{store}/commits"), "7", unit="commits"),
        Goal(
            3, f"{name}: lmflow ÷ DBOS, jobs a second", 3.0, _ratio(many.format("lmflow"), many.format("dbos")),
            "2.1–3.4", at_least=True, of=dbos,
        ),
        Goal(
            3, f"{name}: lmflow ÷ stock TaskFlow, jobs a second", 20.0,
            _ratio(many.format("lmflow"), many.format("stock")), at_least=True,
        ),
        Goal(5, f"{name}: resume of 1,000", 6.0, _fact(seconds.format("lmflow")), "4.3–5.4 s", unit="s"),
        Goal(
            5, f"{name}: DBOS ÷ lmflow", 5.0, _ratio(seconds.format("dbos"), seconds.format("lmflow")),
            at_least=True, of=dbos,
        ),
    ]  # fmt: skip


def _sort(goals: list[Goal]) -> tuple[Goal, ...]:
    return tuple(sorted(goals, key=lambda goal: goal.number))


GOALS = _sort([
    *_of_store("sqlite", "SQLite", 2.0, 8.0, ("2.3", "8.6")),
    *_of_store("postgresql", "PostgreSQL", 2.5, 6.0, ("2.8", "6.8")),
    Goal(
        2, "a migration: commits beyond one before each change of the pool and one a checkpoint", 0,
        _fact("pool/lmflow/commits_beyond"), unit="commits", of=("pool",),
    ),
    Goal(4, "10,000 in flight: each", 4.0, _fact("inflight/kilobytes_each"), "1.8 KB", unit="KB", of=("inflight",)),
    Goal(
        4, "10,000 in flight: the process", 120.0, _fact("inflight/peak_megabytes"), "100 MB", unit="MB",
        of=("inflight",),
    ),
    Goal(4, "10,000 in flight: threads", 16, _fact("inflight/threads"), unit="threads", of=("inflight",)),
    Goal(6, "what a run writes: beside 100,000 old runs ÷ alone", 1.1, _fact("history/writes"), "1.1–1.2 at 10,000"),
    Goal(
        7, "XAPI calls of a migration from the submit on", 4.5, _fact("pool/lmflow/calls_submit_on"), "4.2",
        unit="calls", of=("pool",),
    ),
    Goal(7, "connections to the pool", 2, _fact("pool/lmflow/connections"), "2", unit="connections", of=("pool",)),
    Goal(7, "processor time: lmflow ÷ script", 0.6, _ratio("cpu/lmflow/pool", "cpu/script/pool"), "0.5–0.6",
         of=("pool",)),
    Goal(8, "64 hosts and 5,000 VMs: the SDK's time ÷ lmflow's", 8.0, _fact("bulk/ratio"), "10–17", at_least=True,
         of=("bulk",)),
    Goal(10, "lmflow --help ÷ import of cliff.app", 1.6, _fact("startup/lmflow --help"), "5"),
    Goal(10, "lmflow run list ÷ imports of SQLAlchemy and cliff.app", 1.3, _fact("startup/lmflow run list")),
])  # fmt: skip


def judge(results: Results) -> list[Verdict]:
    """Return the verdict on each goal by a run's numbers; without a number there is neither success nor failure."""
    return [_judge(goal, results) for goal in GOALS]


def _judge(goal: Goal, results: Results) -> Verdict:
    needed = goal.of or ("lmflow",)
    if goal.number in (1, 2, 3, 5, 7) and "lmflow" not in needed:
        needed = (*needed, "lmflow")
    if set(needed) & set(results.absent):
        return Verdict(goal, NOT_BUILT)
    value = goal.measure(results)
    if value is None:
        return Verdict(goal, NOT_MEASURED)
    fits = value.median >= goal.limit if goal.at_least else value.median <= goal.limit
    return Verdict(goal, REACHED if fits else MISSED, value)


def list_worse(before: Results, now: Results) -> list[str]:
    """Say which goals' numbers got worse by more than the noise of the two runs."""
    old = {verdict.goal.key: verdict.value for verdict in judge(before)}
    told = []
    for verdict in judge(now):
        was, value = old.get(verdict.goal.key), verdict.value
        if was is None or value is None:
            continue
        change = value.median - was.median
        worse = -change if verdict.goal.at_least else change
        noise = max(was.spread, value.spread, _FLOOR) * abs(was.median)
        if worse > noise:
            told.append(f"{verdict.goal.key}: {was.median:.3g} before, {value.median:.3g} now ({verdict.goal.wanted})")
    return told
