"""Outcomes and reports in sentences, and the same as data."""

import pytest

from lmflow.cli import sentences
from lmflow.cli.formatters import Nested
from lmflow.models import Finding, RunState, StatusLine, StatusReport, Try, WhyReport, XapiError
from tests.support.answers import make_outcome, make_run


def test_success_says_how_long_and_after_how_many_interruptions() -> None:
    outcome = make_outcome(
        seconds=42.0, interruptions=1, vm_state="web-02 runs on xcp-c", summary="web-02 runs on xcp-c"
    )
    assert list(sentences.tell_outcome(outcome)) == [
        "run a1c9f00d  web-02  xcp-a -> xcp-c  SUCCESS (42.0 s, 1 interruption)",
        "  the VM   web-02 runs on xcp-c",
    ]


def test_where_the_vm_is_stands_before_why_it_failed() -> None:
    outcome = make_outcome(
        RunState.DIRTY,
        summary="the copy broke",
        vm_state="web-02 Running on xcp-a",
        error=XapiError("INTERNAL_ERROR", ("EPIPE",)),
        left=("PBD 12 on xcp-c",),
        advice="lmflow repair a1c9",
    )
    labels = [line.split("  ")[1].strip() for line in sentences.tell_outcome(outcome)]
    assert labels == ["web-02", "the VM", "why", "XAPI", "left", "try"]


def test_a_refusal_says_that_nothing_was_changed_and_gives_each_reason_once() -> None:
    finding = Finding("cpu.features", "VM_INCOMPATIBLE_WITH_THIS_HOST", "xcp-c lacks features", "choose another host")
    lines = list(
        sentences.tell_outcome(make_outcome(RunState.REFUSED, summary="xcp-c lacks features", findings=(finding,)))
    )
    assert "  refused by 1 check, nothing was changed" in lines
    assert sum("xcp-c lacks features" in line for line in lines) == 1


def test_every_host_that_was_tried_has_a_line_with_its_reason() -> None:
    finding = Finding("host.enabled", "HOST_DISABLED", "xcp-d is disabled", "enable it")
    tries = (
        Try("xcp-b", RunState.FAILED, run_uuid="0123456789", because="its storage cannot be plugged"),
        Try("xcp-c", RunState.SUCCESS, run_uuid="abcdefabcd"),
        Try("xcp-d", RunState.REFUSED, findings=(finding,)),
    )
    outcome = make_outcome(tries=tries)
    assert list(sentences.tell_outcome(outcome))[-3:] == [
        "  tries    xcp-b  failed (run 01234567): its storage cannot be plugged",
        "           xcp-c  success (run abcdefab)",
        "           xcp-d  refused, not tried: xcp-d is disabled [HOST_DISABLED]",
    ]
    row = dict(zip(sentences.OUTCOME_COLUMNS, sentences.make_outcome_row(outcome, 0), strict=True))
    assert row["tries"].machine_readable() == [each.to_json() for each in tries]
    assert row["tries"].human_readable().splitlines()[1] == "xcp-c: success (run abcdefab)"


def test_already_there_says_that_nothing_was_sent() -> None:
    (line,) = sentences.tell_outcome(make_outcome(already_there=True))
    assert line == "web-02  already there: it runs on xcp-c, nothing was sent"


def test_the_row_of_an_outcome_has_all_columns_and_keeps_structure_for_machines() -> None:
    finding = Finding("r", "CODE", "message", "remedy")
    outcome = make_outcome(RunState.REFUSED, findings=(finding,), error=XapiError("X", ("1",)))
    row = dict(zip(sentences.OUTCOME_COLUMNS, sentences.make_outcome_row(outcome, 3), strict=True))
    assert row["exit_code"] == 3
    assert isinstance(row["findings"], Nested)
    assert row["findings"].machine_readable() == [finding.to_json()]
    assert row["findings"].human_readable() == "CODE: message"
    assert row["error"].machine_readable() == {"code": "X", "params": ["1"]}


def test_status_begins_with_the_headline_and_with_what_needs_a_person() -> None:
    run = make_run(RunState.RUNNING)
    lines = (
        StatusLine(run, "running", 3.0),
        StatusLine(run, "interrupted", 240.0, vm_state="Running on xcp-a", advice="lmflow resume a1c9"),
    )
    told = list(sentences.tell_status(StatusReport("No VM is down.", lines)))
    assert told[0] == "No VM is down."
    assert "INTERRUPTED for 4 min" in told[1]
    assert "RUNNING for 3 s" in told[-1]
    assert [len(sentences.make_status_row(line)) for line in lines] == [len(sentences.STATUS_COLUMNS)] * 2


def test_why_has_one_recommendation_and_fits_a_ticket() -> None:
    report = WhyReport(make_run(RunState.UNKNOWN), "await RUNNING", ("one " * 40, "two"), "UNKNOWN", "because", "look")
    told = list(sentences.tell_why(report))
    assert max(map(len, told)) <= 80
    assert [line[2:16].strip() for line in told if line[2:16].strip()][1:] == [
        "last written",
        "evidence now",
        "verdict",
        "next",
    ]
    assert len(sentences.make_why_row(report)) == len(sentences.WHY_COLUMNS)


@pytest.mark.parametrize(
    ("seconds", "told"), [(-1, "0 s"), (59, "59 s"), (61, "1 min"), (7200, "2 h"), (200000, "2 d")]
)
def test_ages_are_told_as_people_tell_them(seconds: float, told: str) -> None:
    assert sentences.describe_age(seconds) == told
