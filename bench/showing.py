"""What a run found, for people: a text for the terminal, the table and the chart of the documentation's page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bench import chart
from bench.goals import MISSED, NOT_BUILT, NOT_MEASURED, REACHED, Verdict, judge
from bench.results import ROOT, Results, Value, make_value
from bench.subjects import KNOWN

PAGE = ROOT / "doc" / "source" / "performance-results.inc"
CHART = ROOT / "doc" / "source" / "performance.svg"
STORES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "memory": "in memory"}
_HEAD = ".. made by python -m bench --page from bench/results.json; a test fails when it is out of date"
_NOTHING = "**No run of the benchmark has been published yet: there are no numbers.**"


def write_page(results: Results) -> None:
    """Write the table and the chart of the page."""
    PAGE.write_text(render(results), encoding="utf-8")
    CHART.write_text(chart.draw(results), encoding="utf-8")


def make_text(results: Results) -> str:
    """Return what a terminal shows."""
    lines = ["", f"{'goal':<82}{'wanted':>18}{'measured':>22}  verdict"]
    for verdict in judge(results):
        what = f"{verdict.goal.number:>2}  {verdict.goal.what}"
        lines.append(f"{what:<82}{verdict.goal.wanted:>18}{show_value(verdict.value):>22}  {verdict.word}")
    lines += ["", f"{'subject':<30}{'database':<14}{'ms a job':>22}{'jobs/s, 32 at a time':>24}{'commits':>9}"]
    for row in _list_subjects(results):
        lines.append("{:<30}{:<14}{:>22}{:>24}{:>9}".format(*row[:5]))
    rooms = "".join(f"\nprofile of {title}: {shares}" for title, shares in _list_profiles(results))
    return "\n".join([*lines, *([rooms] if rooms else []), "", _tell_load(results)]) + "\n"


def render(results: Results) -> str:
    """Return the part of the page that tells the results, as reStructuredText."""
    if results.is_empty:
        goals = ((v.goal.number, v.goal.what, v.goal.wanted, v.goal.seen) for v in judge(results))
        return "\n".join([_HEAD, "", _NOTHING, "", *_table("Goals", ("goal", "what", "wanted", "prototype"), goals)])
    lines = [_HEAD, "", *_tell_run(results), ""]
    lines += [".. image:: performance.svg", "   :alt: milliseconds of a job, and jobs a second, of each subject", ""]
    heads = ("goal", "what", "wanted", "measured (quartiles)", "verdict", "prototype")
    lines += _table("Goals", heads, (_make_goal_row(verdict) for verdict in judge(results)))
    heads = ("subject", "database", "ms a job", "jobs/s, 32 at a time", "commits", "statements", "resume of 1,000")
    lines += _table("The same job, by everybody", heads, _list_subjects(results))
    lines += _table("A migration, and many", ("what", "seen"), _list_pool(results))
    lines += _table("Where the time of a job goes", ("of", "share of all threads"), _list_profiles(results))
    return "\n".join(lines)


def show_value(value: Value | None) -> str:
    """Return a number with its quartiles, '' for none."""
    if value is None:
        return ""
    shown, low, high = (chart.show(number) for number in (value.median, value.low, value.high))
    return shown if value.low == value.high else f"{shown} ({low}–{high})"


def _make_goal_row(verdict: Verdict) -> tuple[object, ...]:
    word = {MISSED: f"**{MISSED}**", REACHED: REACHED, NOT_BUILT: NOT_BUILT, NOT_MEASURED: NOT_MEASURED}[verdict.word]
    goal = verdict.goal
    return goal.number, goal.what, goal.wanted, show_value(verdict.value) or "–", word, goal.seen or "–"


def _list_subjects(results: Results) -> Iterator[tuple[object, ...]]:
    for known in KNOWN:
        for store in known.stores:
            if known.name in results.absent:
                yield known.title, STORES[store], NOT_BUILT, "", "", "", ""
                continue
            place = f"{known.name}/{store}"
            seen = [results.find(f"{part}/{place}") for part in ("one", "many")]
            sent = [results.find(f"count/{place}/{name}") for name in ("commits", "statements")]
            resumed = results.find(f"resume/{place}")
            told = (f"{chart.show(resumed.median)} s" if resumed else "",)
            yield known.title, STORES[store], *map(show_value, seen), *map(show_value, sent), *told


def _list_pool(results: Results) -> Iterator[tuple[object, ...]]:
    facts = results.facts
    if "pool/lmflow/calls_submit_on" not in facts:
        return
    kinds = ("look", "submit_on", "marker", "fence", "witness", "login", "stream")
    calls = ", ".join(f"{kind.replace('_', ' ')} {facts[f'pool/lmflow/calls_{kind}']}" for kind in kinds)
    yield "XAPI calls of a migration that is alone, by what they are for", calls
    commits = ", ".join(f"{name} {facts[f'pool/lmflow/{name}']}" for name in ("commits", "changes", "checkpoints"))
    yield "its commits, changing calls and checkpoints", commits
    for name in ("script", "lmflow"):
        many = facts[f"pool/{name}/migrations"]
        cpu, wall = (results.find(f"{what}/{name}/pool") for what in ("cpu", "wall"))
        done, calls = facts[f"pool/{name}/succeeded"], f"{facts[f'pool/{name}/calls_each']:.3g} calls each"
        connections = f"{facts[f'pool/{name}/connections']} connections"
        told = f"{done} done, {show_value(wall)} s, {calls}, {connections}, processor {show_value(cpu)} s each"
        yield f"{many} migrations at once: {name}", told


def _list_profiles(results: Results) -> Iterator[tuple[str, str]]:
    for known in KNOWN:
        for store in known.stores:
            told: Any = results.facts.get(f"profile/{known.name}/{store}")
            if told:
                busy = {room: seconds for room, seconds in told["rooms"].items() if room != "waiting"}
                total = sum(busy.values()) or 1.0
                shares = sorted(((seconds / total, room) for room, seconds in busy.items()), reverse=True)
                text = ", ".join(f"{room} {share:.0%}" for share, room in shares if share >= 0.005)
                yield f"{known.title}, {STORES[store]}", text


def _tell_run(results: Results) -> list[str]:
    told = results.told
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    machine = told["machine"]
    changed = ", with changes that are not committed" if told["changed"] else ""
    quick = " **A quick run: few rounds, and the long parts are missing.**" if told["quick"] else ""
    return [
        f"{told['date']}, commit ``{told['commit']}``{changed}; {machine['cpus']} processors ({machine['cpu']});",
        f"{versions}. {told['rounds']} rounds, in which the subjects take turns. {_tell_load(results)}{quick}",
        *_tell_settings(results),
    ]


def _tell_settings(results: Results) -> list[str]:
    """Say how durable the databases were set, as each subject's own connection said it."""
    facts = {
        name.removeprefix("settings/"): fact for name, fact in results.facts.items() if name.startswith("settings/")
    }
    server = ", ".join(f"{n.rpartition('/')[2]} {fact}" for n, fact in facts.items() if n.startswith("postgresql/"))
    files = [(name.partition("/")[0], fact) for name, fact in facts.items() if name.endswith("/sqlite")]
    said = {", ".join(f"{key} {value}" for key, value in fact.items()) for _name, fact in files}
    told = [f"PostgreSQL: {server}."] if server else []
    if len(said) == 1:
        told.append(f"SQLite, as the connections of {', '.join(name for name, _fact in files)} say: {said.pop()}.")
    elif said:
        told.append(f"**SQLite was not set alike for all: {'; '.join(f'{name}: {fact}' for name, fact in files)}.**")
    return told


def _tell_load(results: Results) -> str:
    loads = results.loads
    during = [load for part, seen in loads.items() if part not in ("before", "after") for load in seen]
    if not during:
        return ""
    before, after = (loads.get(name, [0.0])[0] for name in ("before", "after"))
    middle = make_value(during).median
    return f"Load of the machine: {before:g} before, {middle:.1f} ({max(during):.1f} at most) during, {after:g} after."


def _table(title: str, head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    """Return nothing without rows: reStructuredText has no empty table."""
    cells = [head, *rows]
    if len(cells) == 1:
        return []
    lines = [f"   {'*' if place == 0 else ' '} - {cell}".rstrip() for row in cells for place, cell in enumerate(row)]
    return [f".. list-table:: {title}", "   :header-rows: 1", "", *lines, ""]
