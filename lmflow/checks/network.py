"""Rules on networks: each interface's network must exist on the destination."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.answer import find_answer
from lmflow.models import Finding, Snapshot


def check_reach(snapshot: Snapshot) -> Iterator[Finding]:
    """Object to an interface on a network that the source has a PIF for and the destination has not.

    A network without any PIF is internal; whether it can follow is XAPI's to say.
    """
    host = snapshot.host(snapshot.destination_uuid)
    if host is None:
        return
    names = {n.uuid: n.name_label for n in snapshot.networks}
    for vif in snapshot.vm.vifs:
        on = {p.host_uuid for p in snapshot.pifs if p.network_uuid == vif.network_uuid}
        if on and host.uuid not in on:
            name = names.get(vif.network_uuid, vif.network_uuid)
            yield Finding(
                rule="network.reach",
                code="VM_REQUIRES_NETWORK",
                message=f'interface {vif.device} is on network "{name}", which {host.name_label} lacks',
                remedy="connect that network to the host, or choose another host",
            )


def check_internal(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when nobody asked XAPI and an interface in use is on a network without any PIF.

    Such a network exists on the hosts whose VMs use it now: this VM keeps it on its own.
    Source: conformance of xapi's assert_can_attach_network_on_host.
    """
    host = snapshot.host(snapshot.destination_uuid)
    if snapshot.boot_asked or host is None or snapshot.source_uuid is None:
        return
    known = {network.uuid: network for network in snapshot.networks}
    for vif in snapshot.vm.vifs:
        network = known.get(vif.network_uuid)
        if network is None or network.assumed_shared or network.wired or not vif.currently_attached:
            continue
        yield Finding(
            rule="network.internal",
            code="VM_REQUIRES_NETWORK",
            message=f'interface {vif.device} is on network "{network.name_label}", which has no cable and cannot follow'
            f" to {host.name_label}",
            remedy="unplug that interface, or connect the network to both hosts",
        )


def check_answer(snapshot: Snapshot) -> Iterator[Finding]:
    """Pass on XAPI's objection to a network when no interface explains it."""
    answer, host = find_answer(snapshot, "network"), snapshot.host(snapshot.destination_uuid)
    if answer is None or host is None or any(check_reach(snapshot)):
        return
    yield Finding(
        rule="network.answer",
        code=answer.code,
        message=f"XAPI says that {host.name_label} cannot attach a network of {snapshot.vm.name_label}",
        remedy="connect that network to the host, or choose another host",
    )


RULES = (check_reach, check_internal, check_answer)
