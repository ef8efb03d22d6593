"""Running the site's hooks before anything is changed."""

from __future__ import annotations

from typing import Any

from lmflow.models import Finding
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.hooks import HookFailedError, run_hooks
from lmflow.tasks.validate import refuse


class HooksBefore(BaseTask):
    """Run the site's hooks before anything is changed in the pool.

    Running it twice runs only those hooks again that were cut short. There is nothing to revert: what a hook did is
    its site's, and the run has changed nothing yet.
    """

    NAME = "hooks_before"
    DURABLE = False

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the number of hooks; RefusedError when one failed that is fatal."""
        try:
            return {"hooks": run_hooks(context, "before", self.NAME)}
        except HookFailedError as error:
            remedy = "see what the hook says, or let its failure be a warning: on_failure in [hooks]"
            finding = Finding(rule="hooks", code=error.code, message=error.message, remedy=remedy, elsewhere=False)
            refuse(context, (finding,))
            raise
