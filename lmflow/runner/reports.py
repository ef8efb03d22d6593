"""What is true now of runs that have not ended: for ``status`` and ``why``. Nothing is changed here."""

from __future__ import annotations

import time
from collections.abc import Callable

from lmflow.db.database import Database
from lmflow.exceptions import LmflowError, LoginError, UnreachableError
from lmflow.models import Run, RunState, StatusLine, StatusReport, Waits, WhyReport, WitnessView
from lmflow.runner.conditions import find_condition
from lmflow.runner.places import describe_place
from lmflow.tasks.watch import Sight, Watch
from lmflow.verdict import VerdictKind
from lmflow.xapi.connection import Connection

CANNOT_SAY = "CANNOT SAY"

_NEXT = {"interrupted": "resume", "suspended": "resume", "unknown": "why", "dirty": "repair"}

# A dirty run has ended, and leaves something to do.
_OPEN = [state for state in RunState if not state.is_terminal or state is RunState.DIRTY]

_MEANING = {
    VerdictKind.CONCLUDE: "the move is done: verify and post steps remain",
    VerdictKind.ROLL_BACK: "it is not on the destination and will not get there: what was prepared is undone",
    VerdictKind.REDO: "nothing has begun: a resume would send it",
    VerdictKind.RE_ATTACH: "it is under way: a resume would watch it to its end",
    VerdictKind.WAIT: "too early to say: the pool is settling",
    VerdictKind.ASK: "too early to say: the witness is to be asked",
    VerdictKind.UNKNOWN: "a person must decide; lmflow starts, stops and moves nothing",
}


def make_why(database: Database, connection: Connection, run: Run, *, waits: Waits) -> WhyReport:
    """Look at the run's migration until there is a verdict, or the time to settle is over, and explain it.

    Blocks for up to ``waits.settle_seconds`` and some, when something was lost.
    """
    watch = Watch(connection, database, run_uuid=run.uuid, request=run.request, waits=waits)
    until = time.monotonic() + waits.settle_seconds + 2 * waits.quiet_seconds
    sight = watch.look()
    while sight.verdict.kind is VerdictKind.WAIT and time.monotonic() < until:
        time.sleep(min(waits.poll_seconds, 1.0))
        sight = watch.look()
    kind = sight.verdict.kind
    return WhyReport(
        run=run,
        last_written=_say_last(database, run),
        evidence=(describe_place(connection, run.request, sight.vm), *describe_sight(run, sight)),
        verdict=kind.value.upper().replace("_", "-"),
        explanation=f"{sight.verdict.because}; {_MEANING[kind]}",
        advice=_advise(database, run, kind),
        condition=find_condition(database, run),
    )


def make_blind_why(database: Database, run: Run, error: LmflowError) -> WhyReport:
    """Explain a run whose pool cannot be asked: what we wrote last, and that nothing can be said of now."""
    return WhyReport(
        run=run,
        last_written=_say_last(database, run),
        evidence=(f"cannot say: {error.message}",),
        verdict=CANNOT_SAY,
        explanation=f"where {run.request.vm_name} is now cannot be said without the pool",
        advice=error.advice or "make the pool reachable, then ask again",
        condition=find_condition(database, run),
    )


def recall_why(database: Database, run: Run) -> WhyReport:
    """Explain a run that has ended, from its records."""
    verdicts = database.events.list(run.uuid, kind="verdict")
    refusals = database.events.list(run.uuid, kind="refusal")
    because = str(verdicts[-1].data["because"]) if verdicts else ""
    evidence = [str(f["message"]) for e in refusals for f in e.data["findings"]]
    return WhyReport(
        run=run,
        last_written=_say_last(database, run),
        evidence=tuple(dict.fromkeys([*evidence, because] if because else evidence)),
        verdict=run.state.value.upper(),
        explanation=run.summary,
        advice=f"lmflow run show {run.uuid[:8]}",
    )


def make_status(database: Database, open_connection: Callable[[str], Connection], *, waits: Waits) -> StatusReport:
    """Say of each open run how it stands, and first whether any of their VMs is down, read from the pools now."""
    lines, doubts, began = [], [], time.monotonic()
    connections: dict[str, Connection | LmflowError] = {}
    try:
        for run in database.runs.list(states=_OPEN, limit=None):
            line, doubt = _look_at(database, connections, open_connection, run, waits)
            lines.append(line)
            if doubt:
                doubts.append(doubt)
    finally:
        for connection in connections.values():
            if isinstance(connection, Connection):
                connection.close()
    needing = [line for line in lines if line.condition != "running"]
    head = f"NEEDS ATTENTION {len(needing)}." if needing else "Nothing needs you."
    is_open = any(not line.run.state.is_terminal for line in lines)
    age = f"seen {time.monotonic() - began:.1f} s ago"
    truth = "  ".join(doubts) if doubts else f"No VM is down ({age})." if is_open else "No run is open."
    if doubts and any(line.seconds_old is not None for line in lines):
        truth += f"  ({age})"
    return StatusReport(headline=f"{head}  {truth}", lines=tuple(lines))


def _look_at(
    database: Database,
    connections: dict[str, Connection | LmflowError],
    open_connection: Callable[[str], Connection],
    run: Run,
    waits: Waits,
) -> tuple[StatusLine, str]:
    """Return the line of one run and, when its VM may be down, a sentence that says so."""
    condition = find_condition(database, run)
    profile, name = run.request.pool_profile, run.request.vm_name
    try:
        if profile not in connections:
            connections[profile] = open_connection(profile)
        connection = connections[profile]
        if not isinstance(connection, Connection):
            raise connection
        looked = time.monotonic()
        sight = Watch(connection, database, run_uuid=run.uuid, request=run.request, waits=waits).look()
        place = describe_place(connection, run.request, sight.vm)
        # A run that has ended said where its VM was; what became of that since is not its matter.
        doubt = "" if run.state.is_terminal else _say_doubt(name, sight)
    except LmflowError as error:
        connections.setdefault(profile, error)
        looked = None
        place, doubt = (
            f"cannot say: {error.message}",
            f"Cannot say whether {name} is down: {_say_short(error, profile)}.",
        )
    line = StatusLine(
        run=run,
        condition=condition,
        seconds_since=max(0.0, time.time() - _find_last_moment(database, run)),
        seconds_old=None if looked is None else time.monotonic() - looked,
        vm_state=place,
        advice=f"lmflow {_NEXT[condition]} {run.uuid[:8]}" if condition in _NEXT else "",
    )
    return line, doubt


def _say_short(error: LmflowError, profile: str) -> str:
    if isinstance(error, UnreachableError) and not isinstance(error, LoginError):
        return "pool unreachable"
    return f"pool {profile} cannot be asked"


def _find_last_moment(database: Database, run: Run) -> float:
    """Return when the run last wrote anything, by the database's clock."""
    events = database.events.list(run.uuid)
    return max([run.updated_at, *(event.at for event in events[-1:])])


def _say_doubt(name: str, sight: Sight) -> str:
    """XAPI's view counts as an answer only where it would settle the question; otherwise it cannot be said."""
    by_view = sight.evidence.power_state == "Running"
    under_way = sight.verdict.kind in (VerdictKind.CONCLUDE, VerdictKind.REDO, VerdictKind.RE_ATTACH)
    settled = sight.verdict.kind is VerdictKind.ROLL_BACK
    if by_view and (under_way or settled):
        return ""
    if settled or under_way:
        return f"{name} IS DOWN: XAPI shows it {sight.evidence.power_state or 'no more'}."
    shown = sight.evidence.power_state or "no more"
    return f"Cannot say whether {name} is down (XAPI shows it {shown}, which proves nothing yet)."


def _say_last(database: Database, run: Run) -> str:
    attempt = database.attempts.latest(run.uuid)
    busy = [
        f"{atom.name} {atom.state}"
        for which in ("move", "settle")
        for atom in database.atoms(run, which)
        if atom.state in ("RUNNING", "REVERTING", "FAILURE")
    ]
    shows = attempt is not None and attempt.progress > 0 and not run.state.is_terminal
    progress = f", {attempt.progress:.0%}" if attempt is not None and shows else ""
    return f"{'; '.join(busy) or run.state.value}{progress}"


def describe_sight(run: Run, sight: Sight) -> tuple[str, ...]:
    """Return what one look has shown beyond XAPI's view of the VM, a sentence each."""
    names = {h.uuid: h.name_label for h in sight.hosts}
    lines = []
    if sight.evidence.operations:
        lines.append(f"XAPI shows on {run.request.vm_name}: {', '.join(sight.evidence.operations)}")
    lines.append(f"sent: {sight.evidence.sent.value}; {_say_task(sight)}")
    if sight.attempt is not None:
        restarted = ", ".join(names.get(u, u) for u in sight.evidence.restarted)
        lines.append(f"toolstack restarted since the submit: {restarted}" if restarted else "no toolstack restarted")
    lines += [_say_witness(names.get(w.host_uuid, w.host_uuid), w) for w in sight.evidence.witness or ()]
    return tuple(lines)


def _say_task(sight: Sight) -> str:
    task = sight.evidence.task
    if task is None:
        return "the pool has no task of ours"
    error = f" {task.error.code}" if task.error else ""
    return f"task {task.status}{error} at {task.progress:.0%}"


def _say_witness(name: str, view: WitnessView) -> str:
    if not view.answered:
        return f"witness of {name}: no answer ({view.reason})"
    arriving = ", a copy is arriving" if view.incoming else ""
    return f"witness of {name}: {view.power_state or 'does not know the VM'}{arriving}"


def _advise(database: Database, run: Run, kind: VerdictKind) -> str:
    if find_condition(database, run) == "running":
        return f"nothing: it is being watched; lmflow run show {run.uuid[:8]}"
    if kind is VerdictKind.UNKNOWN:
        source, destination = run.request.source_name, run.request.destination_name
        return (
            f"on {source} and {destination}: list_domains | grep {run.request.vm_uuid[:8]}; then"
            f" lmflow resolve {run.uuid[:8]} --on {source}, --on {destination} or --nowhere"
        )
    return f"lmflow resume {run.uuid[:8]}"
