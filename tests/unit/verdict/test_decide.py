"""The table of verdicts, row by row, and what holds in every row."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from lmflow.models import TaskView, WitnessView, XapiError, XenopsTask
from lmflow.verdict import Evidence, Sent, VerdictKind, decide, is_ordered

SOURCE, DESTINATION, THIRD = "host-s", "host-d", "host-x"
ON_SOURCE = Evidence(
    source_uuid=SOURCE,
    destination_uuid=DESTINATION,
    sent=Sent.ACCEPTED,
    power_state="Running",
    resident_on_uuid=SOURCE,
    ref_digits="18444f577ece",
)


def task(status: str, code: str = "", *params: str) -> TaskView:
    error = XapiError(code, params) if code else None
    return TaskView("t", "Async.VM.pool_migrate", status, 0.5, cancellable=True, error=error)


def witnesses(source: str | None, destination: str | None, **kwargs: bool) -> tuple[WitnessView, ...]:
    return (
        WitnessView(DESTINATION, answered=True, power_state=destination, incoming=kwargs.get("incoming", False)),
        WitnessView(SOURCE, answered=True, power_state=source),
    )


def seen(**changes: object) -> Evidence:
    return dataclasses.replace(ON_SOURCE, **changes)  # type: ignore[arg-type]


BEFORE = {"sent": Sent.NOTHING}
ARRIVED = {"resident_on_uuid": DESTINATION}
HALTED = {"power_state": "Halted", "resident_on_uuid": None}
GONE = {"power_state": "", "resident_on_uuid": None}
SETTLED = {"settled": True}
RESTARTED = {"restarted": (SOURCE,)}
MAYBE = {"sent": Sent.MAYBE, "ref_digits": ""}
AT_WORK = (
    WitnessView(DESTINATION, answered=True, incoming=True),
    WitnessView(SOURCE, answered=True, power_state="Running", tasks=(XenopsTask("", "18444f577ece", "Pending"),)),
)
REFUSED_WITNESS = (WitnessView(SOURCE, answered=False), WitnessView(DESTINATION, answered=False))
BROKE = task("failure", "INTERNAL_ERROR", "xenopsd internal error")

ROWS = [
    ("nothing sent, on the source", BEFORE, "redo"),
    ("nothing sent, there already", {**BEFORE, **ARRIVED}, "conclude"),
    ("nothing sent, halted", {**BEFORE, **HALTED}, "roll_back"),
    ("nothing sent, VM gone", {**BEFORE, "power_state": "", "resident_on_uuid": None}, "roll_back"),
    ("said before: moved", {"sent": Sent.MOVED}, "conclude"),
    ("said before: stayed", {"sent": Sent.STAYED}, "roll_back"),
    ("task pending", {"task": task("pending")}, "re_attach"),
    ("success, arrived", {"task": task("success"), **ARRIVED}, "conclude"),
    ("success, guest has shut down since", {"task": task("success"), **HALTED}, "conclude"),
    ("success, moved on since", {"task": task("success"), "resident_on_uuid": THIRD}, "conclude"),
    ("success, moved back since", {"task": task("success")}, "roll_back"),
    ("success, XAPI shows the source after a restart", {"task": task("success"), "restarted": (SOURCE,)}, "wait"),
    ("cancelled, on the source", {"task": task("cancelled")}, "roll_back"),
    ("an ordered check", {"task": task("failure", "HOST_DISABLED", "h")}, "roll_back"),
    ("an ordered check, lower-case power state", {"task": task("failure", "VM_BAD_POWER_STATE", "v", "running", "halted")}, "roll_back"),
    ("power state from xenopsd", {"task": task("failure", "VM_BAD_POWER_STATE", "v", "Halted", "Running")}, "wait"),
    ("failed otherwise, at once", {"task": BROKE}, "wait"),
    ("failed otherwise, overdue", {"task": BROKE, "overdue": True}, "unknown"),
    ("failed otherwise, settled", {"task": BROKE, **SETTLED}, "ask"),
    ("failed, on the source by the witness", {"task": BROKE, **SETTLED, "witness": witnesses("Running", None)}, "roll_back"),
    ("failed, arrived by the witness, XAPI shows source", {"task": BROKE, **SETTLED, "witness": witnesses(None, "Running")}, "conclude"),
    ("failed, Halted in XAPI, arrived", {"task": BROKE, **HALTED, **SETTLED, "witness": witnesses("Halted", "Running")}, "conclude"),
    ("failed, nowhere", {"task": BROKE, **SETTLED, "witness": witnesses(None, None)}, "unknown"),
    ("failed, on both", {"task": BROKE, **SETTLED, "witness": witnesses("Running", "Running")}, "unknown"),
    ("failed, paused there", {"task": BROKE, **SETTLED, "witness": witnesses(None, "Paused")}, "unknown"),
    ("failed, source shown Running, no witness", {"task": BROKE, **SETTLED, "witness": REFUSED_WITNESS}, "unknown"),
    ("failed, shown on an undisturbed destination, no witness", {"task": BROKE, **ARRIVED, **SETTLED, "witness": ()}, "conclude"),
    (
        "failed, shown on an undisturbed destination that does not know it",
        {"task": BROKE, **ARRIVED, **SETTLED, "witness": (WitnessView(DESTINATION, answered=True),)},
        "unknown",
    ),
    (
        "failed, shown on a restarted destination, no witness",
        {"task": BROKE, **ARRIVED, **SETTLED, "witness": (), "restarted": (DESTINATION,)},
        "unknown",
    ),
    ("task gone, copy in flight", {**SETTLED, "witness": witnesses("Running", None, incoming=True)}, "wait"),
    ("task gone, its copy in flight", {**SETTLED, "witness": AT_WORK}, "re_attach"),
    ("cancelled, VM gone since", {"task": task("cancelled"), **GONE}, "roll_back"),
    ("an ordered check, VM gone since", {"task": task("failure", "HOST_DISABLED", "h"), **GONE}, "roll_back"),
    ("cancelled, a restart since", {"task": task("cancelled"), **RESTARTED}, "wait"),
    ("cancelled, a restart, no witness", {"task": task("cancelled"), **RESTARTED, **SETTLED, "witness": REFUSED_WITNESS}, "roll_back"),
    ("cancelled, a restart, shown there, no witness", {"task": task("cancelled"), **ARRIVED, "restarted": (DESTINATION,), **SETTLED, "witness": ()}, "conclude"),
    (
        "cancelled, a restart, only the destination answers: it runs there",
        {"task": task("cancelled"), **RESTARTED, **SETTLED, "witness": (WitnessView(DESTINATION, answered=True, power_state="Running"),)},
        "unknown",
    ),
    ("cancelled, off since, a restart", {"task": task("cancelled"), **HALTED, **RESTARTED, **SETTLED, "witness": witnesses(None, None)}, "roll_back"),
    ("cancelled, a ghost after a restart", {"task": task("cancelled"), **RESTARTED, **SETTLED, "witness": witnesses(None, None)}, "unknown"),
    ("success, off since, a restart", {"task": task("success"), **HALTED, **RESTARTED, **SETTLED, "witness": witnesses(None, None)}, "conclude"),
    ("success, off since, a restart, no witness", {"task": task("success"), **HALTED, **RESTARTED, **SETTLED, "witness": REFUSED_WITNESS}, "conclude"),
    ("success, shown back after a restart, no witness", {"task": task("success"), **RESTARTED, **SETTLED, "witness": REFUSED_WITNESS}, "unknown"),
    ("task gone, on the source", {**SETTLED, "witness": witnesses("Running", None)}, "roll_back"),
    ("task gone, arrived", {**SETTLED, **HALTED, "witness": witnesses(None, "Running")}, "conclude"),
    ("no reply, nothing to be seen", {**MAYBE, **SETTLED, "witness": witnesses("Running", None)}, "redo"),
    ("no reply, a rival that may be ours", {**MAYBE, **SETTLED, "rivals": 1, "witness": witnesses("Running", None)}, "re_attach"),
    (
        "no reply, restarted since, a rival that may be ours",
        {**MAYBE, **SETTLED, "restarted": (SOURCE,), "rivals": 1, "witness": witnesses("Running", None)},
        "re_attach",
    ),
    ("no reply, restarted since", {**MAYBE, **SETTLED, "restarted": (SOURCE,), "witness": witnesses("Running", None)}, "roll_back"),
    ("no reply, arrived", {**MAYBE, **ARRIVED, **SETTLED, "witness": witnesses(None, "Running")}, "conclude"),
    ("no reply, its trace may be gone", {**MAYBE, **SETTLED, "traceable": False, "witness": witnesses("Running", None)}, "roll_back"),
    ("no reply, no witness", {**MAYBE, **SETTLED, "witness": REFUSED_WITNESS}, "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_row(changes: dict[str, object], expected: str) -> None:
    assert decide(seen(**changes)).kind.value == expected


TASKS = (None, task("pending"), task("success"), task("cancelled"), BROKE, task("failure", "HOST_DISABLED", "h"))
PLACES = (("Running", SOURCE), ("Running", DESTINATION), ("Running", THIRD), ("Halted", None), ("", None))
TOLD = (None, "Running", "Halted", "Paused")
ANSWERS = [
    None,
    (),
    REFUSED_WITNESS,
    (WitnessView(DESTINATION, answered=True, power_state="Running"), WitnessView(SOURCE, answered=False)),
    *(witnesses(s, d) for s, d in itertools.product(TOLD, TOLD)),
    *(witnesses(s, None, incoming=True) for s in TOLD),
]


def every_evidence() -> Iterator[Evidence]:
    """Every combination that can make a difference, some seventy thousand."""
    restarts: tuple[tuple[str, ...], ...] = ((), (SOURCE,), (DESTINATION,))
    settling = ((False, False), (False, True), (True, False))
    for sent, (power_state, host), seen_task, rivals, restarted, (settled, overdue), answers in itertools.product(
        Sent, PLACES, TASKS, (0, 1), restarts, settling, ANSWERS
    ):
        for traceable in (True, False) if sent is Sent.MAYBE else (True,):
            yield Evidence(
                SOURCE, DESTINATION, sent, power_state, host, task=seen_task, rivals=rivals, restarted=restarted,
                settled=settled, overdue=overdue, witness=answers, traceable=traceable,
            )  # fmt: skip


@pytest.fixture(scope="module")
def judged() -> list[tuple[Evidence, VerdictKind]]:
    return [(evidence, decide(evidence).kind) for evidence in every_evidence()]


def test_every_combination_has_a_verdict_and_every_verdict_occurs(judged: list[tuple[Evidence, VerdictKind]]) -> None:
    counts = Counter(kind for _, kind in judged)
    assert set(counts) == set(VerdictKind)
    assert min(counts.values()) >= 5


def test_what_may_have_been_sent_is_sent_again_only_after_both_witnesses_saw_it_stay(
    judged: list[tuple[Evidence, VerdictKind]],
) -> None:
    redone = [e for e, kind in judged if kind is VerdictKind.REDO and e.sent is not Sent.NOTHING]
    assert redone
    for evidence in redone:
        source, destination = evidence.testimony(SOURCE), evidence.testimony(DESTINATION)
        assert evidence.sent is Sent.MAYBE
        assert evidence.settled
        assert evidence.traceable
        assert not evidence.restarted
        assert not evidence.rivals
        assert evidence.task is None
        assert source is not None
        assert source.power_state == "Running"
        assert destination is not None
        assert destination.power_state in (None, "Halted")
        assert not destination.incoming


def test_nothing_is_rolled_back_under_a_vm_that_may_be_on_the_destination(
    judged: list[tuple[Evidence, VerdictKind]],
) -> None:
    for evidence in (e for e, kind in judged if kind is VerdictKind.ROLL_BACK and e.sent is not Sent.STAYED):
        destination = evidence.testimony(DESTINATION)
        by_witness = evidence.settled and destination is not None and destination.power_state in (None, "Halted")
        ended = evidence.task is not None and (
            evidence.task.status in ("success", "cancelled") or is_ordered(evidence.task.error)
        )
        unasked = not evidence.restarted or (evidence.settled and (destination is None or by_witness))
        by_view = evidence.sent is Sent.NOTHING or (ended and unasked)
        assert by_witness or (by_view and not evidence.runs_on(DESTINATION))


def test_it_concludes_only_what_somebody_trustworthy_saw(judged: list[tuple[Evidence, VerdictKind]]) -> None:
    for evidence in (e for e, kind in judged if kind is VerdictKind.CONCLUDE and e.sent is not Sent.MOVED):
        destination = evidence.testimony(DESTINATION)
        by_witness = evidence.settled and destination is not None and destination.power_state == "Running"
        by_view = evidence.runs_on(DESTINATION) and (
            evidence.sent is Sent.NOTHING or evidence.task is not None or DESTINATION not in evidence.restarted
        )
        ended = evidence.task is not None and evidence.task.status == "success"
        by_task = ended and (evidence.settled or not evidence.restarted) and not evidence.runs_on(SOURCE)
        assert by_witness or by_view or by_task


def test_a_record_alone_never_says_where_a_vm_is_whose_task_was_lost(
    judged: list[tuple[Evidence, VerdictKind]],
) -> None:
    open_kinds = (VerdictKind.WAIT, VerdictKind.ASK, VerdictKind.UNKNOWN, VerdictKind.RE_ATTACH)
    lost = [
        (e, kind)
        for e, kind in judged
        if e.sent in (Sent.MAYBE, Sent.ACCEPTED) and e.task is None and not e.witness and not e.runs_on(DESTINATION)
    ]
    assert lost
    assert all(kind in open_kinds for _, kind in lost)
