"""The page about performance says what the committed numbers say."""

from pathlib import Path

from bench import chart, results, showing
from bench.goals import REACHED, judge


def test_table_and_chart_are_made_from_the_committed_numbers(root: Path) -> None:
    known = results.load()
    assert showing.PAGE.read_text(encoding="utf-8") == showing.render(known), "python -m bench --page"
    assert showing.CHART.read_text(encoding="utf-8") == chart.draw(known), "python -m bench --page"
    page = (root / "doc" / "source" / "performance.rst").read_text(encoding="utf-8")
    assert ".. include:: performance-results.inc" in page


def test_no_goal_is_claimed_that_the_committed_numbers_miss() -> None:
    claimed = {v.goal.key: v for v in judge(results.load()) if v.word == REACHED}
    for verdict in claimed.values():
        assert verdict.value is not None
        met = (verdict.value.median - verdict.goal.limit) * (1 if verdict.goal.at_least else -1)
        assert met >= 0, verdict.goal.key
    told = [line for line in showing.PAGE.read_text(encoding="utf-8").splitlines() if line.strip() == f"- {REACHED}"]
    assert len(told) == len(claimed)
