"""One destination of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lmflow.models import Candidate, Choice, HostVerdict, Overview, Refusal
from lmflow.planner.ranking import HostFacts, Rank, Ranked


def make_facts(overview: Overview, vm_uuid: str, verdicts: Sequence[HostVerdict]) -> dict[str, HostFacts]:
    """Return what a strategy may know of each host, by UUID; KeyError when the overview does not hold the VM."""
    moving = overview.get_vm(vm_uuid)
    apart = {group.uuid for group in overview.groups if group.placement == "anti_affinity"} & set(moving.group_uuids)
    guests = [
        vm for vm in overview.vms if vm.uuid != vm_uuid and vm.power_state == "Running" and not vm.is_control_domain
    ]
    running: dict[str | None, int] = {}
    peers: dict[str | None, int] = {}
    for vm in guests:
        running[vm.resident_on_uuid] = running.get(vm.resident_on_uuid, 0) + 1
        if apart & set(vm.group_uuids):
            peers[vm.resident_on_uuid] = peers.get(vm.resident_on_uuid, 0) + 1
    totals = {host.uuid: host.memory_total_bytes for host in overview.hosts}
    return {
        verdict.host_uuid: HostFacts(
            verdict.host_uuid,
            verdict.host_name,
            verdict.headroom_bytes,
            running_vms=running.get(verdict.host_uuid, 0),
            total_bytes=totals[verdict.host_uuid],
            peers=peers.get(verdict.host_uuid, 0),
        )
        for verdict in verdicts
    }


def choose(verdicts: Sequence[HostVerdict], facts: Mapping[str, HostFacts], rank: Rank) -> Choice:
    """Return the host that the strategy puts first of those that no rule refuses; never the present host.

    The order of the verdicts does not matter.
    """
    by_name = sorted((v for v in verdicts if not v.present), key=lambda v: (v.host_name, v.host_uuid))
    fit = {v.host_uuid: v for v in by_name if v.ok and not v.findings}
    refused = [v for v in by_name if v.findings]
    ranked = rank([facts[uuid] for uuid in fit]) if fit else ()
    best = fit[ranked[0].host_uuid] if ranked else None
    return Choice(
        host_uuid=best.host_uuid if best else "",
        host_name=best.host_name if best else "",
        because=_explain(ranked, facts, len(refused)),
        candidates=tuple(_make_candidate(fit[r.host_uuid], r) for r in ranked),
        refused=tuple(Refusal(v.host_name, v.findings, v.host_uuid) for v in refused),
    )


def _make_candidate(verdict: HostVerdict, ranked: Ranked) -> Candidate:
    return Candidate(verdict.host_name, verdict.headroom_bytes, ranked.because, verdict.host_uuid)


def _explain(ranked: Sequence[Ranked], facts: Mapping[str, HostFacts], refused: int) -> str:
    if not ranked:
        return f"no candidate: {refused} would refuse it" if refused else "the pool has no other host"
    if len(ranked) == 1:
        return "the only candidate"
    of_all = f"of {len(ranked)} candidates"
    counts = [facts[each.host_uuid].peers for each in ranked]
    if len(set(counts)) > 1:
        return f"fewest VMs of its anti-affinity groups ({counts[0]}) {of_all}"
    return f"{ranked[0].because} {of_all}"
