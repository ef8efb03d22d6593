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


RULES = (check_reach, check_answer)
