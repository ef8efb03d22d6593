"""What a schedule is: a migration, and what befalls it command after command; as JSON it can be run again.

The first command of a schedule is ``migrate``, each further one ``resume``. What befalls a command is set before it is
started (a round's faults), and at one moment of it the process is struck. When the rounds are over, ``resume`` is
repeated until the run has ended.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from tests.support.kill_reports import Point

KINDS = ("sqlite", "postgresql", "mariadb")
DEADLY = ("kill",)
LETTING_GO = ("SIGINT", "SIGTERM", "SIGHUP", "stop")
STRIKES = (*DEADLY, *LETTING_GO, "cancel")
"""``kill`` is SIGKILL; ``stop`` what systemd does, SIGTERM and, when the stop time is over, SIGKILL; ``cancel`` is
``lmflow cancel`` from another process."""
CLASSES = ("every point once", "pairs of kills", "kills", "cancels", "faults", "faults and cancels")
KILL_ONLY = CLASSES[:3]


@dataclasses.dataclass(frozen=True)
class Strike:
    """What is done to the process at a point: one of STRIKES. ``what`` of the point may be ``*``: whatever it is."""

    how: str
    at: Point


@dataclasses.dataclass(frozen=True)
class Round:
    """One command: ``wire`` are faults of calls, ``phases`` of the migration, as the control channel takes them."""

    strike: Strike | None = None
    wire: tuple[Mapping[str, Any], ...] = ()
    phases: tuple[Mapping[str, Any], ...] = ()

    @property
    def has_fault(self) -> bool:
        """Tell whether more than the process is struck."""
        return bool(self.wire or self.phases)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """``header``: the pool keeps the attempt header; ``witness``: it answers as one. ``flow``: one of the matrix."""

    rounds: tuple[Round, ...]
    flow: str = "moved"
    database: str = "sqlite"
    header: bool = True
    witness: bool = True
    single: bool = False

    @property
    def label(self) -> str:
        """Return its class, one of CLASSES. Without a witness it is a fault: the pool lacks what could tell."""
        hows = [each.strike.how for each in self.rounds if each.strike]
        faults = not self.witness or any(each.has_fault for each in self.rounds)
        if faults:
            return "faults" if all(how == "kill" for how in hows) else "faults and cancels"
        if not all(how == "kill" for how in hows):
            return "cancels"
        if self.single:
            return "every point once"
        named = all(each.strike and each.strike.at.what != "*" for each in self.rounds)
        return "pairs of kills" if named and len(hows) == 2 else "kills"

    @property
    def fault_kinds(self) -> tuple[str, ...]:
        """Name the faults in it, for the counts."""
        found = {f"wire: {fault['kind']}" for each in self.rounds for fault in each.wire}
        found |= {_name_phase(fault) for each in self.rounds for fault in each.phases}
        return tuple(sorted(found | ({"no witness"} if not self.witness else set())))

    def to_json(self) -> str:
        """Return it as one line of JSON, without what is as by default."""
        told = dataclasses.asdict(self)
        told["rounds"] = [_tell_round(each) for each in self.rounds]
        return json.dumps(told, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """Read what ``to_json`` wrote; TypeError or KeyError for what is no schedule."""
        told = json.loads(text)
        return cls(**{**told, "rounds": tuple(_make_round(each) for each in told["rounds"])})


def _tell_round(each: Round) -> dict[str, Any]:
    strike = {"how": each.strike.how, "at": str(each.strike.at)} if each.strike else None
    told = {"strike": strike, "wire": each.wire, "phases": each.phases}
    return {key: value for key, value in told.items() if value}


def _make_round(told: Mapping[str, Any]) -> Round:
    strike = told.get("strike")
    return Round(
        Strike(strike["how"], Point.parse(strike["at"])) if strike else None,
        tuple(told.get("wire", ())),
        tuple(told.get("phases", ())),
    )


def _name_phase(fault: Mapping[str, Any]) -> str:
    detail = {"restart": ("how", "host"), "fail": ("end",), "guest": ("how",)}.get(fault["kind"], ())
    words = [fault["kind"], *(str(fault[key]) for key in detail if fault.get(key))]
    return f"{fault['phase']}: {' '.join(words)}"
