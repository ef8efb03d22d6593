"""One destination of several: deterministic, and never one that a rule refuses."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from lmflow import checks
from lmflow.models import Choice, Finding, HostVerdict, Overview
from lmflow.planner import choose
from tests.support.overviews import overviews

REASON = Finding("host.enabled", "HOST_DISABLED", "it is disabled", "enable it")


def on(name: str, headroom: int | None, *, uuid: str = "", present: bool = False, refused: bool = False) -> HostVerdict:
    findings = (REASON,) if refused else ()
    return HostVerdict(uuid or name, name, present, not (present or refused), findings, headroom)


def test_most_headroom_wins_and_the_others_are_shown() -> None:
    choice = choose([on("a", 99, present=True), on("b", 5), on("c", 7), on("d", 100, refused=True)])
    assert (choice.host_name, choice.because) == ("c", "most free memory of 2 candidates")
    assert [(c.name, c.headroom_bytes) for c in choice.candidates] == [("c", 7), ("b", 5)]
    assert [(r.name, r.findings) for r in choice.refused] == [("d", (REASON,))]
    assert Choice.from_json(choice.to_json()) == choice


def test_ties_go_by_name_then_uuid_and_unknown_sizes_come_last() -> None:
    assert choose([on("c", 5), on("b", 5, uuid="2"), on("b", 5, uuid="1")]).host_uuid == "1"
    assert choose([on("a", None), on("b", -3)]).host_name == "b"
    assert choose([on("a", None)]).host_name == "a"


def test_one_or_none() -> None:
    assert choose([on("a", 1), on("b", 2, refused=True)]).because == "the only candidate"
    assert choose([on("a", 1, present=True), on("b", 2, refused=True)]).because == "no candidate: 1 would refuse it"
    nobody = choose([on("a", 1, present=True)])
    assert (nobody.host_uuid, nobody.because) == ("", "the pool has no other host")


@settings(deadline=None)
@given(st.data(), overviews())
def test_never_the_source_never_a_refused_one_and_stable(data: st.DataObject, pool: Overview) -> None:
    choice = choose(checks.check_hosts(pool, "uuid-v"))
    valid = {v.host_uuid: v for v in checks.check_hosts(pool, "uuid-v") if v.ok}
    assert choice.host_uuid != pool.get_vm("uuid-v").resident_on_uuid
    assert (choice.host_uuid in valid) == bool(valid)
    if valid:
        best = valid[choice.host_uuid].headroom_bytes
        assert all(v.headroom_bytes is None or (best is not None and best >= v.headroom_bytes) for v in valid.values())
    shuffled = dataclasses.replace(pool, hosts=tuple(data.draw(st.permutations(pool.hosts))))
    assert choose(checks.check_hosts(shuffled, "uuid-v")) == choice
    verdicts = data.draw(st.permutations(checks.check_hosts(pool, "uuid-v")))
    assert choose(verdicts) == choice
