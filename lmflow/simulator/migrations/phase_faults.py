"""Faults that befall the next migration in one of its phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PHASES = ("setup", "copy", "suspend", "finish")
KINDS = ("fail", "restart", "stop", "hold", "power_cut", "guest", "interrupt")
PLUGS = ("PBD.plug", "PBD.unplug")
GUEST_ACTS = ("reboot", "shutdown", "crash")

_ENDS = {
    "setup": ("source",),
    "copy": ("source",),
    "suspend": ("source", "halted"),
    "finish": ("nowhere", "destination"),
}
_KEYS = frozenset({"phase", "kind", "host", "how", "vm", "error", "at", "end", "cause", "times"})
_ERRORS = {
    ("setup", "source"): ("VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED",),
    ("copy", "source"): ("INTERNAL_ERROR", "xenopsd internal error: simulated save failure"),
    ("suspend", "halted"): ("INTERNAL_ERROR", 'xenopsd internal error: Unix.Unix_error(Unix.EPIPE, "write", "")'),
    ("PBD.plug", ""): ("SR_BACKEND_FAILURE_47", "", "The SR is not available [opterr=simulated]", ""),
    ("PBD.unplug", ""): ("SR_BACKEND_FAILURE_202", "", "General backend error [opterr=simulated]", ""),
}


@dataclass(frozen=True, slots=True)
class Cause:
    """A failure by its name: where it happens, how it ends, after how long, and what the task says.

    ``{vm}`` and the like stand for what is known then.
    """

    phase: str
    end: str
    error: tuple[str, ...]
    seconds: float = 0.0


CAUSES = {
    "memory": Cause("setup", "source", ("HOST_NOT_ENOUGH_FREE_MEMORY", "{needed}", "{free}")),
    "unreachable": Cause("setup", "source", _ERRORS["setup", "source"]),
    "copy": Cause("copy", "source", _ERRORS["copy", "source"]),
    "suspend_refused": Cause("suspend", "source", ("VM_FAILED_SUSPEND_ACKNOWLEDGMENT", "{vm}"), 30.0),
    "suspend_timeout": Cause("suspend", "source", ("VM_SUSPEND_TIMEOUT", "{vm}", "1200."), 1200.0),
    "stream": Cause("suspend", "halted", _ERRORS["suspend", "halted"]),
    "restore": Cause("finish", "nowhere", ()),
    "handshake": Cause("finish", "destination", ()),
    "metadata": Cause("finish", "destination", ("INVALID_VALUE", "kernel", "{kernel}", "File does not exist")),
}
"""The failures of a migration. The guest has 30 s to agree to its suspend, and 1,200 s to do it. Source: xenopsd.ml."""


@dataclass(frozen=True, slots=True)
class PhaseFault:
    """What happens at fraction ``at`` of a phase.

    ``end`` says, of a failure, where the VM is then: on the source, halted (the guest was lost after its suspend),
    nowhere (and the database does not know), or on the destination (the task fails all the same); ``cause`` names a
    usual failure instead. A ``hold`` keeps the migration at that point until ``/release_phases``. ``power_cut`` takes
    a host's power. ``guest`` lets the guest itself act (``how``: reboot, shutdown, crash), while it is being copied.
    ``interrupt`` breaks the copy, as often as ``times`` says; the source tries three times in all.
    """

    phase: str
    kind: str
    host: str = "coordinator"
    how: str = "KILL"
    vm_uuid: str = ""
    error: tuple[str, ...] = ()
    at: float = 0.5
    end: str = ""
    seconds: float = 0.0
    times: int = 1

    @classmethod
    def make(cls, data: Mapping[str, Any]) -> PhaseFault:
        """Read what the control channel sends; ValueError when it makes no sense."""
        if set(data) - _KEYS:
            raise ValueError(
                f"a phase fault has no {', '.join(sorted(set(data) - _KEYS))}; it may have {sorted(_KEYS)}"
            )
        if "cause" in data:
            return cls._of_cause(data)
        phase, kind = str(data.get("phase", "")), str(data.get("kind", ""))
        if kind not in KINDS or phase not in (*PHASES, *PLUGS):
            raise ValueError(f"a phase is one of {(*PHASES, *PLUGS)}, a kind one of {KINDS}, not {phase!r}, {kind!r}")
        ends = _ENDS.get(phase, ("",))
        end = str(data.get("end") or ends[0])
        if kind == "fail" and end not in ends:
            raise ValueError(f"a migration that fails in {phase} ends with its VM on {' or '.join(ends)}, not on {end}")
        if kind in {"guest", "interrupt"} and phase != "copy":
            raise ValueError(f"{kind} befalls a copy, not {phase}")
        return cls(
            phase=phase,
            kind=kind,
            host=str(data.get("host", "coordinator")),
            how=_read_how(kind, data),
            vm_uuid=str(data.get("vm", "")),
            error=tuple(str(part) for part in data.get("error", ())),
            at=_read_fraction(data),
            end=end,
            times=int(data.get("times", 1)),
        )

    @classmethod
    def _of_cause(cls, data: Mapping[str, Any]) -> PhaseFault:
        cause = CAUSES.get(str(data["cause"]))
        if cause is None or set(data) - {"cause", "vm", "at"}:
            raise ValueError(f"a cause is one of {sorted(CAUSES)}, with no more than a vm and at")
        return cls(
            phase=cause.phase,
            kind="fail",
            vm_uuid=str(data.get("vm", "")),
            error=cause.error,
            at=_read_fraction(data),
            end=cause.end,
            seconds=cause.seconds,
        )

    def error_for(self, vm_ref: str, vm_uuid: str, known: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Give the code and parameters with which the task fails; ``known`` are the values of their placeholders."""
        if self.error:
            values = {"vm": vm_ref, **(known or {})}
            return tuple(values.get(part[1:-1], part) if part[:1] == "{" else part for part in self.error)
        if (self.phase, self.end) == ("suspend", "source"):
            return ("VM_FAILED_SUSPEND_ACKNOWLEDGMENT", vm_ref)
        if self.phase == "finish":
            return synchronisation_failure(vm_uuid)
        return _ERRORS[self.phase, self.end]


def _read_fraction(data: Mapping[str, Any]) -> float:
    at = float(data.get("at", 0.5))
    if not 0 <= at <= 1:
        raise ValueError(f"at is a fraction of the phase, not {at}")
    return at


def _read_how(kind: str, data: Mapping[str, Any]) -> str:
    known = GUEST_ACTS if kind == "guest" else ("KILL", "TERM")
    how = str(data.get("how", known[0]))
    if how not in known:
        raise ValueError(f"{'a guest' if kind == 'guest' else 'a toolstack'} ends by {' or '.join(known)}, not {how!r}")
    return how


def synchronisation_failure(vm_uuid: str) -> tuple[str, ...]:
    """Give the failure of a destination that lost the VM after the source let go of it."""
    missing = f"[S(Does_not_exist);[S(VM);S({vm_uuid[:-12]}000000000001/config)]]"
    text = "xenopsd internal error: VM.migrate: Failed during Synchronisation point 4. msg: "
    return ("INTERNAL_ERROR", f"{text}Xenops_interface.Xenopsd_error({missing})")
