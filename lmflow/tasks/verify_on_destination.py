"""After the point of no return: what is shown of the VM that has arrived."""

from __future__ import annotations

from typing import Any

from lmflow.models import VM
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.notes import warn
from lmflow.verdict import DECIDED
from lmflow.xapi import reads, witness


class VerifyOnDestination(BaseTask):
    """Read the VM again; where XAPI's view differs from what was proved, ask both hosts before saying who is wrong.

    Running it twice reads twice. There is no revert behind the point of no return. A view of XAPI that is proved wrong
    is reported with the step that repairs it, never repaired: lmflow starts no VM.
    """

    NAME = "verify_on_destination"
    AFTER_SUBMIT = True
    DURABLE = False
    PROVIDES = "view"

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return where the VM is now in a sentence, and the repair of XAPI's record if that is proved wrong."""
        request = context.request
        vm = reads.read_vm(context.connection, request.vm_uuid)
        if vm is not None and vm.power_state == "Running" and vm.resident_on_uuid == request.destination_uuid:
            return {"place": f"{request.vm_name} runs on {request.destination_name}", "repair": ""}
        names = {h.uuid: h.name_label for h in reads.read_hosts(context.connection)}
        shown = _describe_view(vm, names)
        off = vm is None or vm.power_state != "Running"
        if not _is_there(context):
            attempt = context.database.attempts.latest(context.run_uuid)
            if attempt is not None and attempt.outcome.startswith(DECIDED):
                place = (
                    f"a person decided that {request.vm_name} runs on {request.destination_name}; XAPI shows it {shown}"
                )
            else:
                first = f"{request.vm_name} does not run now: it" if off else request.vm_name
                place = f"{first} arrived on {request.destination_name}; since then XAPI shows it {shown}"
                if off:
                    warn(context, self.NAME, f"{request.vm_name} does not run now: XAPI shows it {shown}")
            return {"place": place, "repair": ""}
        can_start = vm is not None and vm.power_state == "Halted" and _is_nowhere_else(context)
        repair = make_repair(context, can_start=can_start)
        context.record("xapi_view", {"shown": shown, "repair": repair})
        place = f"{request.vm_name} runs on {request.destination_name}; XAPI wrongly shows it {shown}"
        return {"place": place, "repair": repair}


def _is_there(context: Context) -> bool:
    """Ask both hosts now: it runs on the destination, and only there."""
    request = context.request
    if not context.connection.profile.use_witness:
        return False
    hosts = {h.uuid: h for h in reads.read_hosts(context.connection)}
    asked = [hosts[u] for u in (request.destination_uuid, request.source_uuid) if u in hosts]
    views = {h.uuid: witness.ask(context.connection, h, request.vm_uuid) for h in asked}
    if len(views) != 2 or not all(view.answered for view in views.values()):
        return False
    return [u for u, view in views.items() if view.power_state == "Running"] == [request.destination_uuid]


def _is_nowhere_else(context: Context) -> bool:
    """Ask the other hosts of the pool too: each answers, and none runs it."""
    request = context.request
    both = (request.destination_uuid, request.source_uuid)
    others = [h for h in reads.read_hosts(context.connection) if h.uuid not in both]
    views = [witness.ask(context.connection, host, request.vm_uuid) for host in others]
    return all(view.answered and view.power_state not in ("Running", "Paused") for view in views)


def _describe_view(vm: VM | None, names: dict[str, str]) -> str:
    if vm is None:
        return "no more"
    where = names.get(vm.resident_on_uuid or "", "")
    return f"{vm.power_state} on {where}" if where else vm.power_state


def make_repair(context: Context, *, can_start: bool) -> str:
    """Name the step that mends XAPI's view of a VM that runs on the destination; a person takes it, never we.

    Source: on a real xapi, starting such a VM on the host where it really runs starts nothing, answers
    VM_BAD_POWER_STATE [.., Halted, Running], and the record is right afterwards. On any other host it would run twice:
    the host is named by its UUID, because another may have its name. ``can_start``: XAPI shows the VM Halted, and every
    host was asked.
    """
    if not can_start:
        return f"lmflow why {context.run_uuid[:8]}, which asks every host and names the step that is safe"
    request = context.request
    start = f"xe vm-start uuid={request.vm_uuid} on={request.destination_uuid}"
    return f"{start} (it runs there already: nothing is started, XAPI answers VM_BAD_POWER_STATE and learns the truth)"
