"""XAPI refuses at its door, before it reads what is asked: session, coordinator, rights, references."""

from __future__ import annotations

from typing import Final

from lmflow.catalogue.entry import MEANWHILE, NOT_TAKEN, NOTHING_BEGAN, Entry, Family

ENTRIES: Final = (
    Entry(
        code="SESSION_INVALID",
        family=Family.DOOR,
        title="The session is not valid, or not any more",
        params=("handle",),
        meaning="The pool does not know the session that the call came in.",
        cause=(
            "The coordinator's toolstack restarted and forgot all sessions, the session was idle for a day, "
            "somebody ended it, or a new owner of the run did: that is the fence."
        ),
        vm_state=f"{NOT_TAKEN} Of a read while a migration runs it proves nothing: the migration goes on.",
        remedy=(
            "Nothing if lmflow goes on by itself: it logs in again to read, and renews its lease before it sends."
            " Else resume the run."
        ),
        command="lmflow resume RUN",
        source="xapi's session checks; tried on a running xapi",
    ),
    Entry(
        code="SESSION_AUTHENTICATION_FAILED",
        family=Family.DOOR,
        title="Wrong user name or password",
        meaning="The pool refused the login.",
        cause=(
            "The profile's password is wrong, or was changed in the pool. XAPI waits some two seconds before it "
            "says so."
        ),
        vm_state="Nothing was asked of the pool. A migration that was sent before goes on.",
        remedy="Correct user and password of the pool's profile.",
        command="lmflow status",
        source="a running xapi gives two parameters, the user and a text; its documentation names none",
    ),
    Entry(
        code="RBAC_PERMISSION_DENIED",
        family=Family.DOOR,
        title="The user has not the right",
        params=(
            "permission",
            "message",
        ),
        meaning="The pool let the user in and does not let it make this call.",
        cause=("The user's role is below vm-power-admin, which pool_migrate needs; the witness needs the same."),
        vm_state=NOTHING_BEGAN,
        remedy="Give the user the role vm-power-admin.",
        command="xe subject-role-add uuid=SUBJECT_UUID role-name=vm-power-admin",
        source="the API's documentation of pool_migrate (minimum role)",
    ),
    Entry(
        code="HANDLE_INVALID",
        family=Family.DOOR,
        title="The object is gone",
        params=(
            "class",
            "handle",
        ),
        meaning=("A reference names nothing, or nothing any more; the first parameter says of which class."),
        cause=(
            "The VM or the host was destroyed, or the coordinator's toolstack restarted and forgot all tasks "
            "(class task), which are kept in memory only."
        ),
        vm_state=("Class VM or host: nothing began. Class task: it proves nothing, the migration may go on."),
        remedy="See whether the VM and the host still exist; for a task, ask lmflow.",
        command="lmflow why RUN",
        source="xapi's documentation of errors; tried on a running xapi",
    ),
    Entry(
        code="UUID_INVALID",
        family=Family.DOOR,
        title="No object has this UUID",
        params=(
            "type",
            "uuid",
        ),
        meaning="The pool has no object of that class with that UUID.",
        cause=("The VM or the host was destroyed or left the pool, or the profile now names another pool."),
        vm_state="Nothing was sent with this call. Of a run that sent something before it proves nothing.",
        remedy="See whether the object still exists in this pool.",
        command="xe vm-list uuid=VM_UUID",
        source="xapi's documentation of errors; tried on a running xapi",
    ),
    Entry(
        code="HOST_IS_SLAVE",
        family=Family.DOOR,
        title="This host is a member, not the coordinator",
        params=("Master IP address",),
        meaning="Calls go to the coordinator, whose address comes along.",
        cause="The address is a member's, or another host has become the coordinator.",
        vm_state=NOT_TAKEN,
        remedy=("Nothing: lmflow follows the address. Name all members in the profile, so that one is always reached."),
        command="lmflow status",
        source="api_server.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="HOST_STILL_BOOTING",
        family=Family.DOOR,
        title="The host's toolstack is still starting",
        meaning="XAPI on this host answers nothing else yet.",
        cause="The host, or its toolstack, has just been restarted.",
        vm_state=f"{NOT_TAKEN} {MEANWHILE}",
        remedy="Wait; lmflow asks the other addresses and waits for the pool.",
        command="lmflow status",
        source="xapi's emergency mode, from its source",
    ),
    Entry(
        code="HOST_HAS_NO_MANAGEMENT_IP",
        family=Family.DOOR,
        title="The host has no management address",
        meaning="A member got no IP address and so cannot reach its coordinator.",
        cause="DHCP or the management network of that host does not work.",
        vm_state=f"{NOT_TAKEN} {MEANWHILE}",
        remedy="Repair the host's management network; name other members in the profile meanwhile.",
        command="xe host-list params=name-label,address,enabled",
        source="xapi's emergency mode, from its source",
    ),
    Entry(
        code="HOST_UNKNOWN_TO_MASTER",
        family=Family.DOOR,
        title="The coordinator does not know this host",
        params=("host",),
        meaning="A member asked its coordinator, which says that the host is none of its pool.",
        cause="The host was ejected, points to the wrong coordinator, or has another pool secret.",
        vm_state=f"{NOT_TAKEN} {MEANWHILE}",
        remedy="Take the host out of the profile, or bring it back into its pool.",
        command="xe pool-list params=uuid,master",
        source="xapi's emergency mode, from its source",
    ),
    Entry(
        code="HOST_MASTER_CANNOT_TALK_BACK",
        family=Family.DOOR,
        title="The coordinator cannot reach this host",
        params=("ip",),
        meaning="The coordinator cannot call the member back on the address it gave.",
        cause="A firewall or a wrong management address between the two.",
        vm_state=f"{NOT_TAKEN} {MEANWHILE}",
        remedy="Repair the network between the two; name other members in the profile meanwhile.",
        command="xe host-list params=name-label,address,enabled",
        source="xapi's emergency mode, from its source",
    ),
    Entry(
        code="EVENT_FROM_TOKEN_PARSE_FAILURE",
        family=Family.DOOR,
        title="The place in the stream of events was not understood",
        params=("token",),
        meaning="XAPI cannot read the token from which events were to go on.",
        cause="Not documented beyond that; lmflow sends only tokens that XAPI gave it.",
        vm_state="It says nothing of the VM: lmflow reads everything again.",
        remedy="Nothing: lmflow begins the stream anew.",
        command="lmflow run show RUN",
        source="xapi_event.ml of xapi; tried on a running xapi",
    ),
    Entry(
        code="EVENTS_LOST",
        family=Family.DOOR,
        title="Some events were lost",
        meaning="XAPI's queue of events for this session overflowed.",
        cause=(
            "The session did not read its events fast enough. XAPI's source gives it for the older event.next only."
        ),
        vm_state="It says nothing of the VM: lmflow reads everything again.",
        remedy="Nothing: lmflow begins the stream anew.",
        command="lmflow run show RUN",
        source="xapi_event.ml of xapi",
    ),
)
