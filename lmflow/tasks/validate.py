"""What the validations have in common: one group of pure rules over what was observed."""

from __future__ import annotations

from typing import Any, ClassVar

from lmflow import checks
from lmflow.exceptions import RefusedError
from lmflow.models import Finding, Snapshot
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context


class ValidateTask(BaseTask):
    """Ask one group of rules; every reason is recorded, and the first one refuses the run.

    Running it twice asks twice. It changes nothing, so there is nothing to revert.
    """

    REQUIRES = ("snapshot",)
    GROUP: ClassVar[str]

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the number of rules asked; RefusedError with every finding of the group."""
        refuse(context, checks.check_group(self.GROUP, Snapshot.from_json(inputs["snapshot"])))
        return {"rules": len(checks.GROUPS.get(self.GROUP, ()))}


def refuse(context: Context, findings: tuple[Finding, ...]) -> None:
    """Record the findings and raise RefusedError; return when there are none."""
    if not findings:
        return
    context.record("refusal", {"findings": [f.to_json() for f in findings]})
    raise RefusedError("; ".join(f"{f.message} ({f.code})" for f in findings), findings=findings)
