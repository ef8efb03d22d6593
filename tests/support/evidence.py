"""Every combination of evidence that can make a difference to a verdict, and the parts it is made of."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from lmflow.models import TaskView, WitnessView, XapiError, XenopsTask
from lmflow.verdict import Evidence, Sent

SOURCE, DESTINATION, THIRD = "host-s", "host-d", "host-x"
DIGITS = "18444f577ece"


def make_task(status: str, code: str = "", *params: str) -> TaskView:
    error = XapiError(code, params) if code else None
    return TaskView("t", "Async.VM.pool_migrate", status, 0.5, cancellable=True, error=error)


TASKS = (
    None,
    make_task("pending"),
    make_task("success"),
    make_task("cancelled"),
    make_task("failure", "INTERNAL_ERROR", "xenopsd internal error"),
    make_task("failure", "HOST_DISABLED", "h"),
)
PLACES = (("Running", SOURCE), ("Running", DESTINATION), ("Running", THIRD), ("Halted", None), ("", None))
RESTARTS: tuple[tuple[str, ...], ...] = ((), (SOURCE,), (DESTINATION,))
SETTLING = ((False, False), (False, True), (True, False))
STATES = (None, "Running", "Halted", "Paused")
PENDING = XenopsTask("Async.VM.pool_migrate", DIGITS, "Pending", 0.4)


def list_views(host_uuid: str, *, incoming: bool) -> tuple[WitnessView, ...]:
    """Return what one host's xenopsd can answer: nothing, or a state, with and without a copy under way."""
    said = [WitnessView(host_uuid, answered=True, power_state=state) for state in STATES]
    copies = [WitnessView(host_uuid, answered=True, incoming=True)] if incoming else []
    at_work = WitnessView(host_uuid, answered=True, power_state="Running", tasks=(PENDING,))
    over = dataclasses.replace(at_work, tasks=(dataclasses.replace(PENDING, state="Completed"),))
    return (WitnessView(host_uuid, answered=False), *said, *copies, at_work, over)


WITNESSES: tuple[tuple[WitnessView, ...] | None, ...] = (
    None,
    (),
    *itertools.product(list_views(DESTINATION, incoming=True), list_views(SOURCE, incoming=False)),
)


def every_evidence() -> Iterator[Evidence]:
    """Yield them all, some sixty thousand; what the hosts say is varied less where something is stored of it."""
    varied = [(sent, WITNESSES if sent in (Sent.MAYBE, Sent.ACCEPTED) else WITNESSES[:9]) for sent in Sent]
    asked = [(sent, witness) for sent, witnesses in varied for witness in witnesses]
    for (sent, witness), (state, host), task, restarted, (settled, overdue) in itertools.product(
        asked, PLACES, TASKS, RESTARTS, SETTLING
    ):
        common = Evidence(
            SOURCE, DESTINATION, sent, state, host, task=task, restarted=restarted, settled=settled, overdue=overdue,
            witness=witness, ref_digits=DIGITS if sent is Sent.ACCEPTED else "",
        )  # fmt: skip
        yield common
        if sent is Sent.MAYBE:
            yield dataclasses.replace(common, rivals=1)
            yield dataclasses.replace(common, traceable=False)
        if sent in (Sent.MOVED, Sent.STAYED):
            yield dataclasses.replace(common, decided=True)
