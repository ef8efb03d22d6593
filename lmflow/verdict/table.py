"""The table of verdicts. The first row that fits wins; what follows a row may rely on its not having fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lmflow.verdict.features import FEATURES
from lmflow.verdict.kinds import VerdictKind

LOSS: Final = "law 1: a failure, a lost task, or a restart proves nothing"
VIEW: Final = "law 1: the task's own end settles, and XAPI's view with it"
WITNESS: Final = "law 1: the settled pool's witness of both hosts settles"
OPEN: Final = "law 5: what cannot be settled is unknown, and nothing is touched"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One verdict. ``when`` holds the values of features for which it is given; a feature not named may have any.

    ``because`` is a template over the words of ``decide``; ``rests_on`` names the law or the fact behind it.
    """

    name: str
    when: Mapping[str, frozenset[str]]
    kind: VerdictKind
    by: str
    because: str
    rests_on: str

    def fits(self, features: Mapping[str, str]) -> bool:
        """Tell whether every condition holds."""
        return all(features[name] in values for name, values in self.when.items())


def _row(name: str, kind: VerdictKind, by: str, because: str, rests_on: str, **when: str) -> Row:
    """Make a row; the values of a condition are written with spaces between them, ``!`` stands for all others."""
    conditions = {}
    for feature, text in when.items():
        values, known = frozenset(text.removeprefix("!").split()), frozenset(FEATURES[feature].values)
        if not values <= known:
            raise ValueError(f"row {name}: {feature} has no value {', '.join(values - known)}")
        conditions[feature] = known - values if text.startswith("!") else values
    return Row(name, MappingProxyType(conditions), kind, by, because, rests_on)


CONCLUDE, ROLL_BACK, REDO = VerdictKind.CONCLUDE, VerdictKind.ROLL_BACK, VerdictKind.REDO
RE_ATTACH, WAIT, ASK, UNKNOWN = VerdictKind.RE_ATTACH, VerdictKind.WAIT, VerdictKind.ASK, VerdictKind.UNKNOWN

_BEFORE = (
    _row(
        "nothing-sent-there-already", CONCLUDE, "xapi", "nothing was sent, and it runs on the destination already",
        "law 1: nothing was sent, so XAPI's view settles", sent="nothing", shown="destination",
    ),
    _row(
        "nothing-sent", REDO, "xapi", "nothing was sent, and it runs on the source",
        "law 1: nothing was sent, so XAPI's view settles", sent="nothing", shown="source",
    ),
    _row(
        "nothing-sent-and-not-on-the-source", ROLL_BACK, "xapi",
        "nothing was sent, and the VM is {state}, not on the source",
        "law 1: nothing was sent, so XAPI's view settles", sent="nothing",
    ),
    _row(
        "decided-moved", CONCLUDE, "record", "a person decided that it is on the destination",
        "law 5: a person has decided", sent="moved", decided="yes",
    ),
    _row(
        "verified-moved", CONCLUDE, "record", "it was verified to be on the destination",
        "law 4: what was verified and stored stands", sent="moved",
    ),
    _row(
        "decided-stayed", ROLL_BACK, "record", "a person decided that it is elsewhere than on the destination",
        "law 5: a person has decided", sent="stayed", decided="yes",
    ),
    _row(
        "verified-stayed", ROLL_BACK, "record", "it was verified to be elsewhere than on the destination",
        "law 3: what was verified and stored stands", sent="stayed",
    ),
)  # fmt: skip

_BY_TASK = (
    _row(
        "task-pending", RE_ATTACH, "task", "the task is still migrating ({progress})",
        "law 2: it is under way, and is watched to its end", task="pending",
    ),
    _row(
        "task-success-arrived", CONCLUDE, "task", "the task succeeded and it runs on the destination",
        VIEW, task="success", shown="destination",
    ),
    _row(
        "task-success-left-since", CONCLUDE, "later", "the task succeeded; the VM is {place} since",
        "law 4: it ran on the destination, the way is forward", task="success", shown="!source", restarted="none",
    ),
    _row(
        "task-ended-arrived", CONCLUDE, "task", "the task ended {status}, and it runs on the destination",
        VIEW, task="cancelled ordered", shown="destination", restarted="none",
    ),
    _row(
        "task-success-moved-back", ROLL_BACK, "task", "the task ended: {word}; the VM is {place}",
        VIEW, task="success", shown="source", restarted="none",
    ),
    _row(
        "task-cancelled", ROLL_BACK, "task", "the task ended: {word}; the VM is {place}",
        VIEW, task="cancelled", restarted="none",
    ),
    _row(
        "task-refused", ROLL_BACK, "task", "the task ended: {word}; the VM is {place}",
        "law 1: the ordered checks come before anything begins", task="ordered", restarted="none",
    ),
)  # fmt: skip

_SETTLING = (
    _row(
        "pool-overdue", UNKNOWN, "", "{lost}, and the pool has not settled in its time", OPEN, pool="overdue",
    ),
    _row("pool-settling", WAIT, "", "{lost}; the pool is settling", LOSS, pool="settling"),
    _row(
        "witness-unasked", ASK, "", "{lost}; the pool has settled, the witness is to be asked", LOSS, witness="unasked",
    ),
    _row(
        "copy-of-our-task", RE_ATTACH, "witness", "the witness shows a copy in flight, our task's",
        "fact: xenopsd names the migration by its task's reference, also after XAPI has forgotten it", copy="ours",
    ),
    _row(
        "copy-in-flight", WAIT, "witness", "the witness shows a copy in flight",
        "fact: the copy outlives a restart of the toolstack; a pool with a copy in flight has not settled",
        copy="arriving",
    ),
    _row(
        "rival-may-be-ours", RE_ATTACH, "task", "a pending migration may be ours",
        "law 2: it is waited for, not sent again; what waits at the coordinator outlives a restart of others",
        sent="maybe", rivals="some", task="none failed",
    ),
)  # fmt: skip

_TASK_AND_WITNESS = (
    _row(
        "unwitnessed-arrived", CONCLUDE, "xapi", "{lost}, but it runs on the destination, which did not restart",
        "law 1: shown on a destination whose toolstack did not restart",
        witness="incomplete", shown="destination", restarted="!destination", there="silent running",
    ),
    _row(
        "unwitnessed-ended-arrived", CONCLUDE, "xapi", "{lost}, and it runs on the destination",
        VIEW, witness="incomplete", task="cancelled ordered", shown="destination", there="silent running",
    ),
    _row(
        "unwitnessed-success-left-since", CONCLUDE, "later", "the task succeeded; the VM is {place} since",
        "law 4: it ran on the destination, the way is forward",
        witness="incomplete", task="success", shown="elsewhere off gone",
    ),
    _row(
        "success-left-since", CONCLUDE, "later", "the task succeeded; the VM is {place} since",
        "law 4: it ran on the destination, the way is forward",
        witness="neither odd", task="success", shown="elsewhere off gone",
    ),
    _row(
        "unwitnessed-ended", ROLL_BACK, "task", "{lost}; the VM is {place}",
        VIEW, witness="incomplete", task="cancelled ordered", shown="!destination", there="silent absent",
    ),
    _row(
        "ended-and-off-since", ROLL_BACK, "task", "{lost}; the VM is {place}, and not on the destination",
        VIEW, witness="neither odd", task="cancelled ordered", shown="elsewhere off gone", there="absent",
    ),
)  # fmt: skip

_BY_WITNESS = (
    _row(
        "unwitnessed", UNKNOWN, "", "{lost}; XAPI shows it {place}, and no witness of both hosts confirms it", OPEN,
        witness="incomplete",
    ),
    _row(
        "witness-on-both", UNKNOWN, "witness", "{lost}, and BOTH hosts say that it runs there", OPEN, witness="both",
    ),
    _row(
        "witness-odd", UNKNOWN, "witness", "{lost}, and the witness shows it in state {odd}", OPEN, witness="odd",
    ),
    _row(
        "witness-on-neither", UNKNOWN, "witness", "{lost}, and the witness shows it running on neither host", OPEN,
        witness="neither",
    ),
    _row(
        "witness-on-the-destination", CONCLUDE, "witness",
        "{lost}, but the witness shows it on the destination only", WITNESS, witness="destination",
    ),
    _row(
        "never-began", REDO, "witness", "no migration began: no task, and the witness shows it on the source only",
        "law 2: behind the fence, settled pool and witness show that it never began",
        witness="source", sent="maybe", task="none", restarted="none", trace="kept",
    ),
    _row(
        "witness-on-the-source", ROLL_BACK, "witness", "{lost}, and the witness shows it on the source only", WITNESS,
        witness="source",
    ),
)  # fmt: skip

TABLE: Final[tuple[Row, ...]] = (*_BEFORE, *_BY_TASK, *_SETTLING, *_TASK_AND_WITNESS, *_BY_WITNESS)
"""All rows, in the order in which they are tried."""
