"""Where a run stands, and what follows from the evidence."""

from __future__ import annotations

from typing import Final

from lmflow.catalogue.entry import GOES_ON, PROVES_NOTHING, Entry, Family

ENTRIES: Final = (
    Entry(
        code="RUNNING",
        family=Family.STATES,
        title="A process works on the run",
        meaning="The run is open and has a living owner.",
        cause="It was begun or resumed, and has not ended.",
        vm_state="It may be on its way: XAPI shows it on the source until the end. Look at the evidence.",
        remedy="Nothing; watch it.",
        command="lmflow run show RUN",
        source="lmflow/models/requests.py",
    ),
    Entry(
        code="INTERRUPTED",
        family=Family.STATES,
        title="The run's owner is gone",
        meaning="The run says running, and the process that worked on it is dead or has lost its lease.",
        cause="The process was killed, or its machine went down.",
        vm_state=f"{PROVES_NOTHING} {GOES_ON}",
        remedy="Resume it, from any machine that reaches pool and database.",
        command="lmflow resume RUN",
        source="lmflow/runner/conditions.py",
    ),
    Entry(
        code="SUSPENDED",
        family=Family.STATES,
        title="lmflow let go of the run on purpose",
        meaning="The run is open and without owner, everything that is known is stored.",
        cause=(
            "Pool or database stayed away for too long, the deadline passed, somebody pressed ctrl-C, or a step "
            "met an error before it could judge."
        ),
        vm_state=f"{PROVES_NOTHING} {GOES_ON}",
        remedy="Remove the cause, then resume it.",
        command="lmflow resume RUN",
        source="lmflow/runner/ending.py",
    ),
    Entry(
        code="UNKNOWN",
        family=Family.STATES,
        title="It cannot be known where the VM runs: a person must decide",
        meaning=("The pool has settled, or had its time to, and the evidence does not settle where the VM runs."),
        cause=(
            "The witness of a host did not answer after a loss, it shows the VM on both hosts or on neither, or a"
            " host has not come back."
        ),
        vm_state=(
            f"{PROVES_NOTHING} It may run on the source, on the destination, on both or nowhere. lmflow starts, "
            "stops and moves nothing."
        ),
        remedy=(
            "Read the evidence, look at both hosts, then follow the command that is named. Start the VM nowhere "
            "before that."
        ),
        command="lmflow why RUN",
        source="lmflow/verdict/table.py",
    ),
    Entry(
        code="SUCCESS",
        family=Family.STATES,
        title="The move is done",
        meaning="The VM was proved to run on the destination, and the run has ended.",
        cause="The migration succeeded, or the VM turned out to be there already.",
        vm_state=("It was proved on the destination at that time. What happened to it later is not the run's."),
        remedy="Nothing.",
        command="lmflow run show RUN",
        source="lmflow/runner/ending.py",
    ),
    Entry(
        code="REFUSED",
        family=Family.STATES,
        title="A check said no, and nothing was changed",
        meaning=("At least one rule of lmflow or of XAPI found a reason against the move, before anything was sent."),
        cause="Each finding names its rule, its code and a remedy.",
        vm_state="Nothing began: the VM is as it was.",
        remedy="Remove the reasons, then ask again.",
        command="lmflow migrate VM --to HOST",
        source="lmflow/runner/ending.py",
    ),
    Entry(
        code="FAILED",
        family=Family.STATES,
        title="It was tried, and the VM is verified not to be on the destination",
        meaning="The move did not happen, and everything that lmflow had prepared is undone.",
        cause="XAPI refused or failed, or somebody cancelled the task.",
        vm_state="It was verified: on the source, or halted or elsewhere, as the run's first line says.",
        remedy="Read the code of XAPI; remove the cause; ask for a new run.",
        command="lmflow migrate VM --to HOST",
        source="lmflow/runner/ending.py",
    ),
    Entry(
        code="DIRTY",
        family=Family.STATES,
        title="As failed, and something of ours may be left in the pool",
        meaning="The run was rolled back, and a revert could not undo all, or cannot prove that it did.",
        cause=(
            "A host or the pool did not answer in the revert, storage that was plugged is in use by now, or "
            "nothing shows that it was us who plugged it."
        ),
        vm_state=("It was verified not to be on the destination when the run ended. What is left is listed by name."),
        remedy="Repair the run.",
        command="lmflow repair RUN",
        source="lmflow/runner/ending.py",
    ),
    Entry(
        code="CONCLUDE",
        family=Family.STATES,
        title="It runs on the destination",
        meaning="The move is done; verifying and cleaning up remain.",
        cause=(
            "The task succeeded, or the witness shows it on the destination only, or XAPI shows it on a "
            "destination whose toolstack did not restart."
        ),
        vm_state="It runs on the destination, or ran there when the task succeeded.",
        remedy="Resume the run, which concludes it.",
        command="lmflow resume RUN",
        source="lmflow/verdict/table.py",
    ),
    Entry(
        code="RE-ATTACH",
        family=Family.STATES,
        title="The migration is still under way",
        meaning="The task still runs, or the hosts show our task's copy in flight.",
        cause="The process died, the hosts did not.",
        vm_state="It is on its way: on the source, or just changing over. Start it nowhere.",
        remedy="Resume the run, which watches it to its end and sends nothing.",
        command="lmflow resume RUN",
        source="lmflow/verdict/table.py",
    ),
    Entry(
        code="REDO",
        family=Family.STATES,
        title="The migration never began, and may",
        meaning="Nothing was sent, or the evidence shows that what may have been sent never began.",
        cause="The process died before the submit, or the submit was lost on its way.",
        vm_state="It runs on the source.",
        remedy="Resume the run, which submits behind the fence.",
        command="lmflow resume RUN",
        source="lmflow/verdict/table.py",
    ),
    Entry(
        code="ROLL-BACK",
        family=Family.STATES,
        title="It is verified not to be on the destination",
        meaning="Nothing of ours is under way any more, and what was prepared is undone.",
        cause="The migration was refused, failed or was cancelled, or the VM was shut down meanwhile.",
        vm_state="Verified: on the source, or halted or elsewhere, as the explanation says.",
        remedy="Resume the run, which undoes what it did and ends it.",
        command="lmflow resume RUN",
        source="lmflow/verdict/table.py",
    ),
    Entry(
        code="WAIT",
        family=Family.STATES,
        title="Too early to say: the pool is settling",
        meaning="A toolstack restarted or a task was lost, and XAPI's view may still change; or a copy is in flight.",
        cause="The hosts have not all come back, or came back only seconds ago.",
        vm_state=PROVES_NOTHING,
        remedy="Ask again in half a minute.",
        command="lmflow why RUN",
        source="lmflow/verdict/table.py, lmflow/verdict/settling.py",
    ),
    Entry(
        code="ASK",
        family=Family.STATES,
        title="Too early to say: the witness is to be asked",
        meaning=(
            "The pool has settled, XAPI's view alone does not settle it, and the xenopsd of both hosts is asked next."
        ),
        cause="The task was lost, or failed with a code that proves nothing.",
        vm_state=PROVES_NOTHING,
        remedy="Ask again.",
        command="lmflow why RUN",
        source="lmflow/verdict/table.py",
    ),
    Entry(
        code="CANNOT-SAY",
        family=Family.STATES,
        title="The pool cannot be asked",
        meaning="What is true now cannot be said without the pool; only what was written last is shown.",
        cause="No address of the pool's profile answers, or the login is refused.",
        vm_state=PROVES_NOTHING,
        remedy="Make the pool reachable, then ask again.",
        command="lmflow why RUN",
        source="lmflow/runner/reports.py",
    ),
)
