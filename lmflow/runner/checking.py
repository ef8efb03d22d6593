"""May these VMs move, and where to? Reads the pool and weighs it; nothing is changed here."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Sequence

from lmflow import checks, planner
from lmflow.exceptions import RefusedError, XapiFailureError
from lmflow.models import VM, CheckReport, Choice, Finding, HostVerdict, Overview, Place, Pool, VmCheck, XapiError
from lmflow.xapi import reads
from lmflow.xapi.connection import Connection
from lmflow.xapi.overview import read_overview

Answers = dict[str, XapiError | None]


def make_check(
    conn: Connection, vm_uuids: Sequence[str], *, host_uuid: str = "", ask_pool: bool = False
) -> CheckReport:
    """Return what every rule says of each VM on every host; a ``host_uuid`` is the destination that is meant.

    The number of calls is that of ``read_overview``; ``ask_pool`` adds three for each VM and host on which XAPI's word
    decides. Raises XapiFailureError (UUID_INVALID) when the pool knows no such VM or host.
    """
    overview = read_overview(conn, vm_uuids, now=time.time())
    meant = next((host for host in overview.hosts if host.uuid == host_uuid), None)
    if host_uuid and meant is None:
        raise XapiFailureError("UUID_INVALID", ("host", host_uuid), call="host.get_by_uuid")
    vms = []
    for uuid in dict.fromkeys(vm_uuids):
        answers = _ask(conn, overview, uuid, host_uuid) if ask_pool else {}
        vms.append(_check_vm(overview, uuid, host_uuid, answers))
    return CheckReport(
        pool=Place(overview.pool.uuid, overview.pool.name_label),
        observed_at=_write_time(overview.observed_at),
        asked_pool=ask_pool,
        to=Place(meant.uuid, meant.name_label) if meant else None,
        vms=tuple(vms),
    )


def choose_destination(conn: Connection, vm_uuid: str) -> Choice:
    """Return the valid host with the most headroom, never the VM's present one; XAPI itself agreed to it.

    The best candidate is asked about; if XAPI objects, its objection becomes that host's finding and the next one is
    tried. A host that only an estimate speaks against is asked about last. RefusedError, with the reasons of every
    host, when none is left.
    """
    overview = read_overview(conn, [vm_uuid], now=time.time())
    answers: Answers = {}
    while True:
        verdicts = checks.check_hosts(overview, vm_uuid, answers)
        choice = planner.choose(verdicts)
        if choice.host_uuid in answers:
            return choice
        asking = choice.host_uuid or _find_doubtful(overview, vm_uuid, verdicts)
        if not asking:
            raise _refuse(overview, vm_uuid, choice)
        answers[asking] = reads.ask_boot(conn, vm_uuid, asking)


def _ask(conn: Connection, overview: Overview, vm_uuid: str, host_uuid: str) -> Answers:
    askable = checks.find_askable(overview, vm_uuid)
    return {uuid: reads.ask_boot(conn, vm_uuid, uuid) for uuid in askable if host_uuid in ("", uuid)}


def _check_vm(overview: Overview, vm_uuid: str, host_uuid: str, answers: Answers) -> VmCheck:
    vm = overview.get_vm(vm_uuid)
    verdicts = checks.check_hosts(overview, vm_uuid, answers)
    return VmCheck(
        uuid=vm.uuid,
        name=vm.name_label,
        power_state=vm.power_state,
        host=next((Place(v.host_uuid, v.host_name) for v in verdicts if v.present), None),
        memory_bytes=vm.memory_dynamic_max_bytes,
        operations=vm.current_operations,
        can_move=any(_answers_yes(verdict, host_uuid) for verdict in verdicts),
        findings=checks.check_anywhere(overview, vm_uuid),
        would_work=tuple(Place(v.host_uuid, v.host_name) for v in verdicts if v.ok),
        hosts=verdicts,
    )


def _answers_yes(verdict: HostVerdict, host_uuid: str) -> bool:
    if host_uuid:
        return verdict.host_uuid == host_uuid and (verdict.ok or verdict.present)
    return verdict.ok


def _find_doubtful(overview: Overview, vm_uuid: str, verdicts: Sequence[HostVerdict]) -> str:
    """Return the roomiest host that only estimates speak against and that XAPI was not asked about; '' for none."""
    askable = checks.find_askable(overview, vm_uuid)
    left = [
        dataclasses.replace(v, ok=True, findings=()) for v in verdicts if v.host_uuid in askable and not v.asked_pool
    ]
    return planner.choose(left).host_uuid


def _refuse(overview: Overview, vm_uuid: str, choice: Choice) -> RefusedError:
    vm, anywhere = overview.get_vm(vm_uuid), checks.check_anywhere(overview, vm_uuid)
    theirs = tuple(
        _name_host(refusal.name, finding)
        for refusal in choice.refused
        for finding in refusal.findings
        if finding not in anywhere
    )
    alone = _say_alone(overview.pool) if not choice.refused else ()
    why = f"{len(choice.refused)} of {len(choice.refused)} refuse" if choice.refused else "there is none"
    return RefusedError(
        f"{vm.name_label} can move to no other host of the pool: {why}",
        findings=(*anywhere, *theirs, *alone),
        state_now=_describe_place(overview, vm),
    )


def _name_host(name: str, finding: Finding) -> Finding:
    """Return the finding with the host named in it: it will stand among those of others."""
    if name in finding.message:
        return finding
    return dataclasses.replace(finding, message=f"{name}: {finding.message}")


def _say_alone(pool: Pool) -> tuple[Finding, ...]:
    message = f"pool {pool.name_label} has no other host"
    return (Finding(rule="pool.hosts", code="NO_HOSTS_AVAILABLE", message=message, remedy="add a host to the pool"),)


def _describe_place(overview: Overview, vm: VM) -> str:
    host = next((h.name_label for h in overview.hosts if h.uuid == vm.resident_on_uuid), "")
    return f"{vm.name_label} is {vm.power_state}" + (f" on {host}" if host else "") + "; nothing was changed"


def _write_time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
