"""Which verdicts last at the first look."""

from __future__ import annotations

import dataclasses

import pytest

from lmflow.models import TaskView, WitnessView
from lmflow.tasks.verdicts import is_final
from lmflow.tasks.watch import Sight
from lmflow.verdict import Evidence, Sent, VerdictKind, decide

CANCELLED = TaskView("t", "Async.VM.pool_migrate", "cancelled", 0.5, cancellable=False)
SEEN = Evidence("s", "d", Sent.ACCEPTED, "Halted", None, task=CANCELLED)
RESTARTED = dataclasses.replace(SEEN, restarted=("s",), settled=True)
SILENT = (WitnessView("d", answered=False), WitnessView("s", answered=False))
ARRIVED = (WitnessView("d", answered=True, power_state="Running"), WitnessView("s", answered=True))


def look(seen: Evidence) -> Sight:
    return Sight(evidence=seen, verdict=decide(seen), vm=None, hosts=(), attempt=None)


def test_the_end_of_a_task_stands_by_itself() -> None:
    assert is_final(look(SEEN), None)


@pytest.mark.parametrize(
    ("witness", "kind"), [(SILENT, VerdictKind.ROLL_BACK), (ARRIVED, VerdictKind.CONCLUDE), ((), VerdictKind.ROLL_BACK)]
)
def test_what_the_witnesses_say_or_do_not_say_has_to_come_twice(
    witness: tuple[WitnessView, ...], kind: VerdictKind
) -> None:
    sight = look(dataclasses.replace(RESTARTED, witness=witness))
    assert sight.verdict.kind is kind
    assert not is_final(sight, None)
    assert not is_final(sight, VerdictKind.UNKNOWN)
    assert is_final(sight, kind)
