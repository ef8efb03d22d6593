"""The page that says what of the recordings and of the data model the simulated pool covers, made from the tests' own
tables: ``python -m tests.support.recorded.coverage`` writes it anew.
"""

from __future__ import annotations

import collections
import importlib
from collections.abc import Iterator
from pathlib import Path

import yaml

from lmflow.simulator import pool  # noqa: F401 - it imports all that registers itself
from lmflow.simulator.control import OWN_ROUTES
from lmflow.simulator.database import availability
from lmflow.simulator.database.availability import Way
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.registry import ROUTES
from tests.support.recorded import trace
from tests.support.recorded.masks import MASKS
from tests.support.recorded.player import Topic

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "doc" / "source" / "simulator-coverage.md"
ELSEWHERE = {
    "02_http_and_jsonrpc": ("tests/functional/recorded/test_raw_http.py", "notes"),
    "12b_restarts_F": ("tests/functional/simulator_ops/test_ops_deaths.py", "all"),
    "12c_restarts_A_C_D": ("tests/functional/simulator_ops/test_ops_deaths.py", "all"),
    "15_host_death": ("tests/functional/simulator_ops/test_ops_deaths.py", "all"),
    "20_double_start_after_coordinator_restart": ("tests/functional/simulator_ops/test_ops_deaths.py", "all"),
}
"""Traces whose items are not, or not all, played item by item: they were raw bytes, or deaths watched over time."""
OTHER_TABLES = (
    ("all", "tests.support.recorded.player", "RULES"),
    ("06 to 10", "tests.support.recorded.following", "RULES"),
    ("12, 15, 20", "tests.functional.simulator_ops.test_ops_deaths", "MASKS"),
    ("12, 20", "tests.support.notes", "MASKS"),
    ("timelines, 12, 20", "tests.support.alignment", "MASKS"),
    ("timelines", "tests.support.aftermath", "MASKS"),
)
"""(traces, module, table): what is not compared beside the masks, and the rules of comparison."""
_HEAD = """# What the simulated pool is held against

Made from the tables of the tests by `python -m tests.support.recorded.coverage`; a test fails when it is out of date.

Every item below was recorded on a real xapi (26.17, API 2.23; two hosts). Each is a test, and each runs twice: in the
recorded world, and in a second one with other names, more objects and another order. Equal means: the same HTTP status
and headers, and the same members, types, codes and parameters in the body, with this world's references in the place of
the recorded ones, but for the table at the end, which holds every rule by which a comparison is looser.
"""


def find_topics() -> dict[str, Topic]:
    """Import the test modules of the topics: name of the trace -> topic."""
    folder = ROOT / "tests" / "functional" / "recorded"
    modules = (importlib.import_module(f"tests.functional.recorded.{p.stem}") for p in folder.glob("test_topic_*.py"))
    return {module.TOPIC.name: module.TOPIC for module in modules}


def render() -> str:
    """Write the page."""
    parts = (_HEAD, *_traces(), *_timelines(), *_cases(), *_masks(), *_calls(), *_routes())
    return "\n".join(parts).rstrip() + "\n"


def _traces() -> Iterator[str]:
    topics = find_topics()
    yield "## Traces\n"
    yield "| trace | requests | notes | equal | of these, given | left out |\n|---|---|---|---|---|---|"
    reasons, given = [], []
    total, equal = 0, 0
    for path in sorted(trace.TRACES.glob("*.json")):
        items = trace.load(path.stem)
        topic = topics.get(path.stem)
        left = dict(topic.left_out) if topic else {}
        _, elsewhere = ELSEWHERE.get(path.stem, ("", ""))
        if elsewhere:
            covered = items if elsewhere == "all" else [item for item in items if item.is_note]
            left = {index: reason for index, reason in left.items() if index not in {item.index for item in covered}}
        count = len(items) - len(left)
        total, equal = total + len(items), equal + count
        notes = sum(item.is_note for item in items)
        put = dict(topic.given) if topic else {}
        cells = (len(items) - notes, notes, count, len(put) or "", len(left) or "")
        yield f"| `{path.stem}` | {' | '.join(map(str, cells))} |"
        given += [f"- `{path.stem}` {index}, {items[index].label}: {what}" for index, what in put.items()]
        reasons += [f"- `{path.stem}` {index}, {items[index].label}: {reason}" for index, reason in left.items()]
    yield f"| **together** | | {total} items | {equal} | {len(given)} | {total - equal or ''} |\n"
    yield "Given, not derived (the recorded state, or this part of it, was put into the simulated pool; the item shows "
    yield "that it is told alike, not how it came about):\n"
    yield from (*given, "")
    yield from (["Left out:\n", *reasons, ""] if reasons else [])


def _timelines() -> Iterator[str]:
    folder = ROOT / "tests" / "data" / "timelines"
    names = sorted(path.stem for path in folder.glob("*.json"))
    yield "## Timelines\n"
    yield f"{len(names)} runs that were watched over time: the same states in the same order, in both worlds.\n"
    yield from (f"- `{name}`" for name in names)
    yield ""


def _cases() -> Iterator[str]:
    data = yaml.safe_load((ROOT / "tests" / "data" / "conformance.yaml").read_text(encoding="utf-8"))
    areas = collections.Counter(case["area"] for case in data["cases"])
    yield "## Cases read in xapi's source\n"
    yield f"{len(data['cases'])} cases, each a test under `tests/functional/conformance`.\n"
    yield "| area | cases |\n|---|---|"
    yield from (f"| {area} | {count} |" for area, count in sorted(areas.items()))
    yield ""


def _masks() -> Iterator[str]:
    yield "## What the comparison leaves out\n"
    yield "| trace | call or label | place | why |\n|---|---|---|---|"
    for mask in MASKS:
        yield f"| {mask.topic or 'all'} | `{mask.call}` | `{mask.path}` | {mask.reason} |"
    for traces, module, table in OTHER_TABLES:
        rules = getattr(importlib.import_module(module), table)
        yield from (f"| {traces} | | {place} | {why} |" for place, why in rules.items())
    yield ""


def _calls() -> Iterator[str]:
    ways: dict[str, collections.Counter[Way]] = {}
    missing: dict[str, list[str]] = {}
    for message, way in availability.list_calls(Schema.load()):
        ways.setdefault(message.cls, collections.Counter())[way] += 1
        if way is Way.NOT_SIMULATED:
            missing.setdefault(availability.find_reason(message), []).append(message.wire_name)
    yield "## Calls\n"
    yield (
        "Derived: follows from the data model (fields, maps, sets, queries). Operation: written by hand. Removed and "
        "internal: refused as XAPI refuses them. Not simulated: answered `NOT_IMPLEMENTED`.\n"
    )
    yield "| class | derived | operation | removed | internal | not simulated |\n|---|---|---|---|---|---|"
    order = (Way.DERIVED, Way.OPERATION, Way.REMOVED, Way.INTERNAL, Way.NOT_SIMULATED)
    for cls in sorted(ways, key=str.lower):
        yield f"| `{cls}` | {' | '.join(str(ways[cls][way] or '') for way in order)} |"
    together = sum(ways.values(), collections.Counter())
    yield f"| **together** | {' | '.join(str(together[way]) for way in order)} |\n"
    yield "Not simulated, and what it belongs to:\n"
    for reason in sorted(missing):
        yield f"- {reason}: {', '.join(f'`{name}`' for name in sorted(missing[reason]))}"

    yield ""


def _routes() -> Iterator[str]:
    yield "## The control channel\n"
    yield "| route | what it does |\n|---|---|"
    for (method, path), function in sorted({**OWN_ROUTES, **ROUTES}.items(), key=lambda route: route[0][::-1]):
        first, _, _ = (function.__doc__ or "").partition("\n")
        yield f"| `{method} {path}` | {first.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
