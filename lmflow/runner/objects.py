"""What a run has created or changed in its pool, from our book of changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lmflow.models import Attempt, Event, PoolObject, Run, RunState
from lmflow.verdict import DECIDED

WORDS: Final[Mapping[str, str]] = {
    "claim_vm": "VM marked as held",
    "copy_file": "file copied",
    "create_pbd": "PBD created",
    "destroy_pbd": "PBD destroyed",
    "eject_disc": "disc ejected",
    "mark_pbd": "PBD marked",
    "plug_pbd": "PBD plugged",
    "release_pbd": "PBD unplugged",
    "remove_file": "file removed",
    "strip_base_mirror": "base_mirror removed",
    "unmark_pbd": "PBD unmarked",
}
"""What each kind of change does, in plain words; the kinds are persisted."""

_RELEASES = frozenset({"destroy_pbd", "release_pbd", "remove_file"})
_AT_THE_SOURCE = frozenset({"destroy_pbd", "eject_disc", "release_pbd", "remove_file"})
_NOWHERE = frozenset({"claim_vm", "strip_base_mirror"})
_FATES = {"intended": "open", "done": "done", "undoing": "open", "undone": "undone", "void": "void"}


def recall_objects(run: Run, events: tuple[Event, ...], attempts: tuple[Attempt, ...]) -> tuple[PoolObject, ...]:
    """Return every object that the run has created or changed, in the order in which that was begun."""
    latest: dict[tuple[str, str], Event] = {}
    for event in events:
        if event.kind == "change":
            latest[str(event.data["kind"]), str(event.data["object_uuid"])] = event
    objects = [_make_object(run, event) for event in latest.values()]
    moves = [a for a in attempts if not a.outcome.startswith(("never", "not", "refused"))]
    return (*objects, *(_make_move(run, attempt, events) for attempt in moves[-1:]))


def describe_change(change: Mapping[str, Any]) -> str:
    """Name a change for people: what was done to which object; ``change`` is one as it is recorded."""
    words = WORDS.get(str(change["kind"]), str(change["kind"]).replace("_", " "))
    name = str(change.get("object_name", ""))
    return f"{words}: {name} ({change['object_uuid']})" if name else f"{words}: {change['object_uuid']}"


def _make_object(run: Run, event: Event) -> PoolObject:
    change, kind = event.data, str(event.data["kind"])
    host = run.request.source_name if kind in _AT_THE_SOURCE else run.request.destination_name
    return PoolObject(
        kind=WORDS.get(kind, kind.replace("_", " ")),
        name=str(change.get("object_name", "")),
        uuid=_find_uuid(kind, change),
        host="" if kind in _NOWHERE else host,
        at=event.at,
        fate=_find_fate(run, kind, str(change["step"])),
        run_uuid=run.uuid,
    )


def _find_uuid(kind: str, change: Mapping[str, Any]) -> str:
    """Return the object's own UUID: a file has none, and a PBD's is learnt after our book has named its SR."""
    if kind == "create_pbd":
        return str((change.get("data") or {}).get("pbd_uuid", ""))
    uuid = str(change["object_uuid"])
    return "" if ":" in uuid else uuid


def _find_fate(run: Run, kind: str, step: str) -> str:
    if kind in _RELEASES and step == "done":
        return "released"
    if run.state is RunState.DIRTY and step in ("intended", "done", "undoing"):
        return "left"
    return _FATES.get(step, step)


def _make_move(run: Run, attempt: Attempt, events: tuple[Event, ...]) -> PoolObject:
    outcome = attempt.outcome.removeprefix(DECIDED)
    return PoolObject(
        kind="VM migrated",
        name=run.request.vm_name,
        uuid=run.request.vm_uuid,
        host=run.request.destination_name,
        at=max((e.at for e in events if e.kind == "verdict"), default=attempt.created_at),
        fate=outcome if outcome in ("moved", "stayed") else "open",
        run_uuid=run.uuid,
    )
