"""Signals, a cancel and the way of systemd at every step of a migration: an end that is documented, true and resumable.

The commands stand still at a commit or a call of the step when it befalls them. Each is then resumed to its end and
judged as the drawn schedules are (``tests.schedules.lab``): exit codes, state, where the VM runs, what is left. Each
step is met in one way here, the moments that matter most in all; ``tox -e crash`` draws the rest.
"""

from __future__ import annotations

import itertools
import signal

import pytest

from lmflow.cli.exits import Exit
from tests.schedules.drawing import list_steps
from tests.schedules.lab import KILLED, Playing
from tests.schedules.model import Round, Schedule, Strike
from tests.support.ends import Ends
from tests.support.invariants import Invariants
from tests.support.kill_flows import AWAIT, SUBMIT
from tests.support.kill_reports import BEGIN, Point
from tests.support.kill_runs import open_bench
from tests.support.scene import Scene

WAYS = {
    "SIGINT": Exit.SIGINT,
    "SIGTERM": Exit.INTERRUPTED,
    "SIGHUP": Exit.INTERRUPTED,
    "stop": KILLED,
    "cancel": Exit.FAILED,
}
"""How a command that still has something to do ends; one that is stopped may also let go within its stop time."""
REVERTS = [step for step in list_steps("failed") if step.startswith("~")]
MOMENTS = [("moved", step, "before") for step in list_steps("moved") if step != BEGIN]
MOMENTS += [("failed", step, "before") for step in REVERTS]
EVERYWHERE = [(way, *moment) for way, moment in zip(itertools.cycle(WAYS), MOMENTS, strict=False)]
IN_ALL_WAYS = [
    ("moved", BEGIN, "reply_written"),
    ("moved", SUBMIT, "request_read"),
    ("moved", SUBMIT, "reply_written"),
    ("moved", AWAIT, "request_read"),
    ("failed", "~connect_storage", "request_read"),
]
PARTS = 6


def play(cases: list[tuple[str, str, str, str]]) -> list[tuple[tuple[str, ...], int]]:
    """Run the cases in one pool, and return those that did not end in the way of their signal."""
    others = []
    with open_bench(len(cases)) as bench:
        for number, (way, flow, step, moment) in enumerate(cases):
            what = "VM.pool_migrate" if step == SUBMIT and moment != "before" else "*"
            strike = Strike(way, Point(step, moment, what))
            report = Playing(bench, Schedule((Round(strike),), flow), number).play()
            assert report.struck == 1, strike
            if report.codes[0] not in {WAYS[way], Exit.INTERRUPTED if way == "stop" else None}:
                # It had nothing left to do that could be let go of, or it came too late.
                assert report.codes == (Exit.DONE if report.state == "success" else Exit.FAILED,), (strike, report)
                others.append(((way, flow, step), report.codes[0]))
    return others


@pytest.mark.parametrize("part", range(PARTS))
def test_every_step_is_met_in_one_way(part: int) -> None:
    cases = EVERYWHERE[part::PARTS]
    others = play(cases)
    assert len(others) <= len(cases) // 2, others


@pytest.mark.parametrize("way", WAYS)
def test_moments_that_matter_are_met_in_all_ways(way: str) -> None:
    others = play([(way, *moment) for moment in IN_ALL_WAYS])
    # A cancel may come too late for so short a copy: then its answer has said so (tests.schedules.lab).
    late = {SUBMIT, AWAIT} if way == "cancel" else set()
    assert {step for (_, _, step), _ in others} <= {"~connect_storage", BEGIN, *late}, others


def test_who_only_looks_leaves_no_session(scene: Scene, invariants: Invariants) -> None:
    invariants.open_runs = True
    ends = Ends.start(scene)
    ends.abandon("r")
    ends.release()
    before = set(ends.pool.records("session"))
    commands = (("why", "r"), ("status",), ("check", "v9"), ("resume", "r", "--plan"))
    for words, number in zip(commands, itertools.cycle((signal.SIGTERM, signal.SIGHUP)), strict=False):
        looking = ends.hold_call("host.get_all_records", *words)
        ended = ends.end(looking, number)
        assert (ended.returncode, ended.stdout) == (Exit.INTERRUPTED, ""), (words, number, ended)
        ends.let_call_go()
        assert set(ends.pool.records("session")) == before, (words, number)


def test_no_step_is_left_out() -> None:
    met = {step for _, _, step, _ in EVERYWHERE}
    assert met == {*list_steps("moved"), *list_steps("failed")} - {BEGIN}
    assert {way for way, *_ in EVERYWHERE} == set(WAYS)
