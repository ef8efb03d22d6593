"""What lmflow answers: notices while it works, outcomes, reports."""

from __future__ import annotations

import dataclasses

from lmflow.models.base import Model
from lmflow.models.pool import Finding, XapiError
from lmflow.models.requests import Run


@dataclasses.dataclass(frozen=True, slots=True)
class Notice(Model):
    """Something to show while a run goes on.

    ``kind``: ``run`` (began, taken over), ``atom`` (``state`` is TaskFlow's atom state), ``progress`` (0..1, not
    monotone), ``evidence`` (what the pool says), ``verdict``, ``message``. ``text`` is one line for people.
    """

    kind: str
    text: str
    run_uuid: str = ""
    atom: str = ""
    state: str = ""
    progress: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome(Model):
    """How a run stands when lmflow lets go of it.

    ``vm_state`` is a sentence on where the VM is, and by which evidence. ``reason`` says why a run was let go of
    before its end: unknown, unreachable, detached, deadline, error; else ''.
    """

    run: Run
    vm_state: str = ""
    reason: str = ""
    already_there: bool = False
    findings: tuple[Finding, ...] = ()
    error: XapiError | None = None
    left: tuple[str, ...] = ()
    advice: str = ""
    seconds: float = 0.0
    interruptions: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class StatusLine(Model):
    """One open run: ``condition`` is running, interrupted, suspended, unknown or dirty."""

    run: Run
    condition: str
    seconds_since: float
    vm_state: str = ""
    advice: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class StatusReport(Model):
    """``headline`` answers first whether any VM of an open run is down, or that this cannot be said."""

    headline: str
    lines: tuple[StatusLine, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class WhyReport(Model):
    """What we wrote last, what the pool says now, and what follows."""

    run: Run
    last_written: str
    evidence: tuple[str, ...]
    verdict: str
    explanation: str
    advice: str
