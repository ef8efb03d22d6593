"""What becomes of numbers: ratios, verdicts, comparisons, table, chart, profile. Nothing is measured here."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import chart, showing, subjects
from bench.children import running
from bench.goals import GOALS, MISSED, NOT_BUILT, NOT_MEASURED, REACHED, judge, list_worse
from bench.history import list_missed
from bench.pools import count_changes, sort_calls
from bench.profiling import sum_rooms
from bench.results import Results, load

ONE = "SQLite: lmflow ÷ TaskFlow in memory"
TOLD = {
    "date": "2026-01-01T00:00+00:00", "commit": "abc", "changed": False, "quick": False, "rounds": 3,
    "machine": {"cpus": 2, "cpu": "one"}, "versions": {"python": "3.11"}, "load": {"before": [0.1], "one": [1.0, 2.0]},
}  # fmt: skip


def make_results(ours: list[float], *, absent: tuple[str, ...] = (), **facts: object) -> Results:
    series = {"one/lmflow/sqlite": ours, "one/memory/memory": [10.0, 20.0, 10.0], "many/lmflow/sqlite": [150.0]}
    return Results({**TOLD, "series": series, "facts": {k.replace("__", "/"): v for k, v in facts.items()},
                    "absent": list(absent)})  # fmt: skip


def find_word(results: Results, what: str = ONE) -> str:
    return next(verdict.word for verdict in judge(results) if verdict.goal.what == what)


def test_a_ratio_is_taken_round_by_round() -> None:
    """The second round was twice as slow for both: the ratio does not know it, the quotient of sums would."""
    ratio = make_results([20.0, 40.0, 20.0]).find_ratio("one/lmflow/sqlite", "one/memory/memory")
    assert ratio is not None
    assert (ratio.median, ratio.low, ratio.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("ours", "word"), [([20.0, 40.0, 20.0], REACHED), ([20.1, 40.2, 20.1], MISSED), ([], NOT_MEASURED)]
)
def test_a_goal_is_reached_at_its_limit_and_missed_beyond_it(ours: list[float], word: str) -> None:
    assert find_word(make_results(ours)) == word


def test_what_is_not_built_has_no_number_even_if_one_is_there() -> None:
    results = make_results([1.0], absent=("lmflow",))
    verdict = next(each for each in judge(results) if each.goal.what == ONE)
    assert (verdict.word, verdict.value) == (NOT_BUILT, None)
    assert "- not built" in showing.render(results)


def test_a_peer_that_is_missing_leaves_the_goals_without_it_alone() -> None:
    results = make_results([20.0], absent=("dbos",))
    assert find_word(results) == REACHED
    assert find_word(results, "SQLite: lmflow ÷ DBOS") == NOT_BUILT


def test_only_what_got_worse_by_more_than_the_noise_is_named() -> None:
    before = make_results([20.0, 40.0, 20.0], bulk__ratio=10.0)
    assert list_worse(before, make_results([20.4, 40.8, 20.4], bulk__ratio=12.0)) == []
    worse = list_worse(before, make_results([26.0, 52.0, 26.0], bulk__ratio=7.0))
    assert [line.split(":")[0] for line in worse] == ["1", "8"]
    noisy = make_results([10.0, 80.0, 26.0])
    assert list_worse(noisy, make_results([30.0, 60.0, 30.0])) == []


def test_nothing_measured_claims_nothing() -> None:
    empty = Results({})
    assert {verdict.word for verdict in judge(empty)} == {NOT_MEASURED}
    assert "no numbers" in showing.render(empty)
    assert "No run" in chart.draw(empty)


def test_table_text_and_chart_show_verdicts_and_subjects() -> None:
    results = make_results([26.0, 52.0, 26.0], profile__lmflow__sqlite={"rooms": {"waiting": 9.0, "taskflow": 1.0}})
    page, text = showing.render(results), showing.make_text(results)
    assert "- **missed**" in page
    assert "taskflow 100%" in page
    assert "2.6" in text
    drawn = chart.draw(results)
    ET.fromstring(drawn)  # noqa: S314 - our own
    for shown in ("TaskFlow in memory", "lmflow&#x27;s driver".replace("&#x27;", "'"), "26", "150"):
        assert f">{shown}</text>" in drawn


def test_numbers_survive_the_file(tmp_path: Path) -> None:
    results, file = make_results([20.0, 21.0]), tmp_path / "results.json"
    results.save(file)
    assert load(file).told == results.told
    assert load(tmp_path / "none.json").is_empty


def test_goals_have_names_of_their_own() -> None:
    assert len({goal.key for goal in GOALS}) == len(GOALS)


def test_a_built_in_belongs_to_its_caller_and_a_driver_to_itself() -> None:
    ours, theirs = ("/x/lmflow/db/runs.py", 1, "get"), ("/x/taskflow/storage.py", 1, "save")
    stats = {
        ours: (1, 1, 2.0, 9.0, {}),
        theirs: (1, 1, 1.0, 9.0, {}),
        ("~", 0, "<built-in method builtins.len>"): (
            9,
            9,
            0.75,
            0.75,
            {ours: (1, 1, 0.5, 0.5), theirs: (8, 8, 0.25, 0.25)},
        ),
        ("~", 0, "<method 'commit' of 'sqlite3.Connection' objects>"): (1, 1, 4.0, 4.0, {ours: (1, 1, 4.0, 4.0)}),
        ("~", 0, "<method 'acquire' of '_thread.lock' objects>"): (1, 1, 8.0, 8.0, {ours: (1, 1, 8.0, 8.0)}),
    }
    assert sum_rooms(stats) == {"lmflow.db": 2.5, "taskflow": 1.25, "sqlite driver and disk": 4.0, "waiting": 8.0}


def test_calls_are_told_apart_and_only_changes_are_counted() -> None:
    methods = ["session.login_with_password", "VM.get_record", "VM.add_to_other_config", "Async.VM.pool_migrate"]
    methods += ["event.from", "task.get_record", "xenops:VM.stat", "session.get_record", "task.destroy"]
    calls = [{"method": method, "host": "a"} for method in methods] + [{"method": "VM.start", "host": "internal"}]
    assert sort_calls(calls) == {
        "login": 1, "look": 1, "marker": 1, "submit_on": 3, "stream": 1, "witness": 1, "fence": 1,
    }  # fmt: skip
    assert count_changes(calls) == 4


def test_history_names_what_misses_its_goal() -> None:
    rows = [{"what": "a", "ratio": 1.1, "goal": 1.1}, {"what": "b", "ratio": 1.11, "goal": 1.1}]
    assert list_missed(rows) == ["b"]


def test_a_subject_does_its_job_in_a_process_of_its_own(tmp_path: Path) -> None:
    known = next(each for each in subjects.KNOWN if each.name == "sql")
    with running(known, f"sqlite:///{tmp_path / 'a.db'}") as child:
        assert len(child.ask("one", count=2)["seconds"]) == 2
        with pytest.raises(SystemExit, match="AttributeError"):
            child.ask("nothing")
