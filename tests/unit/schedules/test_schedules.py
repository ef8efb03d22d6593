"""The schedules of ``tox -e crash``: the same from the same seed, kept as JSON, added up, published."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.schedules import page, results
from tests.schedules.drawing import MIXES, draw_schedules, list_steps
from tests.schedules.lab import Report, count_spare_sessions
from tests.schedules.model import CLASSES, KINDS, STRIKES, Round, Schedule, Strike
from tests.schedules.work import Result, choose_world, make_drawn, make_pairs, make_singles
from tests.support.kill_reports import Point

ROOT = Path(__file__).parents[3]
ANY = Point("observe", "request_read", "*")
KILL, TERM = Round(Strike("kill", ANY)), Round(Strike("SIGTERM", ANY))


def test_a_seed_means_the_same_in_another_process() -> None:
    program = "from tests.schedules.drawing import draw_schedules\nfor s in draw_schedules(5): print(s.to_json())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [schedule.to_json() for schedule in draw_schedules(5)] == done.stdout.splitlines()
    assert draw_schedules(5) != draw_schedules(8)


def test_every_kind_of_strike_fault_and_flow_is_drawn() -> None:
    drawn = [schedule for seed in range(6) for schedule in make_drawn(seed)]
    assert {each.strike.how for schedule in drawn for each in schedule.rounds if each.strike} == set(STRIKES)
    assert {schedule.label for schedule in drawn} == {"kills", "cancels", "faults", "faults and cancels"}
    assert {choose_world(seed) for seed in range(48)} == {(kind, header) for kind in KINDS for header in (True, False)}
    assert {schedule.witness for schedule in drawn} == {True, False}
    assert {schedule.flow for schedule in drawn} == {"moved", "failed"}
    assert all(schedule.label == "kills" for schedule in make_drawn(MIXES.index("kills")))


def test_points_come_in_the_order_of_the_way() -> None:
    for schedule in draw_schedules(2):
        steps = list_steps(schedule.flow)
        places = [steps.index(each.strike.at.step) for each in schedule.rounds if each.strike]
        assert places == sorted(places)


def test_a_schedule_is_kept_as_json() -> None:
    for schedule in [*draw_schedules(0), *draw_schedules(2), Schedule((KILL, TERM), "failed", header=False)]:
        assert Schedule.from_json(schedule.to_json()) == schedule
        assert "\n" not in schedule.to_json()
    with pytest.raises(TypeError):
        Schedule.from_json('{"rounds": [], "speed": 1}')


@pytest.mark.parametrize(
    ("schedule", "label"),
    [
        (Schedule((KILL,), single=True), "every point once"),
        (Schedule((KILL, KILL)), "kills"),
        (Schedule((Round(Strike("kill", Point("observe", "before", "runs"))),) * 2), "pairs of kills"),
        (Schedule((KILL, TERM)), "cancels"),
        (Schedule((KILL,), witness=False), "faults"),
        (Schedule((KILL, Round(wire=({"kind": "http_500", "call": "*", "nth": 1},)))), "faults"),
        (Schedule((TERM, Round(phases=({"phase": "copy", "kind": "fail"},)))), "faults and cancels"),
    ],
)
def test_what_a_schedule_is_counted_as(schedule: Schedule, label: str) -> None:
    assert schedule.label == label


def test_only_a_death_before_the_first_step_and_a_fault_may_leave_a_session() -> None:
    lost = {"kind": "close_after", "call": "session.logout", "nth": 1}
    restart, failure = ({"phase": "copy", "kind": kind} for kind in ("restart", "fail"))
    assert count_spare_sessions([KILL, TERM, KILL], 0) == 0
    assert count_spare_sessions([KILL, TERM], 1) == 1
    assert count_spare_sessions([Round(phases=(failure,))], 0) == 0
    assert count_spare_sessions([KILL, Round(wire=(lost,), phases=(restart,))], 0) == 2


def test_every_point_is_visited_on_every_database() -> None:
    points = {"moved": [Point("observe", "before", "runs", n) for n in range(1, 50)], "failed": [ANY]}
    visited = [
        (schedule.database, schedule.flow, each.strike.at)
        for unit in make_singles(points)
        for schedule in unit
        for each in schedule.rounds
        if each.strike
    ]
    assert len(visited) == len(set(visited)) == 3 * 50
    assert make_pairs(points, 3) == make_pairs(points, 3) != make_pairs(points, 4)


def make_result(schedule: Schedule, state: str, **more: object) -> Result:
    faults = schedule.fault_kinds
    report = Report(schedule.label, state, (-9, 0), len(schedule.rounds), 1, 0, faults)
    return Result(schedule, dataclasses.replace(report, **more), seconds=1.5)  # type: ignore[arg-type]


def test_results_are_added_up_over_runs(tmp_path: Path) -> None:
    known, file = results.make_empty(), tmp_path / "results.json"
    blind = Schedule((KILL,), witness=False)
    for commit in ("a", "b"):
        lost = make_result(blind, "unknown", lost=True, sessions_left=2)
        found = [make_result(Schedule((KILL,)), "success", sessions_left=1), lost, Result(blind, None, "!")]
        results.add_run(known, commit=commit, found=found, seconds=60, hypothesis="6")
        results.save(known, file)
        known = results.load(file)
    assert [(run["commit"], run["schedules"], run["broken"]) for run in known["runs"]] == [("a", 3, 1), ("b", 3, 1)]
    assert known["classes"]["kills"]["ends"]["success"] == 2
    assert known["classes"]["kills"]["commands"] == 4
    assert known["faults"]["no witness"]["ends"]["unknown"] == 2
    assert results.count_ends(known)["unknown"] == 2
    assert results.count_ends(known, ["kills"])["unknown"] == 0
    told = page.render(known)
    assert "something did not hold: 2. Schedules that held: 4; 2 of them" in told
    assert "nowhere afterwards in 2 schedules, 0 of them kills only." in told
    assert "left to XAPI to end: 6, 2 of them after kills only." in told


def test_points_that_were_visited_are_not_visited_again() -> None:
    known = results.make_empty()
    results.add_points(known, 3, [make_result(Schedule((KILL, KILL), single=True), "success", struck=2)])
    results.add_points(known, 1, [make_result(Schedule((KILL,), single=True), "success", struck=0)])
    assert known["points"]["done"] == [1, 3]
    assert known["points"]["databases"] == {"sqlite": {"tried": 3, "killed": 2}}, "one of the three was not reached"


def test_the_published_results_are_well_formed_and_on_the_page() -> None:
    known = results.load()
    assert set(known) == set(results.make_empty())
    assert list(known["classes"]) == list(CLASSES)
    assert sum(results.count_ends(known).values()) == sum(each["schedules"] for each in known["classes"].values())
    assert sum(run["schedules"] - run["broken"] for run in known["runs"]) == sum(results.count_ends(known).values())
    ends = results.count_ends(known, CLASSES)
    assert ends.total() >= 1_000
    assert sum(run["broken"] for run in known["runs"]) == 0
    assert results.count_ends(known, CLASSES[:4])["unknown"] == 0
    assert page.FILE.read_text(encoding="utf-8") == page.render(known), "python -m tests.schedules.page"
    assert json.loads(results.FILE.read_text()) == known


def test_the_page_names_only_files_that_are_there() -> None:
    text = (ROOT / "doc" / "source" / "reliability.rst").read_text(encoding="utf-8")
    named = {word for word in text.split("``") if word.startswith(("tests/", "lmflow/", "doc/")) and " " not in word}
    assert named
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]
    assert ".. include:: crash-results.inc" in text
