"""Whether a profile still leads to the pool of a run."""

from __future__ import annotations

from lmflow.exceptions import ConfigurationError
from lmflow.models import Run
from lmflow.xapi.connection import Connection


def check_pool(connection: Connection, run: Run) -> None:
    """Raise ConfigurationError when the run's profile leads to another pool than the one that it was begun in."""
    if connection.pool_uuid != run.request.pool_uuid:
        raise ConfigurationError(
            f"profile {run.request.pool_profile!r} leads to pool {connection.pool_uuid},"
            f" the run was begun in pool {run.request.pool_uuid}",
            advice="mend the profile's addresses in lmflow.conf",
        )
