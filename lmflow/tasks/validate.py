"""What the validations have in common: one group of pure rules over what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from lmflow import checks
from lmflow.exceptions import RefusedError
from lmflow.models import Finding, Snapshot
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.notes import WARNING


class ValidateTask(BaseTask):
    """Ask one group of rules; every reason is recorded, and the first one refuses the run.

    Running it twice asks twice. It changes nothing, so there is nothing to revert.
    """

    DURABLE = False
    REQUIRES = ("snapshot",)
    GROUP: ClassVar[str]

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the number of rules asked; RefusedError with every finding of the group that refuses."""
        rules = checks.find_rules_for(context.site)
        weigh(context, self.NAME, rules.ask(Snapshot.from_json(inputs["snapshot"]), self.GROUP))
        return {"rules": rules.count(self.GROUP)}


def weigh(context: Context, task: str, findings: Sequence[Finding]) -> None:
    """Record and say the warnings, each once in a run; RefusedError when some of the findings refuse."""
    warn(context, task, checks.find_warnings(findings, context.request.options.strict))
    refuse(context, findings)


def warn(context: Context, task: str, findings: Sequence[Finding]) -> None:
    """Record and say those that the run does not know yet."""
    known = {
        (f["code"], f["message"])
        for event in context.database.events.list(context.run_uuid, kind=WARNING)
        for f in event.data.get("findings", ())
    }
    new = [f for f in findings if (f.code, f.message) not in known]
    if new:
        text = "; ".join(_tell(finding) for finding in new)
        context.record(WARNING, {"task": task, "text": text, "findings": [f.to_json() for f in new]})
        context.say("message", f"warning: {text}")


def refuse(context: Context, findings: Sequence[Finding]) -> None:
    """Record those that refuse and raise RefusedError; return when there are none."""
    reasons = checks.find_refusals(findings, context.request.options.strict)
    if not reasons:
        return
    context.record("refusal", {"findings": [f.to_json() for f in reasons]})
    raise RefusedError("; ".join(_tell(finding) for finding in reasons), findings=reasons)


def _tell(finding: Finding) -> str:
    return f"{finding.message} ({finding.code}{', overridden by force' if finding.forced else ''})"
