"""What lmflow answers: notices while it works, outcomes, reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from lmflow.models.base import Model
from lmflow.models.checking import Choice
from lmflow.models.pool import Finding, XapiError
from lmflow.models.requests import Event, Run, RunState
from lmflow.models.views import WrongView


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
class Pruned(Model):
    """What was deleted of the past, or would be. ``requests`` are counted by the state of their last try.

    ``oldest_at`` and ``newest_at`` are when the first and the last of these ``runs`` were created, in seconds since
    1970 by the database's clock. ``forgotten`` counts the request ids that are free by it, also of runs pruned earlier.
    """

    deleted: bool
    requests: int = 0
    runs: int = 0
    states: Mapping[str, int] = dataclasses.field(default_factory=dict)
    oldest_at: float | None = None
    newest_at: float | None = None
    forgotten: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Try(Model):
    """What came of one host where the destination was lmflow's choice; ``because`` is why it was not that one.

    ``run_uuid`` '' and ``state`` refused: a host that was not tried any more, because the checks refuse it by now.
    """

    host_name: str
    state: RunState
    run_uuid: str = ""
    because: str = ""
    findings: tuple[Finding, ...] = ()
    error: XapiError | None = None
    host_uuid: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome(Model):
    """How a run stands when lmflow lets go of it.

    ``vm_state`` is a sentence on where the VM is, and by which evidence. ``reason`` says why a run was let go of
    before its end, or not taken up: unknown, unreachable, detached, deadline, error, locked, misconfigured; or, of a
    run that was only waited for: timeout, interrupted (its owner is gone); or, of one that has ended: locked, when a
    run of another database holds the VM; else ''. ``cancelled``: it failed because
    somebody asked for that. ``choice``: why this destination, where none was named. ``warnings``: what is worth
    knowing and ended nothing, and what was overridden by force.
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
    cancelled: bool = False
    choice: Choice | None = None
    tries: tuple[Try, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Description(Model):
    """Everything that is recorded of a run. ``condition`` is its state, or interrupted when its owner is gone."""

    run: Run
    condition: str
    outcome: Outcome
    events: tuple[Event, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Cancellation(Model):
    """What came of a request to cancel.

    ``answer``: ``cancelled`` (the VM is verified not to have moved, what was ours is undone), ``too_late`` (the run
    goes on, or had ended), ``not_now`` (nothing was done, the run goes on), ``waiting`` (no answer within the time
    given: the request stands). ``outcome`` is how the run stands.
    """

    answer: str
    because: str
    outcome: Outcome


@dataclasses.dataclass(frozen=True, slots=True)
class StatusLine(Model):
    """One run that is open or leaves something to do.

    ``condition`` is running, interrupted, suspended, unknown or dirty; or wrong_view, of a run that has ended and left
    XAPI with a view of its VM that is wrong. ``xapi_view`` is that, of any run whose VM was looked at.

    ``seconds_since`` counts from when it last wrote anything, ``seconds_old`` from when the pool was asked where the
    VM is; None when it could not be.
    """

    run: Run
    condition: str
    seconds_since: float
    seconds_old: float | None = None
    vm_state: str = ""
    advice: str = ""
    xapi_view: WrongView | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class StatusReport(Model):
    """``headline`` answers first whether any VM of an open run is down, or that this cannot be said."""

    headline: str
    lines: tuple[StatusLine, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class WhyReport(Model):
    """What we wrote last, what the pool says now, and what follows.

    ``condition`` is the run's state, or interrupted when its owner is gone. ``xapi_view``: what is wrong with XAPI's
    view of the VM, and the step that mends it, if that was found.
    """

    run: Run
    last_written: str
    evidence: tuple[str, ...]
    verdict: str
    explanation: str
    advice: str
    condition: str = ""
    xapi_view: WrongView | None = None
