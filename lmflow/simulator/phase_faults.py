"""Faults that befall the next migration in one of its phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PHASES = ("setup", "copy", "suspend", "finish")
KINDS = ("fail", "restart", "stop", "hold")
PLUGS = ("PBD.plug", "PBD.unplug")

_ENDS = {
    "setup": ("source",),
    "copy": ("source",),
    "suspend": ("source", "halted"),
    "finish": ("nowhere", "destination"),
}
_KEYS = frozenset({"phase", "kind", "host", "how", "vm", "error", "at", "end"})
_ERRORS = {
    ("setup", "source"): ("VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED",),
    ("copy", "source"): ("INTERNAL_ERROR", "xenopsd internal error: simulated save failure"),
    ("suspend", "halted"): ("INTERNAL_ERROR", 'xenopsd internal error: Unix.Unix_error(Unix.EPIPE, "write", "")'),
    ("PBD.plug", ""): ("SR_BACKEND_FAILURE_47", "", "The SR is not available [opterr=simulated]", ""),
    ("PBD.unplug", ""): ("SR_BACKEND_FAILURE_202", "", "General backend error [opterr=simulated]", ""),
}


@dataclass(frozen=True, slots=True)
class PhaseFault:
    """What happens at fraction ``at`` of a phase.

    ``end`` says, of a failure, where the VM is then: on the source, halted (the guest was lost after its suspend),
    nowhere (and the database does not know), or on the destination (the task fails all the same). A ``hold`` keeps
    the migration at that point until ``/release_phases``.
    """

    phase: str
    kind: str
    host: str = "coordinator"
    how: str = "KILL"
    vm_uuid: str = ""
    error: tuple[str, ...] = ()
    at: float = 0.5
    end: str = ""

    @classmethod
    def make(cls, data: Mapping[str, Any]) -> PhaseFault:
        """Read what the control channel sends; ValueError when it makes no sense."""
        if set(data) - _KEYS:
            raise ValueError(
                f"a phase fault has no {', '.join(sorted(set(data) - _KEYS))}; it may have {sorted(_KEYS)}"
            )
        phase, kind = str(data.get("phase", "")), str(data.get("kind", ""))
        if kind not in KINDS or phase not in (*PHASES, *PLUGS):
            raise ValueError(f"a phase is one of {(*PHASES, *PLUGS)}, a kind one of {KINDS}, not {phase!r}, {kind!r}")
        ends = _ENDS.get(phase, ("",))
        end = str(data.get("end") or ends[0])
        if kind == "fail" and end not in ends:
            raise ValueError(f"a migration that fails in {phase} ends with its VM on {' or '.join(ends)}, not on {end}")
        at = float(data.get("at", 0.5))
        if not 0 <= at <= 1:
            raise ValueError(f"at is a fraction of the phase, not {at}")
        if str(data.get("how", "KILL")) not in {"KILL", "TERM"}:
            raise ValueError(f"a toolstack ends by KILL or TERM, not {data['how']!r}")
        return cls(
            phase=phase,
            kind=kind,
            host=str(data.get("host", "coordinator")),
            how=str(data.get("how", "KILL")),
            vm_uuid=str(data.get("vm", "")),
            error=tuple(str(part) for part in data.get("error", ())),
            at=at,
            end=end,
        )

    def error_for(self, vm_ref: str, vm_uuid: str) -> tuple[str, ...]:
        """Give the code and parameters with which the task fails."""
        if self.error:
            return self.error
        if (self.phase, self.end) == ("suspend", "source"):
            return ("VM_FAILED_SUSPEND_ACKNOWLEDGMENT", vm_ref)
        if self.phase == "finish":
            return synchronisation_failure(vm_uuid)
        return _ERRORS[self.phase, self.end]


def synchronisation_failure(vm_uuid: str) -> tuple[str, ...]:
    """Give the failure of a destination that lost the VM after the source let go of it."""
    missing = f"[S(Does_not_exist);[S(VM);S({vm_uuid[:-12]}000000000001/config)]]"
    text = "xenopsd internal error: VM.migrate: Failed during Synchronisation point 4. msg: "
    return ("INTERNAL_ERROR", f"{text}Xenops_interface.Xenopsd_error({missing})")
