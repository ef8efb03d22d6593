"""lmflow's own codes: of its findings, where XAPI has none, and of its errors."""

from __future__ import annotations

from typing import Final

from lmflow.catalogue.entry import GOES_ON, NOTHING_SENT, PROVES_NOTHING, Entry, Family

ENTRIES: Final = (
    Entry(
        code="HOST_NOT_IN_POOL",
        family=Family.OURS,
        title="The destination is not in the VM's pool",
        meaning="The host that was named, or stored, is none of this pool.",
        cause="A host of another pool was named, or the host has left the pool since.",
        vm_state=NOTHING_SENT,
        remedy="Name a host of this pool.",
        command="xe host-list params=uuid,name-label",
        source="lmflow/checks/pool.py",
    ),
    Entry(
        code="VM_ALREADY_THERE",
        family=Family.OURS,
        title="The VM runs on the destination already",
        meaning="Nothing is to be done. Without --strict that is a success; with it, it is a refusal.",
        cause="The move was made before, by lmflow or by others, or the host that was named is the wrong one.",
        vm_state="Nothing was sent: the VM runs on the destination.",
        remedy="Leave out --strict to count this as done.",
        command="lmflow migrate VM --to HOST",
        source="lmflow/api/driving.py",
    ),
    Entry(
        code="VM_CLAIMED",
        family=Family.OURS,
        title="Another run of lmflow holds the VM",
        meaning="The VM says itself, in its other_config, which run holds it: of this database, or of any other.",
        cause=(
            "That run goes on, was interrupted and waits for its resume, or waits for a person. Or it has ended and "
            "its mark is back, or was left; or its database is gone; or the VM was copied while it was held."
        ),
        vm_state="Nothing was sent by this run: the VM is where that other run has it.",
        remedy=(
            "Bring that run to its end with the database that it is kept in. Only if it has ended, or is of "
            "another VM (this is a copy), or its database is gone for good and no lmflow drives it, and if no "
            "operation goes on with the VM, take the mark off by hand."
        ),
        command="xe vm-param-remove uuid=VM_UUID param-name=other-config param-key=lmflow-run",
        source="lmflow/checks/claim.py",
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
        source="lmflow/tasks/other_operations.py",
    ),
    Entry(
        code="VM_REQUIRES_KERNEL",
        family=Family.OURS,
        title="The VM boots from files in its host's dom0",
        meaning="Kernel or ramdisk is a file on the source that lmflow cannot take along.",
        cause=(
            "PV-kernel or PV-ramdisk is set. XAPI itself has no check for it. lmflow copies such files with a plugin "
            "in dom0: it is missing on a host, or the file is not below /var/lib/xcp/guest/."
        ),
        vm_state=NOTHING_SENT,
        remedy="Install the plugin on both hosts, or let the VM boot from its disk (PV-bootloader).",
        command="xe vm-param-get uuid=VM_UUID param-name=PV-kernel",
        source="lmflow/checks/kernel.py",
    ),
    Entry(
        code="VM_IS_LMFLOW_ITSELF",
        family=Family.OURS,
        title="lmflow runs in the VM that it is to migrate",
        meaning="The VM holds the machine on which lmflow runs; it would stop watching in the middle of the move.",
        cause="The UUID of the own VM, read from the machine or set as own_vm in [checks], is that of the VM.",
        vm_state=NOTHING_SENT,
        remedy="Run lmflow somewhere else for this move.",
        command="lmflow config show",
        source="lmflow/checks/vm.py",
    ),
    Entry(
        code="TOOLSTACK_RESTARTED",
        family=Family.OURS,
        title="A toolstack restarted a moment ago",
        meaning="Source, destination or coordinator restarted its toolstack less than two minutes ago; a warning only.",
        cause=(
            "An update, an administrator or a crash restarted it. Clocks of pool and lmflow that differ hide or feign "
            "it."
        ),
        vm_state="It runs; for some time after a restart the pool may show a VM wrongly.",
        remedy="Wait until all hosts are enabled again, then ask again.",
        command="xe host-list params=name-label,enabled",
        source="lmflow/checks/host.py; restarts were tried on a running xapi",
    ),
    Entry(
        code="RESERVATION_LEFT",
        family=Family.OURS,
        title="Memory is kept for a VM that nothing brings there",
        meaning="A VM is scheduled to be on a host while no operation is under way that would bring it there.",
        cause="A start or a migration ended without taking its reservation back.",
        vm_state="Nothing happened to it: the reservation counts as memory taken on that host.",
        remedy="See what had sent it there.",
        command="xe vm-list params=uuid,name-label,resident-on",
        source="lmflow/checks/vm.py, lmflow/checks/host.py",
    ),
    Entry(
        code="RULE_FAILED",
        family=Family.OURS,
        title="A rule of the site cannot be asked",
        meaning=(
            "A rule that is not lmflow's own could not be loaded, raised, took too long, or answered what is no "
            "finding. What it would have said is unknown, so it counts as a no."
        ),
        cause="An error in the package that the message names, or what that package asks does not answer.",
        vm_state=NOTHING_SENT,
        remedy="Repair or remove the rule, or switch it off by its name: disabled in [checks].",
        command="lmflow check --sources",
        source="lmflow/checks/asking.py",
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
        code="DAMAGED",
        family=Family.OURS,
        title="What the database holds of one run cannot be used",
        meaning="A row of the run is no JSON, lacks what every run has, or holds what this lmflow never writes.",
        cause="Somebody edited the database, a backup was restored in part, or a disk failed.",
        vm_state="Nothing was done for this run. Only the pool can say where its VM runs. Other runs go on.",
        remedy="Restore the run from a backup of the database. Until then look in the pool for its VM.",
        command="lmflow run list --all",
        source="lmflow/exceptions.py",
    ),
    Entry(
        code="PLUGIN",
        family=Family.OURS,
        title="Something that was added to lmflow cannot be used",
        meaning="A rule, a strategy or a hook of the site's own is missing, failed, hung or answered nonsense.",
        cause=(
            "An entry point that cannot be loaded, an error in its code, an answer that takes too long; the message "
            "says whose it is. lmflow does not go on without a rule that it was told to ask."
        ),
        vm_state=f"{PROVES_NOTHING} It comes before the submit, where nothing was sent, or after the arrival.",
        remedy="Repair or uninstall the package that the message names, or switch the rule off by configuration.",
        command="lmflow config show",
        source="lmflow/plugins.py",
    ),
    Entry(
        code="HOOK_FAILED",
        family=Family.OURS,
        title="A hook of the site failed",
        meaning="Something that the site has run around each migration ended with an error, or did not end in time.",
        cause="The hook itself; the message has its name and what it said. Here its failure is set to be fatal.",
        vm_state=(
            "Before the migration: nothing was changed in the pool, and the VM runs where it ran. Afterwards: the VM "
            "is on the destination, and the run can be resumed at the hook."
        ),
        remedy="Repair the hook, then ask again or resume; or let its failure be a warning.",
        command="lmflow config show",
        source="lmflow/tasks/hooks.py",
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
        vm_state=f"What is true of the VM cannot be said now. {GOES_ON}",
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
        vm_state=f"What is true of the VM cannot be said now. {GOES_ON}",
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
        meaning="A request id names one request for ever, also when its records were pruned; that run is the answer.",
        cause="The same command was given twice, on purpose or by a pipeline that was repeated.",
        vm_state="Nothing new was sent. The earlier run says where the VM is.",
        remedy="Look at that run, or give another request id.",
        command="lmflow run show REQUEST_ID",
        source="lmflow/db/runs.py",
    ),
)
