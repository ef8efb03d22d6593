"""What the exit codes of the commands say."""

from __future__ import annotations

from typing import Final

from lmflow.catalogue.entry import GOES_ON, PROVES_NOTHING, Entry, Family

ENTRIES: Final = (
    Entry(
        code="0",
        family=Family.EXITS,
        title="Done",
        meaning=(
            "The command did what was asked; of a move: the VM is on the destination; of a cancel: it was cancelled."
        ),
        cause="All went well, or the VM was there already and nothing was sent.",
        vm_state=("Of a move: it was proved on the destination. Of a cancel: it was verified not to be there."),
        remedy="Nothing.",
        command="lmflow run list --all",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="1",
        family=Family.EXITS,
        title="Internal error",
        meaning=("Something went wrong in lmflow itself; the traceback is in a file that the message names."),
        cause="A defect of lmflow, or an answer that could not be written.",
        vm_state=f"{PROVES_NOTHING} A run that had begun is safe in the database.",
        remedy="See what is open, and report the traceback.",
        command="lmflow status",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="2",
        family=Family.EXITS,
        title="Usage or configuration",
        meaning="The request itself, or the configuration, is wrong.",
        cause="See USAGE and CONFIGURATION.",
        vm_state="Nothing was begun by this command.",
        remedy="Correct what the message names.",
        command="lmflow explain USAGE",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="3",
        family=Family.EXITS,
        title="Refused",
        meaning="The answer is no, and nothing was changed by what was asked.",
        cause=(
            "A check found a reason: see the findings, each with a code. Of a cancel: it came too late, or the "
            "move was done already. Of a resolve: evidence can settle the question, or a host says the opposite."
        ),
        vm_state=("Of a move: nothing began, the VM is as it was. Of a cancel: the migration goes on, or has arrived."),
        remedy="Remove the reasons, then ask again.",
        command="lmflow explain REFUSED",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="4",
        family=Family.EXITS,
        title="Failed or cancelled, everything of ours undone",
        meaning="It was tried, and the VM is verified not to be on the destination.",
        cause="See FAILED and the code of XAPI.",
        vm_state="It was verified: on the source, or halted or elsewhere, as the first line says.",
        remedy="Read the code of XAPI, then ask for a new run.",
        command="lmflow explain FAILED",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="5",
        family=Family.EXITS,
        title="Interrupted, resumable",
        meaning="lmflow let go of the run, and everything that is known is stored.",
        cause=(
            "SIGTERM, SIGHUP or the deadline: see SUSPENDED. Of a run that is waited for: nobody drives it any more."
        ),
        vm_state=f"{PROVES_NOTHING} {GOES_ON}",
        remedy="Resume the run.",
        command="lmflow resume RUN",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="6",
        family=Family.EXITS,
        title="Partly done",
        meaning="Of several runs some are done and some are not.",
        cause="A resume without a run, which takes up all of them.",
        vm_state="Each run's own line says it.",
        remedy="See what is still open.",
        command="lmflow status",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="7",
        family=Family.EXITS,
        title="Unknown: a person must decide",
        meaning="The evidence does not settle where the VM runs, or whether a call took effect.",
        cause="See UNKNOWN and NO_REPLY.",
        vm_state=f"{PROVES_NOTHING} Start the VM nowhere.",
        remedy="Read the evidence, look at both hosts, then follow the command that is named.",
        command="lmflow why RUN",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="8",
        family=Family.EXITS,
        title="The wait is over, the run goes on",
        meaning="The command stopped waiting; the run goes on without it.",
        cause="The time given to run wait or cancel with --timeout has passed. A request to cancel stands.",
        vm_state="It may be on its way.",
        remedy="Look at the run.",
        command="lmflow run show RUN",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="9",
        family=Family.EXITS,
        title="Pool or database unreachable",
        meaning="Nobody answered, or the pool would not let us in.",
        cause=(
            "See UNREACHABLE and LOGIN. status ends with 0 where a pool does not answer, and says so in its first line."
        ),
        vm_state=f"What is true of the VM cannot be said now. {GOES_ON}",
        remedy="Make it reachable, then look.",
        command="lmflow status",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="10",
        family=Family.EXITS,
        title="Locked by another run",
        meaning="Another run has the VM, or another process the run.",
        cause="See LOCKED; or this command's own lease was taken while it worked.",
        vm_state="This command sends nothing any more. What the other one does is shown by it.",
        remedy="Look at the other run.",
        command="lmflow status",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="11",
        family=Family.EXITS,
        title="As 4, and something of ours is left",
        meaning="The run was rolled back, and something that lmflow did to the pool may be left.",
        cause="See DIRTY.",
        vm_state="It was verified not to be on the destination when the run ended.",
        remedy="Repair the run.",
        command="lmflow repair RUN",
        source="lmflow/cli/exits.py",
    ),
    Entry(
        code="130",
        family=Family.EXITS,
        title="Ended by ctrl-C",
        meaning="Somebody pressed ctrl-C; the message says whether the run goes on or can be resumed.",
        cause="Ctrl-C, once or twice; SIGTERM and SIGHUP end with 5.",
        vm_state=f"{PROVES_NOTHING} {GOES_ON}",
        remedy="Look, then resume.",
        command="lmflow status",
        source="lmflow/cli/exits.py",
    ),
)
