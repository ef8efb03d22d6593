"""Pictures of runs: what the database remembers, over the definition."""

import pytest

from lmflow import visualize
from lmflow.models import Attempt, Event, Run, RunState
from lmflow.visualize import Picture
from tests.support import answers
from tests.support.stored_runs import CRASHED, Row
from tests.support.stored_runs import draw_run as draw


def make_run(state: RunState = RunState.RUNNING, summary: str = "") -> Run:
    return answers.make_run(state, summary)


def make_events(*rows: tuple[float, str, dict[str, str]]) -> list[Event]:
    return [Event(number, "a1c9", at, kind, 1, data) for number, (at, kind, data) in enumerate(rows, start=1)]


def find(picture: Picture, name: str) -> visualize.Node:
    (node,) = (node for node in picture.nodes if node.id == name)
    return node


ATTEMPT = Attempt("t", "a1c9", 1, "accepted", 0.0, "s", progress=0.43)


def test_a_crash_shows_its_frontier_and_progress() -> None:
    picture = draw(make_run(), CRASHED, attempts=(ATTEMPT,), interrupted=True)
    assert picture.frontier == ("await_pool_migrate",)
    text = visualize.render(picture)
    (line,) = (line for line in text.splitlines() if "await_pool_migrate" in line)
    assert "43 %" in line
    assert "interrupted here" in line
    assert "web-02  xcp-a → xcp-c" in text
    assert "(interrupted here)" in visualize.render(picture, "mermaid")


def test_a_run_that_goes_on_has_no_frontier() -> None:
    assert not draw(make_run(), CRASHED, attempts=(ATTEMPT,)).frontier


@pytest.mark.parametrize("state", [RunState.SUSPENDED, RunState.UNKNOWN])
def test_a_run_let_go_of_has_its_frontier(state: RunState) -> None:
    assert draw(make_run(state), CRASHED).frontier == ("await_pool_migrate",)


def test_atoms_that_the_database_does_not_know_have_not_begun() -> None:
    picture = draw(make_run(), [Row("record_intent", "RUNNING")])
    assert find(picture, "record_intent").state == "RUNNING"
    assert {n.state for n in picture.nodes if n.id != "record_intent"} == {"PENDING"}


def test_durations_and_attempts_come_from_the_events() -> None:
    atom = "await_pool_migrate"
    events = make_events(
        (10.0, "atom", {"atom": "observe", "state": "RUNNING"}),
        (10.5, "atom", {"atom": "observe", "state": "SUCCESS"}),
        (11.0, "atom", {"atom": atom, "state": "RUNNING"}),
        (60.0, "atom", {"atom": atom, "state": "RUNNING"}),
        (62.0, "atom", {"atom": atom, "state": "SUCCESS"}),
    )
    picture = draw(make_run(RunState.SUCCESS), [Row(atom, "SUCCESS")], events=events, attempts=(ATTEMPT,))
    assert find(picture, "observe").seconds == 0.5
    assert find(picture, atom).seconds == 2.0
    assert find(picture, atom).attempts == 2
    assert find(picture, atom).progress is None, "the progress of what has ended is old news"
    assert "(begun 2 times)" in visualize.render(picture)


def test_a_failure_shows_its_code_and_what_could_not_be_undone() -> None:
    rows = [
        Row("connect_storage", "REVERTED"),
        Row("await_pool_migrate", "FAILURE", "VM.pool_migrate failed with HOST_NOT_ENOUGH_FREE_MEMORY ['5', '4']"),
        Row("validate_sr", "REVERT_FAILURE", "validate_sr: it broke"),
    ]
    events = make_events((1.0, "left", {"task": "connect_storage", "text": "PBD 12 is still plugged"}))
    text = visualize.render(draw(make_run(RunState.DIRTY, "left a PBD"), rows, events=events), ascii_only=True)
    assert "XX await_pool_migrate  FAILED  HOST_NOT_ENOUGH_FREE_MEMORY" in text
    assert "connect_storage left: PBD 12 is still plugged" in text
    assert "validate_sr: NOT UNDONE validate_sr: it broke" in text
    assert "DIRTY: left a PBD" in text
    assert "XX FAILED" in text.splitlines()[-1], "a legend explains the marks"
