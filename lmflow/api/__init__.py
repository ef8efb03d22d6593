"""The door for embedding. Configuration comes as values; there is no global state.

``Client`` migrates, resumes, checks, cancels and explains; ``AsyncClient`` is the same for asyncio; ``Records`` only
reads what is recorded, and imports neither an engine nor a pool's SDK; ``MigrateTask`` is an atom for a TaskFlow graph
of one's own. With them come the values that they take and give, and the errors that they raise. All are loaded when
they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmflow.api.aio import AsyncClient
    from lmflow.api.atom import MigrateTask
    from lmflow.api.client import Client
    from lmflow.api.records import Records
    from lmflow.api.ways import Ways
    from lmflow.exceptions import (
        CancelledError,
        ConfigurationError,
        DamagedError,
        FlowSuspended,
        LmflowError,
        LockedError,
        LoginError,
        MigrationFailedError,
        RefusedError,
        UnreachableError,
        UsageError,
    )
    from lmflow.models import (
        Cancellation,
        CheckReport,
        Description,
        Event,
        Finding,
        Hook,
        MoveOptions,
        Notice,
        Outcome,
        PlannedStep,
        PoolObject,
        PoolProfile,
        Pruned,
        Remnant,
        ResumePlan,
        Run,
        RunState,
        Site,
        StatusReport,
        Tls,
        Try,
        Waits,
        WhyReport,
    )
    from lmflow.tasks.steering import Steering

__all__ = [
    "AsyncClient",
    "Cancellation",
    "CancelledError",
    "CheckReport",
    "Client",
    "ConfigurationError",
    "DamagedError",
    "Description",
    "Event",
    "Finding",
    "FlowSuspended",
    "Hook",
    "LmflowError",
    "LockedError",
    "LoginError",
    "MigrateTask",
    "MigrationFailedError",
    "MoveOptions",
    "Notice",
    "Outcome",
    "PlannedStep",
    "PoolObject",
    "PoolProfile",
    "Pruned",
    "Records",
    "RefusedError",
    "Remnant",
    "ResumePlan",
    "Run",
    "RunState",
    "Site",
    "StatusReport",
    "Steering",
    "Tls",
    "Try",
    "UnreachableError",
    "UsageError",
    "Waits",
    "Ways",
    "WhyReport",
]

_HOMES = {
    "AsyncClient": "lmflow.api.aio",
    "Client": "lmflow.api.client",
    "MigrateTask": "lmflow.api.atom",
    "Records": "lmflow.api.records",
    "Steering": "lmflow.tasks.steering",
    "Ways": "lmflow.api.ways",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: who only lists runs need not wait for the engine's imports."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name) or ("lmflow.exceptions" if _is_error(name) else "lmflow.models")
    return getattr(importlib.import_module(home), name)


def _is_error(name: str) -> bool:
    return name.endswith("Error") or name == "FlowSuspended"
