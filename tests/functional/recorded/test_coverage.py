"""What is covered of the recordings, and that the documentation says so."""

import pytest

from tests.support.recorded import coverage, masks, trace
from tests.support.recorded.coverage import ELSEWHERE

WHOLE = ("05", "06", "07", "10", "17")
MOST = 0.98
MASKED = ("03_records", "07_tasks", "09_events", "21_witness_fence_header")
ALLOWED = ("console", "import", "export", "WLB", "GPU", "PCI", "clustering", "updates", "cross-pool")


def _left_out() -> dict[str, dict[int, str]]:
    """What is neither played nor tested elsewhere."""
    found = {}
    for name, topic in coverage.find_topics().items():
        elsewhere = {item.index for item in trace.notes(name)} if name in ELSEWHERE else set()
        found[name] = {index: why for index, why in topic.left_out.items() if index not in elsewhere}
    return found


def test_the_page_says_what_the_tables_of_the_tests_say() -> None:
    assert coverage.PAGE.read_text(encoding="utf-8") == coverage.render(), f"run: python -m {coverage.__name__}"


@pytest.mark.parametrize("path", sorted(trace.TRACES.glob("*.json")), ids=lambda path: path.stem)
def test_every_trace_is_played_or_watched(path: trace.Path) -> None:
    assert path.stem in {*coverage.find_topics(), *ELSEWHERE}


def test_the_traces_about_migrations_are_played_whole() -> None:
    assert not {name: left for name, left in _left_out().items() if name[:2] in WHOLE and left}


def test_of_all_else_nearly_everything_is_played() -> None:
    count = sum(len(trace.load(name)) for name in coverage.find_topics())
    others = [why for left in _left_out().values() for why in left.values() if not any(a in why for a in ALLOWED)]
    assert len(others) <= (1 - MOST) * count, others


def test_each_mask_covers_something() -> None:
    topics = coverage.find_topics()
    for name in MASKED:
        topics[name].play(is_other=False)
    assert not [mask for mask in masks.MASKS if mask not in masks.USED]
