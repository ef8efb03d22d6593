"""The table of verdicts is total, has no dead row, and the laws hold in it whatever is seen.

The laws are written here a second time, over the evidence alone and by nothing of the table's.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmflow.models import TaskView, WitnessView, XapiError, XenopsTask
from lmflow.verdict import Evidence, Sent, Verdict, VerdictKind, decide
from lmflow.verdict.features import FEATURES, read_features
from lmflow.verdict.table import TABLE
from tests.support.evidence import DESTINATION, DIGITS, SOURCE, THIRD, every_evidence

CONCLUDE, ROLL_BACK, REDO, UNKNOWN = (
    VerdictKind.CONCLUDE,
    VerdictKind.ROLL_BACK,
    VerdictKind.REDO,
    VerdictKind.UNKNOWN,
)
OPEN = (VerdictKind.WAIT, VerdictKind.ASK, VerdictKind.RE_ATTACH, UNKNOWN)
REFUSALS = (
    ("HOST_DISABLED", ("h",)),
    ("VM_REQUIRES_SR", ("v", "s")),
    ("VM_BAD_POWER_STATE", ("v", "running", "halted")),
    ("HANDLE_INVALID", ("VM", "v")),
)
"""Failures of the checks that XAPI makes before anything begins."""
BREAKS = (
    ("INTERNAL_ERROR", ("xenopsd internal error",)),
    ("CANNOT_CONTACT_HOST", ("h",)),
    ("VM_BAD_POWER_STATE", ("v", "Halted", "Running")),
    ("HANDLE_INVALID", ("task", "t")),
)
"""Failures that may come when everything has happened already."""


def shows(seen: Evidence, host: str) -> bool:
    return (seen.power_state, seen.resident_on_uuid) == ("Running", host)


def says(seen: Evidence, host: str) -> str | None:
    """Return what a host's own xenopsd says: a state, 'nothing known' or None for no answer."""
    for view in seen.witness or ():
        if view.host_uuid == host and view.answered:
            return view.power_state or "nothing known"
    return None


def is_away(seen: Evidence, host: str) -> bool:
    return says(seen, host) in ("nothing known", "Halted")


def is_arriving(seen: Evidence) -> bool:
    return any(w.incoming for w in seen.witness or () if w.answered and w.host_uuid == DESTINATION)


def is_copying(seen: Evidence) -> bool:
    views = [w for w in seen.witness or () if w.answered]
    ours = any(t.state == "Pending" and t.ref_digits == seen.ref_digits for w in views for t in w.tasks)
    return is_arriving(seen) or (bool(seen.ref_digits) and ours)


def is_open_question(seen: Evidence) -> bool:
    """Something was sent, and no verdict on it is stored."""
    return seen.sent in (Sent.MAYBE, Sent.ACCEPTED)


def has_ended(seen: Evidence, *how: str) -> bool:
    """The task ended so; ``refused`` is a failure by an ordered check."""
    task = seen.task
    if task is None or task.status == "pending":
        return False
    if task.status in ("success", "cancelled"):
        return task.status in how
    told = (task.error.code, task.error.params) if task.error else ("", ())
    return "refused" in how and told in REFUSALS


def is_witnessed(seen: Evidence) -> bool:
    return seen.settled and says(seen, SOURCE) is not None and says(seen, DESTINATION) is not None


def is_witnessed_on(seen: Evidence, host: str) -> bool:
    """Both hosts say that it runs there and not on the other, and nothing is on its way."""
    other = SOURCE if host == DESTINATION else DESTINATION
    return is_witnessed(seen) and says(seen, host) == "Running" and is_away(seen, other) and not is_copying(seen)


def redo_only_what_never_began(seen: Evidence, found: Verdict) -> bool:
    """Law 2: sent again only where nothing may have begun: nothing was sent, or the witness shows that it stayed."""
    if found.kind is not REDO:
        return True
    if seen.sent is Sent.NOTHING:
        return shows(seen, SOURCE)
    traces = seen.task is not None or seen.rivals or seen.restarted or not seen.traceable
    return seen.sent is Sent.MAYBE and not traces and is_witnessed_on(seen, SOURCE)


def nothing_is_reverted_under_it(seen: Evidence, found: Verdict) -> bool:
    """Laws 3 and 4: no revert while it may run on the destination, or be on its way there."""
    if found.kind is not ROLL_BACK or seen.sent is Sent.STAYED:
        return True
    if seen.sent is Sent.NOTHING:
        return not shows(seen, DESTINATION)
    waiting = seen.sent is Sent.MAYBE and seen.rivals and not has_ended(seen, "success", "cancelled", "refused")
    if waiting:  # in the coordinator's queue it outlives a restart of the others
        return False
    by_witness = seen.settled and is_away(seen, DESTINATION) and not is_copying(seen)
    if has_ended(seen, "success", "cancelled", "refused") and not shows(seen, DESTINATION):
        said = says(seen, DESTINATION) if seen.restarted else None
        return by_witness or not seen.restarted or (seen.settled and said is None and not has_ended(seen, "success"))
    return by_witness


def forward_only_where_it_arrived(seen: Evidence, found: Verdict) -> bool:
    """Laws 1 and 4: concluded only where it is shown on the destination, or where the task succeeded."""
    if found.kind is not CONCLUDE or seen.sent is Sent.MOVED:
        return True
    by_witness = is_witnessed_on(seen, DESTINATION)
    over = has_ended(seen, "success", "cancelled", "refused")
    if seen.settled and is_open_question(seen) and not over and is_away(seen, DESTINATION):
        return False
    return by_witness or shows(seen, DESTINATION) or (has_ended(seen, "success") and not shows(seen, SOURCE))


def the_view_settles_only_where_it_may(seen: Evidence, found: Verdict) -> bool:
    """Law 1: without the witness only what was not sent, what ended for certain, or an undisturbed destination."""
    if found.kind in OPEN or not is_open_question(seen) or is_witnessed(seen):
        return True
    undisturbed = seen.settled and shows(seen, DESTINATION) and DESTINATION not in seen.restarted
    return has_ended(seen, "success", "cancelled", "refused") or undisturbed


def a_lost_task_settles_nothing(seen: Evidence, found: Verdict) -> bool:
    """Law 1: neither a task's absence nor its failure speaks for itself, nor what the database shows then."""
    if not is_open_question(seen) or seen.settled or has_ended(seen, "success", "cancelled", "refused"):
        return True
    return found.kind in OPEN


def what_both_hosts_say_at_once_is_for_a_person(seen: Evidence, found: Verdict) -> bool:
    """Law 5: a VM on both hosts is never concluded, redone or rolled back on the ground of what they say."""
    both = says(seen, SOURCE) == says(seen, DESTINATION) == "Running"
    if not (both and is_open_question(seen) and seen.settled):
        return True
    early = has_ended(seen, "success", "cancelled", "refused") and (not seen.restarted or shows(seen, DESTINATION))
    return early or found.kind in OPEN


def what_has_to_be_definite_is(seen: Evidence, found: Verdict) -> bool:
    """Law 5: unknown only where evidence cannot settle; what may still be settled is waited for, asked or watched."""
    if found.kind is not UNKNOWN:
        return True
    known_before = not is_open_question(seen)
    alive = seen.task is not None and seen.task.status == "pending"
    if known_before or alive or is_witnessed_on(seen, SOURCE) or is_witnessed_on(seen, DESTINATION):
        return False
    if not has_ended(seen, "success", "cancelled", "refused"):
        return True
    # What ended for certain is open again only by a restart after which XAPI and the hosts contradict each other.
    return bool(seen.restarted) and (seen.overdue or contradicts(seen))


def contradicts(seen: Evidence) -> bool:
    here, there = says(seen, SOURCE), says(seen, DESTINATION)
    if has_ended(seen, "success"):  # it arrived; XAPI shows it back, and no two hosts confirm that; or both have it
        return shows(seen, SOURCE) or (here, there) == ("Running", "Running")
    if shows(seen, DESTINATION) or shows(seen, SOURCE):
        return says(seen, SOURCE if shows(seen, SOURCE) else DESTINATION) != "Running" or there != "nothing known"
    return there not in (None, "nothing known", "Halted")


def waits_while_the_pool_settles(seen: Evidence, found: Verdict) -> bool:
    """A restart since the submit, or a failure that proves nothing, is not judged before the pool has settled."""
    alive = seen.task is not None and seen.task.status == "pending"
    if not is_open_question(seen) or seen.settled or seen.overdue or alive:
        return True
    if has_ended(seen, "success", "cancelled", "refused") and not seen.restarted:
        return True
    arrived = has_ended(seen, "success") and shows(seen, DESTINATION)
    return arrived or found.kind is VerdictKind.WAIT


def a_copy_in_flight_is_waited_for(seen: Evidence, found: Verdict) -> bool:
    """Whatever XAPI shows of it, while nothing has ended for certain."""
    judged = is_open_question(seen) and seen.settled and is_copying(seen)
    if not judged or has_ended(seen, "success", "cancelled", "refused"):
        return True
    return found.kind in (VerdictKind.WAIT, VerdictKind.RE_ATTACH)


LAWS: Mapping[str, Callable[[Evidence, Verdict], bool]] = {
    law.__name__: law
    for law in (
        redo_only_what_never_began,
        nothing_is_reverted_under_it,
        forward_only_where_it_arrived,
        the_view_settles_only_where_it_may,
        a_lost_task_settles_nothing,
        what_both_hosts_say_at_once_is_for_a_person,
        what_has_to_be_definite_is,
        waits_while_the_pool_settles,
        a_copy_in_flight_is_waited_for,
    )
}


def find_broken(seen: Evidence, found: Verdict) -> list[str]:
    return [name for name, law in LAWS.items() if not law(seen, found)]


@functools.cache
def judge_all() -> Mapping[str, list[tuple[Evidence, Verdict]]]:
    """Judge every combination once; by the name of the row that fits."""
    judged: dict[str, list[tuple[Evidence, Verdict]]] = {row.name: [] for row in TABLE}
    for seen in every_evidence():
        found = decide(seen)
        judged[found.row].append((seen, found))
    return judged


@pytest.mark.parametrize("row", [row.name for row in TABLE])
def test_no_row_is_dead_and_the_laws_hold_in_it(row: str) -> None:
    assert judge_all()[row]
    for seen, found in judge_all()[row]:
        assert not find_broken(seen, found), (find_broken(seen, found), found, seen)


errors = st.sampled_from([XapiError(code, params) for code, params in (*REFUSALS, *BREAKS)])
tasks = st.none() | st.builds(
    TaskView,
    uuid=st.just("t"),
    name_label=st.just("Async.VM.pool_migrate"),
    status=st.sampled_from(["pending", "success", "cancelled", "cancelling", "failure"]),
    progress=st.floats(0, 1),
    cancellable=st.booleans(),
)
entries = st.builds(
    XenopsTask,
    label=st.just("Async.VM.pool_migrate"),
    ref_digits=st.sampled_from([DIGITS, "000000000000", ""]),
    state=st.sampled_from(["Pending", "Completed", "Failed"]),
)
views = st.builds(
    WitnessView,
    host_uuid=st.sampled_from([SOURCE, DESTINATION, THIRD]),
    answered=st.booleans(),
    power_state=st.sampled_from([None, "Running", "Halted", "Paused", "Suspended"]),
    incoming=st.booleans(),
    tasks=st.lists(entries, max_size=2).map(tuple),
)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Draw what a look can bring, beyond the combinations that are known to matter."""
    task = draw(tasks)
    if task is not None and task.status == "failure":
        task = dataclasses.replace(task, error=draw(errors))
    answers = draw(st.none() | st.lists(views, max_size=3, unique_by=lambda view: view.host_uuid).map(tuple))
    sent = draw(st.sampled_from(Sent))
    return Evidence(
        source_uuid=SOURCE,
        destination_uuid=DESTINATION,
        sent=sent,
        power_state=draw(st.sampled_from(["Running", "Halted", "Paused", "Suspended", ""])),
        resident_on_uuid=draw(st.sampled_from([None, SOURCE, DESTINATION, THIRD])),
        task=task,
        rivals=draw(st.integers(0, 3)) if sent is Sent.MAYBE else 0,
        restarted=draw(st.lists(st.sampled_from([SOURCE, DESTINATION, THIRD]), unique=True).map(tuple)),
        settled=draw(st.booleans()),
        overdue=draw(st.booleans()),
        witness=answers,
        ref_digits=draw(st.sampled_from(["", DIGITS])),
        traceable=draw(st.booleans()),
        decided=draw(st.booleans()),
    )


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(seen=evidences())
def test_the_laws_hold_in_whatever_is_seen(seen: Evidence) -> None:
    found = decide(seen)
    assert not find_broken(seen, found), (find_broken(seen, found), found)
    assert found == decide(dataclasses.replace(seen))
    assert found.because
    assert "{" not in found.because


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(seen=evidences())
def test_each_feature_has_one_of_its_values_and_the_first_row_that_fits_is_the_verdict(seen: Evidence) -> None:
    features = read_features(seen)
    assert all(value in FEATURES[name].values for name, value in features.items())
    fitting = [row for row in TABLE if all(features[name] in values for name, values in row.when.items())]
    found = decide(seen)
    assert (found.row, found.kind, found.by) == (fitting[0].name, fitting[0].kind, fitting[0].by)


def test_rows_have_names_of_their_own_and_conditions_that_are_values() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)
    for row in TABLE:
        assert row.rests_on.startswith(("law ", "fact: ")), row.name
        assert all(values and values < set(FEATURES[name].values) for name, values in row.when.items()), row.name
    used = {name for row in TABLE for name in row.when}
    assert used == set(FEATURES), "a feature that no row asks for"


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("pool-settling", ROLL_BACK),
        ("task-pending", CONCLUDE),
        ("copy-in-flight", ROLL_BACK),
        ("rival-may-be-ours", REDO),
        ("unwitnessed", ROLL_BACK),
        ("unwitnessed", REDO),
        ("witness-on-both", CONCLUDE),
        ("witness-on-neither", CONCLUDE),
        ("witness-on-the-destination", ROLL_BACK),
        ("witness-on-the-destination", UNKNOWN),
        ("witness-on-the-source", CONCLUDE),
        ("witness-on-the-source", REDO),
        ("witness-on-the-source", UNKNOWN),
        ("task-cancelled", UNKNOWN),
        ("nothing-sent-there-already", REDO),
    ],
)
def test_a_row_with_another_verdict_would_break_a_law(row: str, kind: VerdictKind) -> None:
    judged = judge_all()[row]
    assert any(find_broken(seen, dataclasses.replace(found, kind=kind)) for seen, found in judged)


@pytest.mark.parametrize("row", ["pool-settling", "copy-in-flight", "rival-may-be-ours", "witness-on-both"])
def test_without_a_row_a_law_would_break(row: str) -> None:
    total = dataclasses.replace(TABLE[-1], when={})
    table = (*(each for each in TABLE if each.name != row), total)
    assert any(find_broken(seen, decide(seen, table)) for seen, _ in judge_all()[row])
