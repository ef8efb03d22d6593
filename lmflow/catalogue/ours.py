"""lmflow's own codes: of its findings, where XAPI has none, and of its errors."""

from __future__ import annotations

from typing import Final

from lmflow.catalogue.entry import PROVES_NOTHING, Entry, Family

ENTRIES: Final = (
    Entry(
        code="HOST_NOT_IN_POOL",
        family=Family.OURS,
        title="The destination is not in the VM's pool",
        meaning="The host that was named, or stored, is none of this pool.",
        cause="A host of another pool was named, or the host has left the pool since.",
        vm_state="Nothing was sent: the VM runs where it ran.",
        remedy="Name a host of this pool.",
        command="xe host-list params=uuid,name-label",
        source="lmflow/checks/pool.py",
    ),
    Entry(
        code="VM_MOVED",
        family=Family.OURS,
        title="The VM is no longer where the run found it",
        meaning="Between the first look and the submit the VM came to run on another host.",
        cause="Somebody else, high availability or a load balancer moved it.",
        vm_state="Nothing was sent by this run: the VM runs where the other move put it.",
        remedy="Look where it is now; ask again if the move is still wanted.",
        command="lmflow migrate VM --to HOST",
        source="lmflow/tasks/submit_pool_migrate.py",
    ),
    Entry(
        code="VM_REQUIRES_KERNEL",
        family=Family.OURS,
        title="The VM boots from files in its host's dom0",
        meaning=("Kernel or ramdisk is a file on the source, which the guest would miss at its next reboot elsewhere."),
        cause=(
            "A paravirtual VM without boot loader: PV-kernel or PV-ramdisk is set. XAPI itself has no check for it."
        ),
        vm_state="Nothing was sent: the VM runs where it ran.",
        remedy="Let it boot from its disk (PV-bootloader), or move it while it is shut down.",
        command="xe vm-param-get uuid=VM_UUID param-name=PV-kernel",
        source="lmflow/checks/vm.py",
    ),
    Entry(
        code="ERROR",
        family=Family.OURS,
        title="An error without a code of its own",
        meaning="The base of lmflow's errors; the sentence beside it says what happened.",
        cause="Any; lmflow gives every error that it expects a code of its own.",
        vm_state=PROVES_NOTHING,
        remedy="See what is open.",
        command="lmflow status",
        source="lmflow/exceptions.py",
    ),
    Entry(
        code="USAGE",
        family=Family.OURS,
        title="The request itself is wrong",
        meaning="A name, an identifier or an option is unknown, ambiguous or not fitting.",
        cause=("A misspelt name, a prefix that fits several objects, a run that has not ended, an unknown column."),
        vm_state="Nothing was begun by this command.",
        remedy="Take one of the candidates that are listed, or give the UUID.",
        command="lmflow --help",
        source="lmflow/exceptions.py",
    ),
    Entry(
        code="CONFIGURATION",
        family=Family.OURS,
        title="The configuration, or the database it names, cannot be used",
        meaning=("A file, an option, a certificate, a password source or the database is not usable as it is."),
        cause=(
            "A missing section or file, a database of an older or newer version, a database file that others can "
            "read or that lies on a share."
        ),
        vm_state="Nothing was begun by this command. An open run is safe in its database.",
        remedy="Correct what the message names; an old database is upgraded.",
        command="lmflow db upgrade",
        source="lmflow/exceptions.py",
    ),
    Entry(
        code="CANCELLED",
        family=Family.OURS,
        title="The migration was cancelled, as asked",
        meaning=("Somebody asked for the migration to be cancelled, and it was; what was prepared is undone."),
        cause=(
            "A person or a program cancelled it in time. Once the guest is being suspended, XAPI ignores a cancel"
            " and the migration goes on."
        ),
        vm_state=(
            "It was verified not to be on the destination: on the source, or halted or elsewhere, as the message says."
        ),
        remedy="Ask for a new run if the move is still wanted.",
        command="lmflow migrate VM --to HOST",
        source="lmflow/exceptions.py; the late cancel was tried on a running xapi",
    ),
    Entry(
        code="UNREACHABLE",
        family=Family.OURS,
        title="Pool or database did not answer",
        meaning="None of the addresses answered, or the database was away for longer than its patience.",
        cause=("Network, firewall, a pool that restarts, wrong addresses, a database server that is down."),
        vm_state=("What is true of the VM cannot be said now. A migration that was sent goes on without us."),
        remedy="Make it reachable; then look, and resume.",
        command="lmflow status",
        source="lmflow/exceptions.py",
    ),
    Entry(
        code="LOGIN",
        family=Family.OURS,
        title="The pool would not let us in",
        meaning="The pool answered and refused: password, right or certificate.",
        cause=("A changed password, a certificate that is not the expected one, a role without the right."),
        vm_state=("What is true of the VM cannot be said now. A migration that was sent goes on without us."),
        remedy="Correct user, password or certificates in the pool's profile.",
        command="lmflow status",
        source="lmflow/exceptions.py",
    ),
    Entry(
        code="LOCKED",
        family=Family.OURS,
        title="Another run has the VM, or another process the run",
        meaning="There is at most one open run for a VM, and one owner for a run.",
        cause=(
            "Another run of this VM is open, or the same run is being watched elsewhere. A dead owner on another "
            "machine is waited for until its lease expires."
        ),
        vm_state="Nothing was sent by this command. What the other one does is shown by it.",
        remedy="Look at the other run; resume it if its owner is gone.",
        command="lmflow status",
        source="lmflow/exceptions.py",
    ),
    Entry(
        code="XAPI",
        family=Family.OURS,
        title="XAPI answered with a failure",
        meaning=("A call of the pool failed with a code and parameters of XAPI's own, which stand beside it."),
        cause="See the code of XAPI.",
        vm_state=f"{PROVES_NOTHING} The code of XAPI may say more.",
        remedy="Look the other code up.",
        command="lmflow explain CODE",
        source="lmflow/exceptions.py",
    ),
    Entry(
        code="NO_REPLY",
        family=Family.OURS,
        title="A request was sent and no reply was read",
        meaning="Whether the call took effect is unknown, not absent; it is never simply sent again.",
        cause=(
            "The connection broke, the coordinator's toolstack restarted, or the reply took longer than the read "
            "time-out."
        ),
        vm_state=PROVES_NOTHING,
        remedy=("Resume the run: it ends the old session, looks for a task of its own, and asks both hosts."),
        command="lmflow resume RUN",
        source="lmflow/exceptions.py",
    ),
    Entry(
        code="SESSION_NOT_ARMED",
        family=Family.OURS,
        title="The session may not change anything",
        meaning=("A changing call was held back, because the lease does not name this session: that is the fence."),
        cause=(
            "lmflow logged in again after a loss, and had not stored the new session with its lease when the call came."
        ),
        vm_state="The call was not sent.",
        remedy="Resume the run.",
        command="lmflow resume RUN",
        source="lmflow/exceptions.py",
    ),
    Entry(
        code="REQUEST_EXISTS",
        family=Family.OURS,
        title="This request id names an earlier run",
        meaning="A request id names one request for ever; that run is the answer.",
        cause="The same command was given twice, on purpose or by a pipeline that was repeated.",
        vm_state="Nothing new was sent. The earlier run says where the VM is.",
        remedy="Look at that run, or give another request id.",
        command="lmflow run show REQUEST_ID",
        source="lmflow/db/runs.py",
    ),
)
