"""One destination of several: deterministic, and never one that a rule refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmflow import checks
from lmflow.models import VM, Choice, Finding, Host, HostVerdict, Overview, Pool, VMGroup
from lmflow.planner import HostFacts, Rank, choose, make_facts
from lmflow.planner.strategies import rank_by_headroom, rank_by_pack, rank_by_spread
from tests.support.overviews import overviews
from tests.support.strategies import rank_with

GIB = 2**30
REASON = Finding("host.enabled", "HOST_DISABLED", "it is disabled", "enable it")
RANKS = {name: rank_with(f) for name, f in (("h", rank_by_headroom), ("s", rank_by_spread), ("p", rank_by_pack))}


def on(name: str, headroom: int | None, *, uuid: str = "", present: bool = False, refused: bool = False) -> HostVerdict:
    findings = (REASON,) if refused else ()
    return HostVerdict(uuid or name, name, present, not (present or refused), findings, headroom)


def pick(verdicts: Sequence[HostVerdict], rank: Rank = RANKS["h"], **told: HostFacts) -> Choice:
    known = {v.host_uuid: HostFacts(v.host_uuid, v.host_name, v.headroom_bytes) for v in verdicts}
    return choose(verdicts, known | told, rank)


def test_most_headroom_wins_and_the_others_are_shown_with_their_reasons() -> None:
    choice = pick([on("a", 99, present=True), on("b", 5 * GIB), on("c", 7 * GIB), on("d", 100, refused=True)])
    assert (choice.host_name, choice.because) == ("c", "most free memory of 2 candidates")
    assert choice.candidates[0].uuid == choice.host_uuid
    assert [(c.name, c.headroom_bytes, c.because) for c in choice.candidates] == [
        ("c", 7 * GIB, "most free memory"),
        ("b", 5 * GIB, "5.0 GiB would be left"),
    ]
    assert [(r.name, r.findings) for r in choice.refused] == [("d", (REASON,))]
    assert Choice.from_json(choice.to_json()) == choice


def test_ties_go_by_name_then_uuid_and_unknown_sizes_come_last() -> None:
    assert pick([on("c", 5), on("b", 5, uuid="2"), on("b", 5, uuid="1")]).host_uuid == "1"
    unknown = pick([on("a", None), on("b", -3)])
    assert (unknown.host_name, unknown.candidates[1].because) == ("b", "its size is unknown")
    assert pick([on("a", None)]).host_name == "a"


def test_one_or_none() -> None:
    assert pick([on("a", 1), on("b", 2, refused=True)]).because == "the only candidate"
    assert pick([on("a", 1, present=True), on("b", 2, refused=True)]).because == "no candidate: 1 would refuse it"
    nobody = pick([on("a", 1, present=True)])
    assert (nobody.host_uuid, nobody.because) == ("", "the pool has no other host")


def test_spread_counts_running_vms_first_and_then_memory() -> None:
    verdicts = [on("a", 9), on("b", 5), on("c", 7)]
    busy = {v.host_uuid: HostFacts(v.host_uuid, v.host_name, v.headroom_bytes, running_vms=1) for v in verdicts}
    busy["a"] = dataclasses.replace(busy["a"], running_vms=2)
    choice = pick(verdicts, RANKS["s"], **busy)
    assert [(c.name, c.because) for c in choice.candidates] == [
        ("c", "fewest running VMs"),
        ("b", "1 running VM"),
        ("a", "2 running VMs"),
    ]


def test_pack_takes_the_least_memory_that_suffices_and_then_the_most_vms() -> None:
    verdicts = [on("a", 9), on("b", 5), on("c", 5), on("d", -1), on("e", None)]
    crowd = HostFacts("c", "c", 5, running_vms=3)
    choice = pick(verdicts, RANKS["p"], c=crowd)
    assert [c.name for c in choice.candidates] == ["c", "b", "a", "d", "e"]
    assert choice.because == "least free memory that suffices of 5 candidates"


def test_hosts_with_fewer_vms_of_the_same_group_go_first() -> None:
    verdicts = [on("a", 9 * GIB), on("b", 5 * GIB), on("c", 7 * GIB)]
    told = {"a": HostFacts("a", "a", 9 * GIB, peers=2), "b": HostFacts("b", "b", 5 * GIB, peers=1)}
    choice = pick(verdicts, **told)
    assert choice.because == "fewest VMs of its anti-affinity groups (0) of 3 candidates"
    assert [(c.name, c.because) for c in choice.candidates] == [
        ("c", "no VMs of its anti-affinity groups there; 7.0 GiB would be left"),
        ("b", "1 VM of its anti-affinity groups there; 5.0 GiB would be left"),
        ("a", "2 VMs of its anti-affinity groups there; most free memory"),
    ]


def vm(uuid: str, host: str | None, *groups: str, **more: object) -> VM:
    plain = VM(uuid, uuid, "Running", host, None, group_uuids=groups)
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("placement", "peers"), [("anti_affinity", 1), ("normal", 0)])
def test_facts_count_guests_that_run_and_those_of_the_same_anti_affinity_group(placement: str, peers: int) -> None:
    overview = Overview(
        observed_at=0.0,
        pool=Pool("p", "p", "a"),
        hosts=(make_host("a"), make_host("b")),
        vms=(
            vm("v", "a", "g"),
            vm("same", "b", "g"),
            vm("other", "b", "h"),
            vm("alone", "b"),
            vm("dom0", "b", "g", is_control_domain=True),
            vm("halted", None, "g", power_state="Halted"),
        ),
        groups=(VMGroup("g", "g", placement), VMGroup("h", "h", "anti_affinity")),
    )
    facts = make_facts(overview, "v", [on("a", 1, present=True), on("b", 2)])
    assert facts["b"] == HostFacts("b", "b", 2, running_vms=3, total_bytes=64, peers=peers)
    assert facts["a"].running_vms == 0


def make_host(uuid: str) -> Host:
    return Host.from_json({**HOST, "uuid": uuid, "name_label": uuid})


HOST = {"address": "", "enabled": True, "live": True, "memory_total_bytes": 64}


@settings(deadline=None)
@given(st.data(), overviews())
def test_never_the_source_never_a_refused_one_and_stable(data: st.DataObject, pool: Overview) -> None:
    rank = RANKS[data.draw(st.sampled_from(sorted(RANKS)))]

    def decide(overview: Overview, verdicts: Sequence[HostVerdict] = ()) -> Choice:
        found = verdicts or checks.check_hosts(overview, "uuid-v")
        return choose(found, make_facts(overview, "uuid-v", found), rank)

    choice = decide(pool)
    valid = {v.host_uuid: v for v in checks.check_hosts(pool, "uuid-v") if v.ok}
    assert choice.host_uuid != pool.get_vm("uuid-v").resident_on_uuid
    assert (choice.host_uuid in valid) == bool(valid)
    assert sorted(c.name for c in choice.candidates) == sorted(v.host_name for v in valid.values())
    if valid and rank is RANKS["h"]:
        best = valid[choice.host_uuid].headroom_bytes
        assert all(v.headroom_bytes is None or (best is not None and best >= v.headroom_bytes) for v in valid.values())
    assert decide(dataclasses.replace(pool, hosts=tuple(data.draw(st.permutations(pool.hosts))))) == choice
    assert decide(pool, data.draw(st.permutations(checks.check_hosts(pool, "uuid-v")))) == choice
