"""What XAPI says when a migration, or the step before it, has begun and does not end well."""

from __future__ import annotations

from typing import Final

from lmflow.catalogue.entry import PROVES_NOTHING, Entry, Family

ENTRIES: Final = (
    Entry(
        code="INTERNAL_ERROR",
        family=Family.MOVING,
        title="Something broke inside XAPI or xenopsd",
        params=("message",),
        meaning="The operation failed inside; the message is for those who read the source.",
        cause=(
            "The copy broke off, the destination failed to restore the guest, a toolstack restarted in the "
            "middle, or a host lost power."
        ),
        vm_state=(
            f"{PROVES_NOTHING} On a real xapi it was seen with the VM running on the source, and with the VM "
            "running nowhere."
        ),
        remedy="Let lmflow ask both hosts.",
        command="lmflow why RUN",
        source="xenops_server.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="CANNOT_CONTACT_HOST",
        family=Family.MOVING,
        title="The coordinator lost a host in the middle",
        params=("host",),
        meaning="XAPI on the coordinator cannot reach the host it had given the work to.",
        cause=(
            "The toolstack of the source or the destination restarted or died, or the network between the hosts "
            "broke. The copy itself goes on between the hosts."
        ),
        vm_state=(
            f"{PROVES_NOTHING} On a real xapi the VM arrived after this code, and in another run the arrived "
            "domain was destroyed."
        ),
        remedy="Let lmflow ask both hosts once the pool has settled. Start nothing meanwhile.",
        command="lmflow why RUN",
        source="message_forwarding.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED",
        family=Family.MOVING,
        title="The source could not reach the destination",
        meaning="The source's xenopsd got no connection to the destination's.",
        cause=("A firewall, a wrong address or a certificate between the two hosts, or the destination went down."),
        vm_state=f"{PROVES_NOTHING} By XAPI's source it still runs on the source; lmflow asks both hosts all the same.",
        remedy="Repair the network between the two hosts, then ask for a new run.",
        command="lmflow why RUN",
        source="xenops_server.ml of xapi",
    ),
    Entry(
        code="VM_FAILED_SUSPEND_ACKNOWLEDGMENT",
        family=Family.MOVING,
        title="The guest did not answer the request to suspend",
        params=("vm",),
        meaning=(
            "At the end of the copy the guest is asked to suspend; it did not acknowledge that within thirty seconds."
        ),
        cause="The guest hangs, is very busy, or its tools do not run.",
        vm_state=f"{PROVES_NOTHING} By XAPI's source it still runs on the source; lmflow asks both hosts all the same.",
        remedy="Look at the guest and its tools, then ask for a new run.",
        command="lmflow why RUN",
        source="xenops_server.ml of xapi",
    ),
    Entry(
        code="VM_SUSPEND_TIMEOUT",
        family=Family.MOVING,
        title="The guest did not suspend in time",
        params=(
            "vm",
            "timeout",
        ),
        meaning=("The guest acknowledged the request to suspend and was not done within its twenty minutes."),
        cause="The guest hangs in the middle of suspending.",
        vm_state=(
            f"{PROVES_NOTHING} By XAPI's source it should run on the source, in a state that has to be looked at."
        ),
        remedy="Let lmflow ask both hosts, then look at the guest's console.",
        command="lmflow why RUN",
        source="xenops_server.ml of xapi",
    ),
    Entry(
        code="VM_MIGRATE_FAILED",
        family=Family.MOVING,
        title="The migration failed",
        params=(
            "vm",
            "source",
            "destination",
            "msg",
        ),
        meaning="An error in the middle of a migration, named in the last parameter.",
        cause=(
            "XAPI's source gives it for migrations with storage (migrate_send), which lmflow does not send: a "
            "subclass of the submit may."
        ),
        vm_state=PROVES_NOTHING,
        remedy="Let lmflow ask both hosts.",
        command="lmflow why RUN",
        source="xapi_vm_migrate.ml of xapi",
    ),
    Entry(
        code="INVALID_VALUE",
        family=Family.MOVING,
        title="A value is refused; after a migration: the kernel file is missing there",
        params=(
            "field",
            "value",
        ),
        meaning="XAPI refuses the value of a field.",
        cause=(
            "At the end of a migration: kernel or ramdisk of the VM is a file in the source's dom0, and the "
            "destination has not got it. lmflow copies the file before the submit, or refuses (VM_REQUIRES_KERNEL)."
        ),
        vm_state=(
            f"{PROVES_NOTHING} By XAPI's source the VM has arrived by then: a failed task, and the VM on the "
            "destination."
        ),
        remedy=("Let lmflow ask both hosts; copy the file to the destination before the VM's next reboot."),
        command="lmflow why RUN",
        source="xapi_xenops.ml of xapi (an error since 24.20); concluded from the source, not observed",
    ),
    Entry(
        code="HOST_IS_LIVE",
        family=Family.MOVING,
        title="The host is alive: its VMs are not declared dead",
        params=("host",),
        meaning="XAPI resets the power state only of VMs on hosts that it holds to be dead.",
        cause="Somebody tried to reset the power state of a VM on a live host. lmflow never does.",
        vm_state=f"{PROVES_NOTHING} A reset would only change XAPI's record, not the VM.",
        remedy="Do not force it; ask lmflow what is known of the VM.",
        command="lmflow why RUN",
        source="tried on a running xapi",
    ),
    Entry(
        code="DOMAIN_EXISTS",
        family=Family.MOVING,
        title="The VM still has a domain",
        params=(
            "vm",
            "domid",
        ),
        meaning="XAPI will not call a VM halted whose domain exists on the coordinator.",
        cause="Somebody tried to reset the power state of a VM that runs. lmflow never does.",
        vm_state=f"{PROVES_NOTHING} Its domain exists on the coordinator; whether another host has one is not said.",
        remedy="Do not force it; ask lmflow what is known of the VM.",
        command="lmflow why RUN",
        source="tried on a running xapi, with the VM alone as parameter",
    ),
)
