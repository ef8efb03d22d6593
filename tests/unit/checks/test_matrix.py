"""The rules on every host: who is asked, what holds everywhere, how memory is counted."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings

from lmflow import checks
from lmflow.models import Overview, Site, XapiError
from tests.support.overviews import GIB, make_host, make_overview, make_vm, overviews

A, B, C = make_host("a"), make_host("b", memory_overhead_bytes=GIB), make_host("c", enabled=False)
V = make_vm("v", "a", memory_overhead_bytes=10)
POOL = make_overview([C, A, B], [V, make_vm("w", "b"), make_vm("off", None)])


def test_each_host_by_name_with_what_would_be_left() -> None:
    told = [(v.host_name, v.present, v.ok, v.headroom_bytes) for v in checks.check_hosts(POOL, V.uuid)]
    assert told == [
        ("a", True, False, 30 * GIB - 10),
        ("b", False, True, 27 * GIB - 10),
        ("c", False, False, 30 * GIB - 10),
    ]


def test_memory_counts_who_is_there_and_who_is_coming() -> None:
    coming = dataclasses.replace(V, scheduled_to_be_resident_on_uuid=B.uuid)
    pool = make_overview([A, B], [coming, make_vm("w", "b")])
    assert pool.find_free_bytes(A.uuid) == 30 * GIB - 10
    assert pool.find_free_bytes(B.uuid) == 27 * GIB - 10
    back = dataclasses.replace(V, scheduled_to_be_resident_on_uuid=A.uuid)
    assert make_overview([A], [back]).find_free_bytes(A.uuid) == 30 * GIB - 10


def test_a_host_without_metrics_has_no_known_size() -> None:
    pool = make_overview([A, make_host("d", memory_total_bytes=0)], [V])
    assert pool.find_free_bytes("uuid-d") is None
    assert [v.headroom_bytes for v in checks.check_hosts(pool, V.uuid)][1] is None


def test_a_reason_of_the_vm_holds_everywhere() -> None:
    (reason,) = checks.check_anywhere(POOL, "uuid-off")
    assert reason.code == "VM_BAD_POWER_STATE"
    verdicts = checks.check_hosts(POOL, "uuid-off")
    assert len(verdicts) == 3
    assert all(reason in v.findings and not v.present and not v.ok for v in verdicts)


def test_a_dead_source_holds_everywhere() -> None:
    pool = make_overview([dataclasses.replace(A, live=False), B], [V])
    assert [f.code for f in checks.check_anywhere(pool, V.uuid)] == ["HOST_OFFLINE"]


def test_the_answer_of_the_pool_is_the_last_word() -> None:
    big = make_vm("big", "a", memory_dynamic_min_bytes=100 * GIB)
    pool = make_overview([A, B, C], [big])
    assert checks.find_askable(pool, big.uuid) == (B.uuid,)
    guessed, yes, no = (
        checks.check_hosts(pool, big.uuid, answers)[1]
        for answers in ({}, {B.uuid: None}, {B.uuid: XapiError("VM_REQUIRES_IOMMU")})
    )
    assert ([f.rule for f in guessed.findings], guessed.asked_pool) == (["memory.estimate"], False)
    assert (yes.ok, yes.findings, yes.asked_pool) == (True, (), True)
    assert ([f.rule for f in no.findings], no.ok) == (["host.answer", "memory.estimate"], False)


def test_a_warning_refuses_only_where_that_is_asked_for() -> None:
    pool = make_overview([A, dataclasses.replace(B, agent_start_time="9.")], [V])
    noted, strict = (checks.check_hosts(pool, V.uuid, strict=strict)[1] for strict in (False, True))
    assert (noted.ok, noted.findings, [f.code for f in noted.warnings]) == (True, (), ["TOOLSTACK_RESTARTED"])
    assert (strict.ok, [f.code for f in strict.findings], strict.warnings) == (False, ["TOOLSTACK_RESTARTED"], ())
    assert [checks.find_askable(pool, V.uuid, strict=strict) for strict in (False, True)] == [(B.uuid,), ()]


def test_a_rule_that_is_switched_off_is_not_asked_anywhere() -> None:
    site = Site(rules_off=("host.enabled", "vm.power_state"))
    assert [v.ok for v in checks.check_hosts(POOL, V.uuid, site=site)] == [False, True, True]
    assert [f.rule for f in checks.check_anywhere(POOL, "uuid-off", site)] == ["vm.allowed"]
    assert checks.find_askable(POOL, V.uuid, site) == (B.uuid, C.uuid)


def test_a_vm_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        checks.check_hosts(POOL, "nobody")


@settings(deadline=None)
@given(overviews())
def test_ok_means_no_finding_and_not_there_already(pool: Overview) -> None:
    verdicts = checks.check_hosts(pool, "uuid-v")
    assert all(v.ok == (not v.present and not v.findings) for v in verdicts)
    assert sum(v.present for v in verdicts) == (pool.get_vm("uuid-v").resident_on_uuid is not None)
    anywhere = checks.check_anywhere(pool, "uuid-v")
    assert all(set(anywhere) <= set(v.findings) for v in verdicts if not v.present)
    names = {v.host_name for v in verdicts}
    theirs = (f for v in verdicts for f in v.findings if f not in anywhere for name in [v.host_name] if name in names)
    assert all(f.message for f in theirs)
