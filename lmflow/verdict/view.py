"""Is XAPI's view of a VM right? Pure: from what its hosts say themselves to the one step that mends the view, and why.

Source: recorded crashes of a real pool. Starting a VM on the host where it really runs starts nothing: xenopsd refuses
it (VM_BAD_POWER_STATE), and the record is right afterwards; started anywhere else, it ran twice. A VM that is shown
Running where it is not becomes Halted by ``power_state_reset`` when that host is the coordinator, which refuses it
while it has the domain (DOMAIN_EXISTS), and by a restart of that host's toolstack when it is a member. A toolstack
that starts ends every domain of its host that the database places elsewhere.
"""

from __future__ import annotations

import dataclasses

from lmflow.models import VM, Host, Model, WitnessView, WrongView

_ALIVE = ("Running", "Paused")


@dataclasses.dataclass(frozen=True, slots=True)
class Sighting(Model):
    """One look at a VM: XAPI's record of it (None: no more), and what hosts said themselves.

    ``hosts`` are all hosts of the pool. ``settled``: nothing of them and of the VM has changed for as long as a restart
    takes. ``strays``: what the host where XAPI shows the VM runs although XAPI places it elsewhere, by name; None when
    it was not asked or did not answer. ``doubted``: somebody has a reason to doubt the view.
    """

    vm_uuid: str
    vm_name: str
    vm: VM | None
    hosts: tuple[Host, ...]
    witness: tuple[WitnessView, ...] = ()
    settled: bool = False
    strays: tuple[str, ...] | None = None
    doubted: bool = False

    @property
    def shown_on(self) -> str:
        """Return the UUID of the host where XAPI shows a domain of the VM, '' for none."""
        alive = self.vm is not None and self.vm.power_state in _ALIVE
        return (self.vm.resident_on_uuid or "") if alive and self.vm is not None else ""

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return the UUIDs of the hosts that say that they run it."""
        return tuple(w.host_uuid for w in self.witness if w.answered and w.power_state in _ALIVE)

    @property
    def under_way(self) -> bool:
        """Tell whether something is going on with the VM, so that a view is not yet to be judged."""
        busy = self.vm is not None and bool(self.vm.current_operations)
        return busy or any(w.answered and w.incoming for w in self.witness)

    def find_silent(self) -> tuple[str, ...]:
        """Return the names of the hosts that were not asked or did not answer."""
        heard = {w.host_uuid for w in self.witness if w.answered}
        return tuple(h.name_label for h in self.hosts if h.uuid not in heard)

    def get_host(self, uuid: str) -> Host:
        """Return a host of the pool; LookupError for another."""
        return next(h for h in self.hosts if h.uuid == uuid)

    def name(self, uuid: str) -> str:
        """Return the name of a host, or its UUID when the pool has no such host."""
        return next((h.name_label for h in self.hosts if h.uuid == uuid), uuid)


def needs_restart(seen: Sighting) -> bool:
    """Tell whether the step would be to restart a member's toolstack: then its other domains have to be asked for."""
    view = judge_view(dataclasses.replace(seen, settled=True, strays=()))
    return view is not None and view.step == _RESTART


def judge_view(seen: Sighting) -> WrongView | None:
    """Return what is wrong with XAPI's view; None when it is right, or when something is still going on."""
    if seen.under_way:
        return None
    kind = _find_kind(seen)
    if not kind:
        return None
    step, where, proof = _find_step(seen, kind)
    return WrongView(
        vm_uuid=seen.vm_uuid,
        vm_name=seen.vm_name,
        kind=kind,
        shown=_say_shown(seen),
        witness=tuple(_say_witness(seen.name(w.host_uuid), w) for w in seen.witness),
        step=step,
        where=where,
        proof=proof,
        never=_say_never(seen, kind),
    )


def _find_kind(seen: Sighting) -> str:
    there, shown = seen.runs_on, seen.shown_on
    if len(there) > 1:
        return "twice"
    if seen.vm is None:
        return "unlisted" if there else ""
    if there:
        return "" if there[0] == shown else "misplaced" if shown else "halted_but_running"
    if not shown:
        return "unproved" if seen.doubted and seen.find_silent() else ""
    asked = next((w for w in seen.witness if w.host_uuid == shown and w.answered), None)
    if asked is None:
        return "unproved" if seen.doubted else ""
    return "unproved" if seen.find_silent() else "ghost"


_RESTART = "xe-toolstack-restart"


def _find_step(seen: Sighting, kind: str) -> tuple[str, str, tuple[str, ...]]:
    """Return the command, where to give it, and the proof; two empty texts and what is missing, when it is not safe."""
    missing = _find_missing(seen, kind)
    if missing:
        return "", "", (*missing, "so no step can be proved safe")
    asked = f"all {len(seen.hosts)} hosts of the pool were asked themselves, and all answered"
    proof = [asked, "the pool has settled: no toolstack of it has started within the time that takes"]
    if kind == "halted_but_running":
        host = seen.get_host(seen.runs_on[0])
        proof.append(
            f"it runs on {host.name_label} and nowhere else: {host.name_label} refuses to start what it runs"
            " (VM_BAD_POWER_STATE), and XAPI then shows it Running there"
        )
        return f"xe vm-start uuid={seen.vm_uuid} on={_address(seen, host)}", "on any host of the pool", tuple(proof)
    host = seen.get_host(seen.shown_on)
    then = "look again then" if kind == "misplaced" else "it is down, and may be started then"
    proof.append(f"{host.name_label} does not run it; XAPI will show it Halted: {then}")
    if host.is_coordinator:
        proof.append(f"XAPI refuses the step (DOMAIN_EXISTS) while {host.name_label} has a domain of the VM")
        return f"xe vm-reset-powerstate uuid={seen.vm_uuid} --force", "on any host of the pool", tuple(proof)
    proof.append(f"{host.name_label} migrates nothing now, and runs no VM that XAPI places elsewhere")
    return _RESTART, f"on {host.name_label}, in its control domain", tuple(proof)


def _find_missing(seen: Sighting, kind: str) -> tuple[str, ...]:
    if kind == "twice":
        return (f"it runs on {len(seen.runs_on)} hosts: end the one that should not be there, on its host",)
    if kind == "unlisted":
        return ("XAPI has no record of it that could be mended",)
    silent = seen.find_silent()
    missing = [f"{', '.join(silent)} did not answer: it may run there"] if silent else []
    if not silent and not seen.settled:
        missing.append("the pool was not watched long enough to say that it has settled")
    if kind == "halted_but_running" and seen.vm is not None and seen.vm.power_state != "Halted":
        missing.append(f"what mends a view that says {seen.vm.power_state} was never seen")
    host = next((h for h in seen.hosts if h.uuid == seen.shown_on), None)
    if host is not None and not host.is_coordinator and not silent:
        missing += _find_at_risk(seen, host)
    return tuple(missing)


def _find_at_risk(seen: Sighting, host: Host) -> list[str]:
    """Say what a restart of this member's toolstack could end."""
    busy = [t for w in seen.witness if w.host_uuid == host.uuid for t in w.tasks if t.state == "Pending"]
    if busy:
        return [f"{host.name_label} is busy with {busy[0].label or 'something'}: a restart of its toolstack loses it"]
    if seen.strays is None:
        return [f"{host.name_label} did not say what else it runs: a restart ends what XAPI places elsewhere"]
    if seen.strays:
        return [f"{host.name_label} runs {', '.join(seen.strays)}, which XAPI places elsewhere: a restart ends them"]
    return []


def _say_never(seen: Sighting, kind: str) -> str:
    if kind == "ghost":
        return ""
    if kind in ("halted_but_running", "misplaced"):
        place = seen.name(seen.runs_on[0])
        elsewhere = f"never start it on another host than {place}: it would run twice"
        if kind == "halted_but_running":
            return elsewhere
        return f"{elsewhere}; nor restart the toolstack of {place} before: it would end the VM"
    return "start it nowhere until every host has said what it runs"


def _address(seen: Sighting, host: Host) -> str:
    """Return the host's name where it is plain and the only one of that name, else its UUID."""
    name = host.name_label
    plain = name.replace("-", "").replace("_", "").replace(".", "").isalnum() and name.isascii()
    return name if plain and sum(h.name_label == name for h in seen.hosts) == 1 else host.uuid


def _say_shown(seen: Sighting) -> str:
    if seen.vm is None:
        return f"XAPI no longer shows {seen.vm_name}"
    place = f" on {seen.name(seen.shown_on)}" if seen.shown_on else ""
    return f"XAPI shows {seen.vm_name} {seen.vm.power_state}{place}"


def _say_witness(name: str, view: WitnessView) -> str:
    if not view.answered:
        return f"witness of {name}: no answer ({view.reason})"
    return f"witness of {name}: {view.power_state or 'does not know the VM'}"
