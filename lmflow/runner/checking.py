"""May these VMs move, and where to? Reads the pool and weighs it; nothing is changed here."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Collection, Sequence

from lmflow import checks, planner
from lmflow.exceptions import RefusedError, XapiFailureError
from lmflow.models import (
    VM,
    CheckReport,
    Choice,
    Finding,
    HostVerdict,
    MoveOptions,
    Overview,
    Place,
    Pool,
    Refusal,
    Site,
    VmCheck,
    Waits,
    WrongView,
    XapiError,
)
from lmflow.runner import wrong_views
from lmflow.tasks.terms import make_terms
from lmflow.xapi import reads
from lmflow.xapi.connection import Connection
from lmflow.xapi.overview import read_overview

Answers = dict[str, XapiError | None]


class NoDestinationError(RefusedError):
    """No host is left that would take the VM; ``refused`` holds each host's own reasons."""

    def __init__(
        self, message: str, *, findings: Sequence[Finding], state_now: str, refused: tuple[Refusal, ...]
    ) -> None:
        super().__init__(message, findings=findings, state_now=state_now)
        self.refused = refused


def make_check(
    conn: Connection,
    vm_uuids: Sequence[str],
    *,
    host_uuid: str = "",
    ask_pool: bool = False,
    site: Site = Site(),  # noqa: B008 - frozen
    options: MoveOptions = MoveOptions(),  # noqa: B008 - frozen
    waits: Waits | None = None,
    doubted: Collection[str] = (),
) -> CheckReport:
    """Return what every rule says of each VM on every host; a ``host_uuid`` is the destination that is meant.

    The number of calls is that of ``read_overview``; ``ask_pool`` adds three for each VM and host on which XAPI's word
    decides. With ``waits`` hosts are asked themselves whether they run what XAPI shows, when it is one VM that is asked
    for, and for the ``doubted``, UUIDs of VMs of which a run could not be settled: the host where XAPI shows the VM,
    and all of them when it is shown on none or that one denies it.
    Raises XapiFailureError (UUID_INVALID) when the pool knows no such VM or host.
    """
    overview = read_overview(conn, vm_uuids, now=time.time(), terms=make_terms(options, site, vm_uuids))
    meant = next((host for host in overview.hosts if host.uuid == host_uuid), None)
    if host_uuid and meant is None:
        raise XapiFailureError("UUID_INVALID", ("host", host_uuid), call="host.get_by_uuid")
    wanted = list(dict.fromkeys(vm_uuids))
    views: dict[str, WrongView] = {}
    if waits is not None:
        few = [overview.get_vm(uuid) for uuid in wanted if uuid in doubted or len(wanted) == 1]
        views = wrong_views.find_views(conn, few, overview.hosts, wrong_views.Asking(waits), doubted=doubted)
    vms = []
    for uuid in wanted:
        askable = checks.find_askable(overview, uuid, site, strict=options.strict) if ask_pool else ()
        answers = {each: reads.ask_boot(conn, uuid, each) for each in askable if host_uuid in ("", each)}
        verdicts = checks.check_hosts(overview, uuid, answers, site, strict=options.strict)
        anywhere = checks.check_anywhere(overview, uuid, site)
        checked = _check_vm(overview.get_vm(uuid), host_uuid, verdicts, anywhere)
        checked = dataclasses.replace(checked, xapi_view=views.get(uuid))
        vms.append(dataclasses.replace(checked, can_move=checked.can_move and not checked.is_shown_wrongly))
    return CheckReport(
        pool=Place(overview.pool.uuid, overview.pool.name_label),
        observed_at=_write_time(overview.observed_at),
        asked_pool=ask_pool,
        to=Place(meant.uuid, meant.name_label) if meant else None,
        vms=tuple(vms),
    )


def choose_destination(
    conn: Connection,
    vm_uuid: str,
    *,
    site: Site = Site(),  # noqa: B008 - frozen
    options: MoveOptions = MoveOptions(),  # noqa: B008 - frozen
    ignored: Collection[str] = (),
) -> Choice:
    """Return the valid host that the site's strategy puts first, never the VM's present one; XAPI itself agreed to it.

    The best candidate is asked about; if XAPI objects, its objection becomes that host's finding and the next one is
    tried. A host that only an estimate speaks against is asked about last. ``ignored`` are UUIDs of hosts that are left
    out. RefusedError, with the reasons of every host, when none is left; PluginError for a strategy that is of no use.
    """
    site = dataclasses.replace(site, strategy=options.strategy or site.strategy)
    rank, strict = planner.get_rank(site), options.strict
    overview = read_overview(conn, [vm_uuid], now=time.time(), terms=make_terms(options, site, [vm_uuid]))
    answers: Answers = {}
    while True:
        verdicts = checks.check_hosts(overview, vm_uuid, answers, site, strict=strict)
        verdicts = tuple(verdict for verdict in verdicts if verdict.host_uuid not in ignored)
        choice = planner.choose(verdicts, planner.make_facts(overview, vm_uuid, verdicts), rank)
        if choice.host_uuid in answers:
            return choice
        asking = choice.host_uuid
        if not asking:
            doubtful = _find_doubtful(verdicts, checks.find_askable(overview, vm_uuid, site, strict=strict))
            asking = planner.choose(doubtful, planner.make_facts(overview, vm_uuid, doubtful), rank).host_uuid
        if not asking:
            anywhere = checks.check_anywhere(overview, vm_uuid, site)
            raise _refuse(overview, vm_uuid, choice, anywhere, tried=len(ignored))
        answers[asking] = reads.ask_boot(conn, vm_uuid, asking)


def _check_vm(vm: VM, host_uuid: str, verdicts: tuple[HostVerdict, ...], anywhere: tuple[Finding, ...]) -> VmCheck:
    return VmCheck(
        uuid=vm.uuid,
        name=vm.name_label,
        power_state=vm.power_state,
        host=next((Place(v.host_uuid, v.host_name) for v in verdicts if v.present), None),
        memory_bytes=vm.memory_dynamic_max_bytes,
        operations=vm.current_operations,
        can_move=any(_answers_yes(verdict, host_uuid) for verdict in verdicts),
        findings=anywhere,
        would_work=tuple(Place(v.host_uuid, v.host_name) for v in verdicts if v.ok),
        hosts=verdicts,
    )


def _answers_yes(verdict: HostVerdict, host_uuid: str) -> bool:
    if host_uuid:
        return verdict.host_uuid == host_uuid and (verdict.ok or verdict.present)
    return verdict.ok


def _find_doubtful(verdicts: Sequence[HostVerdict], askable: Collection[str]) -> tuple[HostVerdict, ...]:
    """Return the hosts, as if they were fit, that only estimates speak against and that XAPI was not asked about."""
    left = (v for v in verdicts if v.host_uuid in askable and not v.asked_pool)
    return tuple(dataclasses.replace(v, ok=True, findings=()) for v in left)


def _refuse(
    overview: Overview, vm_uuid: str, choice: Choice, anywhere: tuple[Finding, ...], *, tried: int
) -> NoDestinationError:
    vm = overview.get_vm(vm_uuid)
    theirs = tuple(
        _name_host(refusal, finding)
        for refusal in choice.refused
        for finding in refusal.findings
        if finding not in anywhere
    )
    alone = _say_alone(overview.pool) if not choice.refused and not tried else ()
    why = f"{len(choice.refused)} of {len(choice.refused)} refuse" if choice.refused else "there is none"
    return NoDestinationError(
        f"{vm.name_label} can move to no other host of the pool: {why}",
        findings=(*anywhere, *theirs, *alone),
        state_now=_describe_place(overview, vm),
        refused=choice.refused,
    )


def _name_host(refusal: Refusal, finding: Finding) -> Finding:
    """Return the finding with its host in front of it: it will stand among those of others."""
    return dataclasses.replace(finding, message=f"{refusal.name} ({refusal.uuid}): {finding.message}")


def _say_alone(pool: Pool) -> tuple[Finding, ...]:
    message = f"pool {pool.name_label} has no other host"
    return (Finding(rule="pool.hosts", code="NO_HOSTS_AVAILABLE", message=message, remedy="add a host to the pool"),)


def _describe_place(overview: Overview, vm: VM) -> str:
    host = next((h.name_label for h in overview.hosts if h.uuid == vm.resident_on_uuid), "")
    return f"{vm.name_label} is {vm.power_state}" + (f" on {host}" if host else "") + "; nothing was changed"


def _write_time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
