"""What of the evidence weighs: a few named features, each with a few values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from lmflow.models import WitnessView
from lmflow.verdict.evidence import Evidence, Sent
from lmflow.verdict.ordered import is_ordered


@dataclasses.dataclass(frozen=True, slots=True)
class Feature:
    """A question to the evidence. ``values`` are all its answers, each with its meaning; ``read`` gives one of them."""

    asks: str
    values: Mapping[str, str]
    read: Callable[[Evidence], str]


def read_features(seen: Evidence) -> dict[str, str]:
    """Return the value of every feature. Pure."""
    return {name: feature.read(seen) for name, feature in FEATURES.items()}


def find_odd(seen: Evidence) -> str:
    """Return a state that a host's own xenopsd names and that is neither Running nor Halted, '' for none."""
    views = (seen.testimony(seen.source_uuid), seen.testimony(seen.destination_uuid))
    return next((w.power_state for w in views if w is not None and _say(w) == "odd" and w.power_state), "")


def _read_decided(seen: Evidence) -> str:
    return "yes" if seen.decided else "no"


def _read_task(seen: Evidence) -> str:
    task = seen.task
    if task is None:
        return "none"
    if task.status in ("pending", "success", "cancelled"):
        return task.status
    return "ordered" if is_ordered(task.error) else "failed"


def _read_shown(seen: Evidence) -> str:
    if seen.runs_on(seen.source_uuid):
        return "source"
    if seen.runs_on(seen.destination_uuid):
        return "destination"
    if not seen.power_state:
        return "gone"
    return "elsewhere" if seen.power_state == "Running" else "off"


def _read_restarted(seen: Evidence) -> str:
    if seen.destination_uuid in seen.restarted:
        return "destination"
    return "others" if seen.restarted else "none"


def _read_pool(seen: Evidence) -> str:
    if seen.settled:
        return "settled"
    return "overdue" if seen.overdue else "settling"


def _read_copy(seen: Evidence) -> str:
    if seen.witness is None:
        return "unasked"
    views = (seen.testimony(seen.source_uuid), seen.testimony(seen.destination_uuid))
    pending = {t.ref_digits for w in views if w is not None for t in w.tasks if t.state == "Pending"}
    if seen.ref_digits and seen.ref_digits in pending:
        return "ours"
    arriving = seen.testimony(seen.destination_uuid)
    return "arriving" if arriving is not None and arriving.incoming else "none"


def _read_rivals(seen: Evidence) -> str:
    return "some" if seen.rivals else "none"


def _read_there(seen: Evidence) -> str:
    view = seen.testimony(seen.destination_uuid)
    return "silent" if view is None else _say(view)


def _read_witness(seen: Evidence) -> str:
    if seen.witness is None:
        return "unasked"
    source, destination = seen.testimony(seen.source_uuid), seen.testimony(seen.destination_uuid)
    if source is None or destination is None:
        return "incomplete"
    said = _say(source), _say(destination)
    if said == ("running", "running"):
        return "both"
    if "odd" in said:
        return "odd"
    return {("running", "absent"): "source", ("absent", "running"): "destination"}.get(said, "neither")


def _say(view: WitnessView) -> str:
    return {"Running": "running", "Halted": "absent", None: "absent"}.get(view.power_state, "odd")


def _read_trace(seen: Evidence) -> str:
    return "kept" if seen.traceable else "lost"


FEATURES: Final[Mapping[str, Feature]] = MappingProxyType(
    {
        "sent": Feature(
            "Can a `pool_migrate` of ours be at work?",
            {
                Sent.NOTHING.value: "none was sent, or XAPI refused to read it",
                Sent.MAYBE.value: "the intent is stored, and no reply was read",
                Sent.ACCEPTED.value: "XAPI gave us a task",
                Sent.MOVED.value: "an earlier verdict that it moved is stored",
                Sent.STAYED.value: "an earlier verdict that it stayed is stored",
            },
            lambda seen: seen.sent.value,
        ),
        "decided": Feature(
            "Is what is stored a person's word?",
            {"yes": "a person decided it (`lmflow resolve`)", "no": "lmflow verified it, or nothing is stored"},
            _read_decided,
        ),
        "task": Feature(
            "What does the task's record say?",
            {
                "none": "it is gone, or was never seen",
                "pending": "it runs",
                "success": "it ended in success",
                "cancelled": "it was cancelled",
                "ordered": "it failed with a code of the ordered checks: nothing began",
                "failed": "it failed otherwise, which proves nothing",
            },
            _read_task,
        ),
        "shown": Feature(
            "Where does XAPI show the VM now?",
            {
                "source": "Running on the source",
                "destination": "Running on the destination",
                "elsewhere": "Running on another host, or on none",
                "off": "in another state than Running",
                "gone": "not at all: the pool has no such VM",
            },
            _read_shown,
        ),
        "restarted": Feature(
            "Which toolstack of source, destination and coordinator restarted since the submit?",
            {"none": "none", "others": "one, but not the destination's", "destination": "the destination's"},
            _read_restarted,
        ),
        "pool": Feature(
            "Has the pool settled?",
            {
                "settling": "not yet: it was not watched for long enough, or changed just now, or a host is not back",
                "overdue": "not in the time that it is given",
                "settled": "yes",
            },
            _read_pool,
        ),
        "copy": Feature(
            "Do the hosts' own xenopsd show a copy in flight?",
            {
                "unasked": "they were not asked yet",
                "ours": "the task that XAPI gave us is still pending there",
                "arriving": "a copy of the VM is arriving on the destination",
                "none": "none is to be seen",
            },
            _read_copy,
        ),
        "rivals": Feature(
            "Are there pending migrations whose VM cannot be told?",
            {"none": "none", "some": "at least one, which may be ours"},
            _read_rivals,
        ),
        "witness": Feature(
            "On which of the two hosts does their own xenopsd say that the VM runs?",
            {
                "unasked": "they were not asked yet",
                "incomplete": "at least one of the two does not answer",
                "source": "on the source only",
                "destination": "on the destination only",
                "both": "on BOTH",
                "neither": "on neither",
                "odd": "one of them names another state than Running and Halted",
            },
            _read_witness,
        ),
        "there": Feature(
            "What does the destination's xenopsd say, whatever the source's does?",
            {
                "silent": "nothing: it was not asked or does not answer",
                "running": "it runs there",
                "absent": "it is not known there, or Halted",
                "odd": "another state",
            },
            _read_there,
        ),
        "trace": Feature(
            "Would a migration, had one taken place, still be seen?",
            {
                "kept": "yes: XAPI still keeps its task's record, and the VM's domain is the same",
                "lost": "perhaps not: the attempt is old, or the VM has another domain than at the submit",
            },
            _read_trace,
        ),
    }
)
