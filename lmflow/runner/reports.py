"""What is true now of runs that have not ended: for ``status`` and ``why``. Nothing is changed here."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable

from lmflow.db.database import Database, RunFilter
from lmflow.exceptions import DamagedError, LmflowError, LoginError, UnreachableError
from lmflow.models import Remnant, Run, RunState, StatusLine, StatusReport, Waits, WhyReport, WitnessView, WrongView
from lmflow.runner.conditions import find_condition
from lmflow.runner.places import describe_place
from lmflow.runner.profiles import check_pool
from lmflow.runner.wrong_views import Asking, find_view_after, find_wrong_view, list_ended_in_doubt
from lmflow.tasks.watch import Sight, Watch
from lmflow.verdict import VerdictKind
from lmflow.xapi.connection import Connection

CANNOT_SAY = "CANNOT SAY"

_NEXT = {"interrupted": "resume", "suspended": "resume", "unknown": "why", "dirty": "repair"}

# A dirty run has ended, and leaves something to do.
_OPEN = [state for state in RunState if not state.is_terminal or state is RunState.DIRTY]

_WRONG = {
    "ghost": "No host says that it runs {name}, as XAPI shows it.",
    "twice": "{name} runs on more than one host.",
    "unproved": "What XAPI shows of {name} cannot be confirmed.",
}

MEANING = {
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
    check_pool(connection, run)
    sight = look_until_verdict(database, connection, run, waits=waits)
    kind, condition = sight.verdict.kind, find_condition(database, run)
    watched = "; it is being watched" if condition == "running" else ""
    return WhyReport(
        run=run,
        last_written=_say_last(database, run),
        evidence=(describe_place(connection, run.request, sight.vm), *describe_sight(run, sight)),
        verdict=kind.value.upper().replace("_", "-"),
        explanation=explain(run, sight) + watched,
        advice=f"lmflow run show {run.uuid[:8]}" if watched else advise(run, kind),
        condition=condition,
        xapi_view=_find_view(connection, run, sight, Asking(waits)),
    )


def look_until_verdict(database: Database, connection: Connection, run: Run, *, waits: Waits) -> Sight:
    """Look until the pool has settled, or the time for that is over, and return the last look."""
    watch = Watch(connection, database, run_uuid=run.uuid, request=run.request, waits=waits)
    until: float | None = None
    while True:
        began = time.monotonic()
        sight = watch.look()
        settling = sight.verdict.kind is VerdictKind.WAIT and not sight.verdict.by
        if not settling or (until is not None and began >= until):  # one look begins when the time is over
            return sight
        if until is None:
            until = time.monotonic() + waits.settle_seconds + 2 * waits.quiet_seconds
        time.sleep(min(waits.poll_seconds, 1.0))


def make_blind_why(database: Database, run: Run, error: LmflowError) -> WhyReport:
    """Explain a run whose pool cannot be asked: what we wrote last, and that nothing can be said of now."""
    return WhyReport(
        run=run,
        last_written=_say_last(database, run),
        evidence=(f"cannot say: {error.message}",),
        verdict=CANNOT_SAY,
        explanation=(
            f"where {run.request.vm_name} is now cannot be said without the pool;"
            f" {error.advice or 'make it reachable'}, then ask again"
        ),
        advice=f"lmflow why {run.uuid[:8]}",
        condition=find_condition(database, run),
    )


def recall_why(
    database: Database, run: Run, open_connection: Callable[[str], Connection], *, waits: Waits
) -> WhyReport:
    """Explain a run that has ended, from its records; one that ended in doubt of XAPI's view asks for that again.

    Of one that was pruned only how it ended is known.
    """
    verdicts = database.events.list(run.uuid, kind="verdict")
    refusals = database.events.list(run.uuid, kind="refusal")
    because = str(verdicts[-1].data["because"]) if verdicts else ""
    evidence = [str(f["message"]) for e in refusals for f in e.data["findings"]]
    return WhyReport(
        run=run,
        last_written=_say_pruned(run.remnant) if run.remnant else _say_last(database, run),
        evidence=tuple(dict.fromkeys([*evidence, because] if because else evidence)),
        verdict=run.state.value.upper(),
        explanation=run.summary,
        advice=f"lmflow {'repair' if run.state is RunState.DIRTY else 'run show'} {run.uuid[:8]}",
        xapi_view=find_view_after(database, lambda: open_connection(run.request.pool_profile), run, Asking(waits)),
    )


def _find_view(connection: Connection, run: Run, sight: Sight, asking: Asking) -> WrongView | None:
    """Return what is wrong with XAPI's view, once there is a verdict; what is under way is not judged."""
    kind, is_unknown = sight.verdict.kind, run.state is RunState.UNKNOWN
    has_ended = is_unknown or run.state.is_terminal
    if kind in (VerdictKind.WAIT, VerdictKind.ASK, VerdictKind.RE_ATTACH) and not has_ended:
        return None
    asking = dataclasses.replace(asking, doubted=is_unknown or kind is VerdictKind.UNKNOWN)
    request = run.request
    return find_wrong_view(connection, request.vm_uuid, request.vm_name, asking, seen=(sight.vm, sight.hosts))


def make_status(database: Database, open_connection: Callable[[str], Connection], *, waits: Waits) -> StatusReport:
    """Say of each open run how it stands, and first whether any of their VMs is down, read from the pools now.

    A run that has ended is shown while XAPI's view of its VM, proved wrong at its end, is still wrong.
    """
    lines, doubts, began = [], [], time.monotonic()
    connections: dict[str, Connection | LmflowError] = {}
    try:
        runs, damaged = _list_to_look_at(database)
        for run in runs:
            try:
                line, doubt = _look_at(database, connections, open_connection, run, waits)
            except DamagedError as error:
                damaged.append(error)
                continue
            if run.state not in _OPEN:
                if line.xapi_view is None:
                    continue
                line = dataclasses.replace(line, condition="wrong_view", advice=f"lmflow why {run.uuid[:8]}")
            lines.append(line)
            if doubt:
                doubts.append(doubt)
    finally:
        for connection in connections.values():
            if isinstance(connection, Connection):
                connection.close()
    needing = [line for line in lines if line.condition != "running"]
    doubts += [f"Cannot say how run {error.run_uuid[:8]} stands: {error.message}." for error in damaged]
    count = len(needing) + len(damaged)
    head = f"NEEDS ATTENTION {count}." if count else "Nothing needs you."
    is_open = any(not line.run.state.is_terminal for line in lines)
    age = f"seen {time.monotonic() - began:.1f} s ago"
    truth = "  ".join(doubts) if doubts else f"No VM is down ({age})." if is_open else "No run is open."
    if doubts and any(line.seconds_old is not None for line in lines):
        truth += f"  ({age})"
    return StatusReport(headline=f"{head}  {truth}", lines=tuple(lines))


def _list_to_look_at(database: Database) -> tuple[list[Run], list[DamagedError]]:
    """Return each run once: the open ones, those that ended in doubt of XAPI's view; and what cannot be read."""
    found = database.runs.select(RunFilter(states=_OPEN), limit=None)
    ended, damaged = list_ended_in_doubt(database)
    open_uuids = {run.uuid for run in found.runs}
    runs = [*found.runs, *(run for run in ended if run.uuid not in open_uuids)]
    return runs, [*found.damaged, *(error for error in damaged if error.run_uuid not in open_uuids)]


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
    view = None
    try:
        if profile not in connections:
            connections[profile] = open_connection(profile)
        connection = connections[profile]
        if not isinstance(connection, Connection):
            raise connection
        check_pool(connection, run)
        looked = time.monotonic()
        sight = Watch(connection, database, run_uuid=run.uuid, request=run.request, waits=waits).look()
        place = describe_place(connection, run.request, sight.vm)
        view = _find_view(connection, run, sight, Asking(waits, patient=False)) if condition != "running" else None
        # A run that has ended said where its VM was; what became of that since is not its matter.
        doubt = "" if run.state.is_terminal and view is None else _say_doubt(name, sight, view)
        if view is not None and run.state.is_terminal:
            doubt = doubt or _WRONG.get(view.kind, _WRONG["unproved"]).format(name=name)
    except DamagedError:
        raise  # it says nothing of the pool
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
        xapi_view=view,
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


def _say_doubt(name: str, sight: Sight, view: WrongView | None) -> str:
    """XAPI's view counts as an answer only where it would settle the question; otherwise it cannot be said."""
    if view is not None and view.kind in ("halted_but_running", "misplaced"):
        return f"{name} runs, where XAPI does not show it."
    by_view = sight.evidence.power_state == "Running"
    under_way = sight.verdict.kind in (VerdictKind.CONCLUDE, VerdictKind.REDO, VerdictKind.RE_ATTACH)
    settled = sight.verdict.kind is VerdictKind.ROLL_BACK
    # What was proved once, or by the hosts themselves, against XAPI's view, says nothing of that view now.
    proved = (sight.verdict.by == "record" and under_way) or sight.verdict.by == "witness"
    if by_view and (under_way or settled):
        return ""
    if (settled or under_way) and not proved:
        return f"{name} IS DOWN: XAPI shows it {sight.evidence.power_state or 'no more'}."
    shown = sight.evidence.power_state or "no more"
    return f"Cannot say whether {name} is down (XAPI shows it {shown}, which proves nothing yet)."


def _say_pruned(remnant: Remnant) -> str:
    at = datetime.datetime.fromtimestamp(remnant.pruned_at).astimezone().isoformat(timespec="seconds")
    return f"its records were pruned on {at}; how it ended is kept"


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


def explain(run: Run, sight: Sight) -> str:
    """Say the verdict, what it means, and, where a person is needed, where to look and what to say then."""
    text = f"{sight.verdict.because}; {MEANING[sight.verdict.kind]}"
    if sight.verdict.kind is not VerdictKind.UNKNOWN:
        return text
    source, destination = run.request.source_name, run.request.destination_name
    return (
        f"{text}. Look on {source} and on {destination} (list_domains | grep {run.request.vm_uuid[:8]}),"
        f" then say where it runs: --on {source}, --on {destination} or --nowhere"
    )


def advise(run: Run, kind: VerdictKind) -> str:
    """Return the one command to try for a run that nobody drives."""
    if kind is VerdictKind.UNKNOWN:
        return f"lmflow resolve {run.uuid[:8]} --on HOST --reason TEXT"
    return f"lmflow resume {run.uuid[:8]}"
