"""From what people ask for to a request with every name resolved, once; from then on UUIDs are identity."""

from __future__ import annotations

import dataclasses
import getpass
import os
import re
import uuid
from collections.abc import Sequence

from lmflow.api.ways import Confirm, Ways, find_differences, split
from lmflow.exceptions import RefusedError, UsageError
from lmflow.models import VM, Finding, Host, MoveOptions, MoveRequest, Run
from lmflow.runner.names import find_matches, get_match
from lmflow.xapi import reads
from lmflow.xapi.connection import Connection
from lmflow.xapi.networks import list_networks

_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A migration as it is asked for. ``vm`` and ``destination`` are names, UUIDs or unique beginnings of either.

    ``destination`` '' leaves the choice to lmflow; ``request_id`` '' means that it is asked for once. ``max_retries``
    None is as the site has set it; it matters where the choice is lmflow's. ``network`` is resolved when the request is
    made, and then one of the ``options``.
    """

    vm: str
    destination: str = ""
    request_id: str = ""
    reason: str = ""
    requested_by: str = ""
    max_retries: int | None = None
    network: str = ""
    options: MoveOptions = dataclasses.field(default_factory=MoveOptions)
    confirm: Confirm | None = None


def make_wanted(
    vm: str, destination: str = "", *, ways: Ways, request_id: str = "", reason: str = "", requested_by: str = ""
) -> Wanted:
    """Return what is wanted; UsageError where the ways contradict each other, TypeError for one that is none."""
    options, rest = split(ways, chosen=not destination)
    return Wanted(vm, destination, request_id, reason, requested_by, options=options, **rest)


def resolve_vm(connection: Connection, text: str) -> VM:
    """Return the VM; any that the pool knows by its UUID, else one that is listed. UsageError with candidates."""
    return resolve_vms(connection, [text])[0]


def resolve_vms(connection: Connection, texts: Sequence[str]) -> tuple[VM, ...]:
    """Return each VM that is asked for once, in that order; the pool lists its VMs at most once."""
    found = {}
    listed: tuple[VM, ...] | None = None
    for text in texts:
        vm = reads.read_vm(connection, text) if _UUID.fullmatch(text) and len(texts) == 1 else None
        if vm is None:
            listed = reads.list_vms(connection) if listed is None else listed
            vm = get_match(text, listed, what="VM", others={"host": lambda: reads.list_hosts(connection)})
        found[vm.uuid] = vm
    return tuple(found.values())


def resolve_host(connection: Connection, text: str) -> Host:
    """Return the host of this pool; UsageError with candidates."""
    return get_match(text, reads.list_hosts(connection), what="host")


def resolve_options(connection: Connection, wanted: Wanted) -> MoveOptions:
    """Return the options with the network that is to carry the migration; UsageError with candidates."""
    if not wanted.network:
        return wanted.options
    network = get_match(wanted.network, list_networks(connection), what="network")
    return dataclasses.replace(wanted.options, network_uuid=network.uuid, network_name=network.name_label)


def make_request(connection: Connection, wanted: Wanted, vm: VM, destination: tuple[str, str]) -> MoveRequest:
    """Return the request. ``destination`` is UUID and name; both are empty in the record of a refused choice."""
    names = {h.uuid: h.name_label for h in reads.list_hosts(connection)}
    source_uuid = vm.resident_on_uuid or ""
    return MoveRequest(
        request_id=wanted.request_id or str(uuid.uuid4()),
        pool_profile=connection.profile.name,
        pool_uuid=connection.pool_uuid,
        vm_uuid=vm.uuid,
        vm_name=vm.name_label,
        source_uuid=source_uuid,
        source_name=names.get(source_uuid, ""),
        destination_uuid=destination[0],
        destination_name=destination[1],
        reason=wanted.reason,
        requested_by=wanted.requested_by or find_user(),
        options=resolve_options(connection, wanted),
    )


def find_user() -> str:
    """Return the name of whoever runs this process; a container's user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def check_same(first: Run, wanted: Wanted, pool: str) -> None:
    """Raise UsageError when a request id that has a run is used for another request: it names the first for ever."""
    request = first.request
    same = (
        _can_mean(wanted.vm, request.vm_uuid, request.vm_name)
        and _can_mean(wanted.destination, request.destination_uuid, request.destination_name)
        and pool in ("", request.pool_profile)
    )
    differ = find_differences(request.options, wanted.options)
    carrying = request.options.network_uuid, request.options.network_name
    if bool(wanted.network) != bool(carrying[0]) or not _can_mean(wanted.network, *carrying):
        differ.append("network")
    if wanted.max_retries not in (None, request.max_retries):
        differ.append("max_retries")
    if not same or differ:
        but = f", with another {', '.join(differ)}" if same else ""
        raise UsageError(
            f"request id {request.request_id!r} names another request: {request.vm_name} to"
            f" {request.destination_name} (run {first.uuid[:8]}, {first.state}){but}",
            advice="give this one a request id of its own",
        )


def _can_mean(text: str, uuid_: str, name: str) -> bool:
    return uuid_.startswith(text) or name.startswith(text)


def check_at_rest(vm: VM, host: Host) -> None:
    """Raise RefusedError when a VM that is on its destination is being moved by somebody else: it may not stay."""
    if "pool_migrate" in vm.current_operations:
        finding = Finding(
            rule="submit",
            code="OTHER_OPERATION_IN_PROGRESS",
            message=f"{vm.name_label} is on {host.name_label} and busy with pool_migrate, which is not lmflow's",
            remedy="look at the VM when that is over, then ask again",
        )
        raise RefusedError(
            finding.message, findings=(finding,), state_now=f"{vm.name_label} runs on {host.name_label}, being moved"
        )


def refuse_foreign(other: Connection, destination: str, vm: VM) -> None:
    """Raise RefusedError when this other pool has a host of that name; return when it has none."""
    found = find_matches(destination, reads.list_hosts(other))
    if found:
        host, pool = found[0].name_label, other.profile.name
        message = f"{host} is in pool {pool}, not in the same pool as {vm.name_label}"
        finding = Finding(
            rule="pool.membership", code="HOST_NOT_IN_POOL", message=message, remedy="name a host of its pool"
        )
        raise RefusedError(
            f"{vm.name_label} -> {host}: {message}",
            findings=(finding,),
            state_now=f"{vm.name_label} is {vm.power_state}; nothing was changed",
        )
