"""What ``force`` would override, looked at before a run is begun."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmflow import checks
from lmflow.exceptions import RefusedError
from lmflow.models import Finding, MoveRequest, Site
from lmflow.tasks.terms import make_terms
from lmflow.xapi import reads
from lmflow.xapi.connection import Connection
from lmflow.xapi.overview import read_overview

FORCED = "forced"


def find_overridden(connection: Connection, request: MoveRequest, site: Site) -> tuple[Finding, ...]:
    """Return what force overrides of the objections to the destination, or to any host that may yet be tried."""
    if not request.options.force:
        return ()
    now, terms = time.time(), make_terms(request.options, site, (request.vm_uuid,))
    if request.max_retries is None:
        snapshot = reads.read_snapshot(connection, request.vm_uuid, request.destination_uuid, now=now, terms=terms)
        found = checks.check_all(snapshot, site=site)
    else:
        overview = read_overview(connection, [request.vm_uuid], now=now, terms=terms)
        verdicts = checks.check_hosts(overview, request.vm_uuid, site=site)
        found = tuple(finding for verdict in verdicts if verdict.ok for finding in verdict.warnings)
    return tuple(dict.fromkeys(finding for finding in found if finding.forced))


def confirm_forced(
    connection: Connection, request: MoveRequest, site: Site, confirm: Callable[[Sequence[Finding]], bool] | None
) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Return what is to be recorded of that with the run; RefusedError when it was asked about and denied."""
    found = find_overridden(connection, request, site)
    if found and confirm is not None and not confirm(found):
        raise RefusedError(
            f"{request.vm_name} -> {request.destination_name}: what force would override was not confirmed",
            findings=found,
            state_now=f"{request.vm_name} is on {request.source_name}; nothing was changed",
            advice="leave out force, or confirm",
        )
    return tuple(
        (FORCED, {"text": f"overridden by force: {f.message} ({f.code})", "finding": f.to_json()}) for f in found
    )
