"""Looking whether XAPI's view of a VM is right, and which step would mend it. Reads only; lmflow takes no such step."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Sequence

from lmflow.db.database import Database
from lmflow.exceptions import DamagedError, LmflowError
from lmflow.models import VM, Host, Run, RunState, Waits, WitnessView, WrongView
from lmflow.runner.profiles import check_pool
from lmflow.verdict import DECIDED
from lmflow.verdict.view import Sighting, judge_view, needs_restart
from lmflow.xapi import domains, reads, witness
from lmflow.xapi.connection import Connection

EVENT = "xapi_view"
_NEWEST = 50
_ENDED = (RunState.SUCCESS, RunState.FAILED, RunState.DIRTY)


@dataclasses.dataclass(frozen=True, slots=True)
class Asking:
    """How a view is looked at.

    ``patient``: where the view is wrong and a toolstack has
    just restarted, watch the pool until it has settled; else no step is named then. ``doubted``: there is a reason to
    doubt the view, so that it is told too when it cannot be confirmed.
    """

    waits: Waits
    patient: bool = True
    doubted: bool = False


def find_wrong_view(
    conn: Connection,
    vm_uuid: str,
    vm_name: str,
    asking: Asking,
    *,
    seen: tuple[VM | None, tuple[Host, ...]] | None = None,
) -> WrongView | None:
    """Return what is wrong with XAPI's view of the VM, None when nothing is or something is going on with it.

    The host where XAPI shows the VM is asked first; when it agrees, nobody else is. Where it does not, every host of
    the pool is. ``seen`` is what was read of the VM and all hosts before. A view that looks wrong is looked at once
    more, record and hosts, ``quiet_seconds`` later: this blocks for them, and for the time to settle, if the pool has
    to be watched.
    """
    vm, hosts = seen or (reads.read_vm(conn, vm_uuid), reads.read_hosts(conn))
    sighting = Sighting(vm_uuid=vm_uuid, vm_name=vm_name, vm=vm, hosts=hosts, doubted=asking.doubted)
    own = next((h for h in hosts if h.uuid == sighting.shown_on), None)
    if own is not None and not sighting.doubted:
        view = _ask(conn, own, vm_uuid)
        if not view.answered or view.power_state in ("Running", "Paused"):
            return None
    sighting = dataclasses.replace(sighting, witness=_ask_all(conn, hosts, vm_uuid))
    if judge_view(sighting) is None:
        return None
    time.sleep(asking.waits.quiet_seconds)  # XAPI hears of a move or an end a moment after the hosts know of it
    again = _look_again(conn, sighting)
    if not _is_steady(sighting, again):
        return None
    sighting = again
    if not sighting.find_silent():
        sighting = _settle(conn, sighting, asking)
    if needs_restart(sighting):
        sighting = dataclasses.replace(sighting, strays=_find_strays(conn, sighting))
    return judge_view(sighting)


def find_view_after(
    database: Database, open_connection: Callable[[], Connection], run: Run, asking: Asking
) -> WrongView | None:
    """Return the wrong view that a run which has ended left behind, if XAPI has not learnt the truth since.

    The pool is asked only about a run that ended with a view proved wrong, or by a person's decision.
    """
    if not _ended_in_doubt(database, run):
        return None
    try:
        with open_connection() as conn:
            check_pool(conn, run)
            return find_wrong_view(conn, run.request.vm_uuid, run.request.vm_name, asking)
    except LmflowError:
        return None


def list_ended_in_doubt(database: Database) -> tuple[tuple[Run, ...], tuple[DamagedError, ...]]:
    """Return those of the newest runs that ended with a view proved wrong, or by a decision; the newest of each VM.

    The second are those of which this cannot be read.
    """
    newest: dict[str, Run] = {}
    for run in database.runs.list(states=_ENDED, limit=_NEWEST):
        newest.setdefault(run.request.vm_uuid, run)
    found, damaged = [], []
    for run in newest.values():
        try:
            if _ended_in_doubt(database, run):
                found.append(run)
        except DamagedError as error:
            damaged.append(error)
    return tuple(found), tuple(damaged)


def _ended_in_doubt(database: Database, run: Run) -> bool:
    """Tell whether the run ended with a view proved wrong, or by a person's decision: no record was mended by that."""
    attempt = database.attempts.latest(run.uuid)
    decided = attempt is not None and attempt.outcome.startswith(DECIDED)
    return decided or bool(database.events.list(run.uuid, kind=EVENT))


def find_views(
    conn: Connection, vms: Sequence[VM], hosts: tuple[Host, ...], asking: Asking, *, doubted: Collection[str] = ()
) -> dict[str, WrongView]:
    """Return the wrong views among these VMs, by UUID; templates, snapshots and control domains have none.

    ``doubted`` are UUIDs of VMs whose view there is a reason to doubt.
    """
    found = {}
    for vm in vms:
        if vm.is_a_template or vm.is_a_snapshot or vm.is_control_domain:
            continue
        how = dataclasses.replace(asking, doubted=vm.uuid in doubted)
        view = find_wrong_view(conn, vm.uuid, vm.name_label, how, seen=(vm, hosts))
        if view is not None:
            found[vm.uuid] = view
    return found


def _ask(conn: Connection, host: Host, vm_uuid: str) -> WitnessView:
    if not conn.profile.use_witness:
        return WitnessView(host.uuid, answered=False, reason="not asked: the profile says so")
    if not host.live:
        return WitnessView(host.uuid, answered=False, reason="not asked: XAPI shows it as not live")
    return witness.ask(conn, host, vm_uuid)


def _ask_all(conn: Connection, hosts: Sequence[Host], vm_uuid: str) -> tuple[WitnessView, ...]:
    return tuple(_ask(conn, host, vm_uuid) for host in hosts)


def _look_again(conn: Connection, sighting: Sighting) -> Sighting:
    vm, hosts = reads.read_vm(conn, sighting.vm_uuid), reads.read_hosts(conn)
    return dataclasses.replace(sighting, vm=vm, hosts=hosts, witness=_ask_all(conn, hosts, sighting.vm_uuid))


def _is_steady(sighting: Sighting, again: Sighting) -> bool:
    """Tell whether XAPI and the hosts say the same once more.

    A copy that ends between two questions is on both hosts, or on none; and a record may be older than an answer.
    """
    if _shown_of(sighting.vm) != _shown_of(again.vm):
        return False
    first, second = (
        sorted((w.host_uuid, w.answered, w.power_state or "", w.incoming) for w in each.witness)
        for each in (sighting, again)
    )
    return first == second


def _settle(conn: Connection, sighting: Sighting, asking: Asking) -> Sighting:
    """Return the sighting, or a later one, as one of a settled pool, if it is one."""
    if _is_long_up(conn, sighting, asking.waits):
        return dataclasses.replace(sighting, settled=True)
    if not asking.patient:
        return sighting
    waits = asking.waits
    until = time.monotonic() + 2 * waits.settle_seconds + waits.quiet_seconds
    since, vm, hosts = time.monotonic(), sighting.vm, sighting.hosts
    while time.monotonic() < until and time.monotonic() - since < waits.settle_seconds:
        time.sleep(min(waits.poll_seconds, 1.0))
        before = _state_of(vm, hosts)
        vm, hosts = reads.read_vm(conn, sighting.vm_uuid), reads.read_hosts(conn)
        if _state_of(vm, hosts) != before:
            since = time.monotonic()
    watched = time.monotonic() - since >= waits.settle_seconds
    again = _look_again(conn, dataclasses.replace(sighting, vm=vm, hosts=hosts))
    return dataclasses.replace(again, settled=watched and _is_steady(sighting, again))


def _is_long_up(conn: Connection, sighting: Sighting, waits: Waits) -> bool:
    """Tell whether every host is in service and no toolstack has started for longer than a pool takes to settle."""
    if not all(host.live and host.enabled for host in sighting.hosts):
        return False
    youngest = domains.find_youngest_seconds(conn, sighting.hosts)
    real = Waits()  # the pool's own clock may run faster than ours, never slower
    needed = max(each.settle_seconds + each.quiet_seconds for each in (waits, real))
    return youngest is not None and youngest > needed


def _shown_of(vm: VM | None) -> object:
    return (vm.power_state, vm.resident_on_uuid, vm.current_operations) if vm else None


def _state_of(vm: VM | None, hosts: Sequence[Host]) -> object:
    return _shown_of(vm), sorted((h.uuid, h.agent_start_time, h.enabled, h.live) for h in hosts)


def _find_strays(conn: Connection, sighting: Sighting) -> tuple[str, ...] | None:
    """Ask the host where XAPI shows the VM for every VM that XAPI shows Running elsewhere."""
    host = sighting.get_host(sighting.shown_on)
    others = {
        vm.uuid: vm.name_label
        for vm in reads.list_vms(conn)
        if vm.uuid != sighting.vm_uuid and vm.resident_on_uuid not in (None, host.uuid)
    }
    found = domains.find_running(conn, host, tuple(others))
    return None if found is None else tuple(others[uuid] for uuid in found)
