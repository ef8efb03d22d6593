"""What a run's records say of the tries that it was one of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lmflow.models import Event, Finding, Refusal, Run, RunState, Try, XapiError
from lmflow.runner.recall import recall_outcome
from tests.support.answers import make_run

FULL = {"code": "HOST_NOT_ENOUGH_FREE_MEMORY", "params": ["2", "1"]}
DISABLED = Finding("host.enabled", "HOST_DISABLED", "D is disabled", "enable it")
FIRST = Try("xcp-b", RunState.FAILED, run_uuid="1", because="it was full")
FAILED = ("failure", {"task": "submit_pool_migrate", "text": "refused", "error": FULL})
UNTRIED = Refusal("xcp-d", (DISABLED,), "d-uuid")
ENDED = ("no_more_tries", {"because": "none", "state": "failed", "refused": [UNTRIED.to_json()]})


def make_events(*told: tuple[str, Mapping[str, Any]]) -> tuple[Event, ...]:
    return tuple(Event(number, "r", 0.0, kind, 1, data) for number, (kind, data) in enumerate(told, 1))


def make_chosen(state: RunState) -> Run:
    run = make_run(state)
    return dataclasses.replace(run, request=dataclasses.replace(run.request, max_retries=3))


def test_one_host_is_no_table() -> None:
    outcome = recall_outcome(make_chosen(RunState.FAILED), make_events(FAILED))
    assert outcome.tries == ()
    assert "--to" not in outcome.advice


def test_a_try_stands_behind_those_before_it_and_before_those_that_were_not_tried() -> None:
    tried = ("tries", {"tries": [FIRST.to_json()]})
    run = make_chosen(RunState.FAILED)
    outcome = recall_outcome(run, make_events(tried, FAILED, ENDED))
    mine = Try(
        "xcp-c", RunState.FAILED, run.uuid, "refused", error=XapiError(FULL["code"], ("2", "1")),
        host_uuid=run.request.destination_uuid,
    )  # fmt: skip
    assert mine.host_uuid
    assert outcome.tries == (FIRST, mine, Try("xcp-d", RunState.REFUSED, findings=(DISABLED,), host_uuid="d-uuid"))


def test_the_last_try_is_told_as_it_ended_even_where_the_request_ended_otherwise() -> None:
    refused = ("refusal", {"findings": [DISABLED.to_json()]})
    ended = ("no_more_tries", {"because": "none", "state": "refused", "refused": []})
    tried = ("tries", {"tries": [FIRST.to_json()]})
    outcome = recall_outcome(make_chosen(RunState.FAILED), make_events(tried, refused, ended))
    assert outcome.tries[1].state is RunState.REFUSED
    assert outcome.tries[1].findings == (DISABLED,)


def test_a_success_after_a_failed_call_has_no_reason_against_its_host() -> None:
    tried = ("tries", {"tries": [FIRST.to_json()]})
    (_, mine) = recall_outcome(make_chosen(RunState.SUCCESS), make_events(tried, FAILED)).tries
    assert (mine.state, mine.because, mine.error) == (RunState.SUCCESS, "", None)


def test_a_try_that_was_followed_by_another_names_it() -> None:
    handed = ("handed_over", {"run_uuid": "0123456789", "host": "xcp-d"})
    outcome = recall_outcome(make_chosen(RunState.FAILED), make_events(FAILED, handed))
    assert outcome.advice == "lmflow run show 01234567 (the next try)"
