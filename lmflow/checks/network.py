"""Rules on networks: each interface's network must exist on the destination, and what carries the copy on both."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.answer import find_answer, is_open
from lmflow.checks.rule import Rule
from lmflow.models import Finding, Host, Snapshot

_CODE = "VM_REQUIRES_NETWORK"


def check_reach(snapshot: Snapshot) -> Iterator[Finding]:
    """Has the destination a PIF on the network of each interface?

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
            where = f'network "{name}" ({vif.network_uuid})'
            yield REACH.object_to(f"interface {vif.device} ({vif.uuid}) is on {where}, which {host.name_label} lacks")


def check_internal(snapshot: Snapshot) -> Iterator[Finding]:
    """Is no interface in use on a network without any PIF? From records, where XAPI did not say.

    Such a network exists on the hosts whose VMs use it now: this VM keeps it on its own.
    Source: conformance of xapi's assert_can_attach_network_on_host.
    """
    host = snapshot.host(snapshot.destination_uuid)
    if host is None or snapshot.source_uuid is None or not is_open(snapshot, _CODE):
        return
    known = {network.uuid: network for network in snapshot.networks}
    for vif in snapshot.vm.vifs:
        network = known.get(vif.network_uuid)
        if network is None or network.assumed_shared or network.wired or not vif.currently_attached:
            continue
        yield INTERNAL.object_to(
            f'interface {vif.device} ({vif.uuid}) is on network "{network.name_label}" ({network.uuid}), which has no'
            f" cable and cannot follow to {host.name_label}"
        )


def check_answer(snapshot: Snapshot) -> Iterator[Finding]:
    """Has XAPI an objection to a network that no interface explains?"""
    answer, host = find_answer(snapshot, "network"), snapshot.host(snapshot.destination_uuid)
    if answer is None or host is None:
        return
    yield ANSWER.object_to(
        f"XAPI says that {host.name_label} cannot attach a network of {snapshot.vm.name_label}", code=answer.code
    )


def check_sender(snapshot: Snapshot) -> Iterator[Finding]:
    """Has the source an attached PIF with an address, IPv4 or IPv6, on the network that is to carry the copy?"""
    host = snapshot.host(snapshot.source_uuid)
    code, what = _find_lack(snapshot, host)
    if host is not None and code:
        yield SENDER.object_to(f"{host.name_label} {what}", code=code)


def check_receiver(snapshot: Snapshot) -> Iterator[Finding]:
    """Has the destination an attached PIF with an address, IPv4 or IPv6, on the network that is to carry the copy?"""
    host = snapshot.host(snapshot.destination_uuid)
    code, what = _find_lack(snapshot, host)
    if host is not None and code:
        yield RECEIVER.object_to(f"{host.name_label} {what}", code=code)


def _find_lack(snapshot: Snapshot, host: Host | None) -> tuple[str, str]:
    """Return code and words for what a host lacks on the migration network; ('', '') where it lacks nothing."""
    network_uuid = snapshot.terms.network_uuid
    if not network_uuid or host is None:
        return "", ""
    name = next((n.name_label for n in snapshot.networks if n.uuid == network_uuid), "")
    network = f'the migration network "{name}" ({network_uuid})'
    pifs = [pif for pif in snapshot.pifs if (pif.network_uuid, pif.host_uuid) == (network_uuid, host.uuid)]
    if not pifs:
        return "PIF_NOT_PRESENT", f"has no interface on {network}"
    attached = [pif for pif in pifs if pif.currently_attached]
    if not attached:
        return "REQUIRED_PIF_IS_UNPLUGGED", f"has its interface on {network} unplugged"
    if not any(pif.ip or any(pif.ipv6) for pif in attached):
        return "INTERFACE_HAS_NO_IP", f"has no address on {network}, neither IPv4 nor IPv6"
    return "", ""


_CONNECT = "connect that network to the host, or choose another host"
_LACKS = ("PIF_NOT_PRESENT", "REQUIRED_PIF_IS_UNPLUGGED", "INTERFACE_HAS_NO_IP")

REACH = Rule(
    name="network.reach",
    group="network",
    order=440,
    codes=(_CODE,),
    needs=("vm", "networks", "pifs"),
    remedy=_CONNECT,
    check=check_reach,
)
INTERNAL = Rule(
    name="network.internal",
    group="network",
    order=443,
    codes=(_CODE,),
    needs=("vm", "networks", "boot_check"),
    remedy="unplug that interface, or connect the network to both hosts",
    check=check_internal,
)
ANSWER = Rule(
    name="network.answer",
    group="network",
    order=446,
    codes=(_CODE, "HOST_CANNOT_ATTACH_NETWORK", "NETWORK_SRIOV_INSUFFICIENT_CAPACITY"),
    needs=("boot_check", "vm", "pifs"),
    remedy=_CONNECT,
    quiet_after=("network.reach",),
    check=check_answer,
)
SENDER = Rule(
    name="network.sender",
    group="network",
    order=530,
    codes=_LACKS,
    needs=("terms", "networks", "pifs", "hosts"),
    remedy="configure that interface, or leave the migration on the management network (without --network)",
    elsewhere=False,
    check=check_sender,
)
RECEIVER = Rule(
    name="network.receiver",
    group="network",
    order=540,
    codes=_LACKS,
    needs=("terms", "networks", "pifs", "hosts"),
    remedy="configure that interface, choose another host, or leave --network out",
    check=check_receiver,
)
