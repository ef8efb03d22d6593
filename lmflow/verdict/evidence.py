"""What may weigh in a verdict, and nothing else."""

from __future__ import annotations

import dataclasses
import enum

from lmflow.models import VM, Attempt, Host, Model, TaskView, WitnessView

DECIDED = "decided "
"""How the outcome of an attempt begins that no evidence settled: a person decided ``moved`` or ``stayed``."""


class Sent(enum.StrEnum):
    """Whether a ``pool_migrate`` of ours can be at work.

    ``nothing``: none was sent, or XAPI refused to read it. ``maybe``: the intent is committed and no reply was
    read. ``accepted``: XAPI gave us a task. ``moved``/``stayed``: an earlier verdict on it is stored, or a person's
    decision.
    """

    NOTHING = "nothing"
    MAYBE = "maybe"
    ACCEPTED = "accepted"
    MOVED = "moved"
    STAYED = "stayed"


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence(Model):
    """One look at a migration.

    ``power_state`` and ``resident_on_uuid`` are XAPI's view now; ``power_state`` is '' when XAPI has no such VM.
    ``rivals`` counts pending migrations whose VM cannot be told: one of them may be ours. ``restarted`` are the
    hosts, of source, destination and coordinator, whose toolstack restarted since the submit. ``settled`` is
    what ``settling`` says. ``witness`` is None when it was not asked yet. ``traceable`` says
    that a migration, had one taken place since the attempt, would still be seen: by its task's record, or by another
    domain of the VM. ``decided`` says that ``moved`` or ``stayed`` was a person's word.
    """

    source_uuid: str
    destination_uuid: str
    sent: Sent
    power_state: str
    resident_on_uuid: str | None
    operations: tuple[str, ...] = ()
    task: TaskView | None = None
    rivals: int = 0
    restarted: tuple[str, ...] = ()
    settled: bool = False
    overdue: bool = False
    witness: tuple[WitnessView, ...] | None = None
    ref_digits: str = ""
    traceable: bool = True
    decided: bool = False

    def runs_on(self, host_uuid: str) -> bool:
        """Tell whether XAPI, and only XAPI, shows the VM Running on that host."""
        return self.power_state == "Running" and self.resident_on_uuid == host_uuid

    def testimony(self, host_uuid: str) -> WitnessView | None:
        """Return what the witness of that host answered, or None when it was not asked or did not answer."""
        return next((w for w in self.witness or () if w.host_uuid == host_uuid and w.answered), None)


def make_evidence(
    attempt: Attempt | None,
    *,
    source_uuid: str,
    destination_uuid: str,
    vm: VM | None,
    hosts: tuple[Host, ...],
    task: TaskView | None = None,
    rivals: int = 0,
    settled: bool = False,
    overdue: bool = False,
    witness: tuple[WitnessView, ...] | None = None,
    recent: bool = True,
) -> Evidence:
    """Put together what was read; ``attempt`` is the latest one, None when nothing was ever to be sent.

    ``recent``: the attempt is younger than XAPI keeps the records of finished tasks.
    """
    return Evidence(
        source_uuid=source_uuid,
        destination_uuid=destination_uuid,
        sent=find_sent(attempt),
        power_state=vm.power_state if vm else "",
        resident_on_uuid=vm.resident_on_uuid if vm else None,
        operations=vm.current_operations if vm else (),
        task=task,
        rivals=rivals,
        restarted=find_restarted(attempt, hosts),
        settled=settled,
        overdue=overdue,
        witness=witness,
        ref_digits=attempt.ref_digits if attempt else "",
        traceable=recent and (attempt is None or vm is None or attempt.domid in (-1, vm.domid)),
        decided=attempt is not None and attempt.outcome.startswith(DECIDED),
    )


def find_restarted(attempt: Attempt | None, hosts: tuple[Host, ...]) -> tuple[str, ...]:
    """Return the hosts whose ``agent_start_time`` is another than the one stored with the submit.

    A host that was part of the submit and is no longer shown counts as restarted: nothing is known of it.
    """
    if attempt is None:
        return ()
    now = {h.uuid: h.agent_start_time for h in hosts}
    return tuple(sorted(u for u, start in attempt.starts.items() if now.get(u) != start))


def find_sent(attempt: Attempt | None) -> Sent:
    """Return whether that attempt, or none, can be at work."""
    if attempt is None:
        return Sent.NOTHING
    if attempt.state == "ended":
        outcomes = {"moved": Sent.MOVED, "stayed": Sent.STAYED}
        return outcomes.get(attempt.outcome.removeprefix(DECIDED), Sent.NOTHING)
    return Sent.ACCEPTED if attempt.state == "accepted" else Sent.MAYBE
