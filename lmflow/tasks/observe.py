"""Reading once what the rules need."""

from __future__ import annotations

import time
from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.terms import make_terms
from lmflow.xapi import reads


class Observe(BaseTask):
    """Read VM, hosts, storage and networks for this VM and this destination; provides ``snapshot``.

    Running it twice reads again. It changes nothing, so there is nothing to revert.
    """

    NAME = "observe"
    DURABLE = False
    PROVIDES = "snapshot"
    RESULT_BYTES = 1024 * 1024

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the snapshot as JSON."""
        request = context.request
        return reads.read_snapshot(
            context.connection,
            request.vm_uuid,
            request.destination_uuid,
            now=time.time(),
            terms=make_terms(request.options, context.site, (request.vm_uuid,), run_uuid=context.run_uuid),
        ).to_json()
