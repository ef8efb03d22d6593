"""What a resume would do."""

from __future__ import annotations

import dataclasses

from lmflow.models.base import Model
from lmflow.models.requests import Run


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedStep(Model):
    """One step, and what a resume would do about it.

    ``what``: skip (it is done), run, re-attach (to the migration that is under way), redo (send what may have been sent
    and never began), revert, ask (what comes then depends on the pool, or on a person).
    """

    atom: str
    what: str


@dataclasses.dataclass(frozen=True, slots=True)
class ResumePlan(Model):
    """What a resume of the run would do, by what is seen now; nothing was changed to find that out.

    ``takes_over`` names the owner whose place would be taken. ``refused`` says why there would be no resume: locked
    (its owner lives), unreachable, misconfigured (another pool, another version of the flows), or ''. Steps that would
    not be come to any more are not among ``steps``.
    """

    run: Run
    condition: str
    verdict: str
    explanation: str
    evidence: tuple[str, ...] = ()
    steps: tuple[PlannedStep, ...] = ()
    takes_over: str = ""
    refused: str = ""
    advice: str = ""
