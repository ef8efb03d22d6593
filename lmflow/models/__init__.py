"""Frozen facts that travel through the house. UUIDs are identity; no reference of XAPI ever stands here.

Every model goes to JSON and comes back equal (``to_json``/``from_json``): lists become tuples again. They are loaded by
family when one is first asked for: making all these classes takes a command that only lists runs a tenth of its time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmflow.models.answers import (
        Cancellation,
        Description,
        Notice,
        Outcome,
        Pruned,
        StatusLine,
        StatusReport,
        Try,
        WhyReport,
    )
    from lmflow.models.base import Model
    from lmflow.models.checking import (
        CHECK_SCHEMA,
        Candidate,
        CheckReport,
        Choice,
        HostVerdict,
        Overview,
        Place,
        Refusal,
        VmCheck,
    )
    from lmflow.models.evidence import StartedTask, TaskView, WitnessView, XenopsTask
    from lmflow.models.objects import PoolObject
    from lmflow.models.plans import PlannedStep, ResumePlan
    from lmflow.models.pool import (
        PBD,
        PIF,
        SR,
        VBD,
        VDI,
        VIF,
        VM,
        Finding,
        Host,
        Network,
        Pool,
        Snapshot,
        Terms,
        VMGroup,
        XapiError,
    )
    from lmflow.models.requests import (
        Attempt,
        Event,
        Lease,
        MoveOptions,
        MoveRequest,
        Owner,
        PoolProfile,
        Remnant,
        Run,
        RunState,
        Tls,
        Waits,
    )
    from lmflow.models.site import Hook, Site
    from lmflow.models.views import WrongView

__all__ = [
    "CHECK_SCHEMA",
    "PBD",
    "PIF",
    "SR",
    "VBD",
    "VDI",
    "VIF",
    "VM",
    "Attempt",
    "Cancellation",
    "Candidate",
    "CheckReport",
    "Choice",
    "Description",
    "Event",
    "Finding",
    "Hook",
    "Host",
    "HostVerdict",
    "Lease",
    "Model",
    "MoveOptions",
    "MoveRequest",
    "Network",
    "Notice",
    "Outcome",
    "Overview",
    "Owner",
    "Place",
    "PlannedStep",
    "Pool",
    "PoolObject",
    "PoolProfile",
    "Pruned",
    "Refusal",
    "Remnant",
    "ResumePlan",
    "Run",
    "RunState",
    "Site",
    "Snapshot",
    "StartedTask",
    "StatusLine",
    "StatusReport",
    "TaskView",
    "Terms",
    "Tls",
    "Try",
    "VMGroup",
    "VmCheck",
    "Waits",
    "WhyReport",
    "WitnessView",
    "WrongView",
    "XapiError",
    "XenopsTask",
]

_FAMILIES = {
    "lmflow.models.answers": (
        "Cancellation",
        "Description",
        "Notice",
        "Outcome",
        "Pruned",
        "StatusLine",
        "StatusReport",
        "Try",
        "WhyReport",
    ),
    "lmflow.models.base": ("Model",),
    "lmflow.models.checking": (
        "CHECK_SCHEMA",
        "Candidate",
        "CheckReport",
        "Choice",
        "HostVerdict",
        "Overview",
        "Place",
        "Refusal",
        "VmCheck",
    ),
    "lmflow.models.evidence": (
        "StartedTask",
        "TaskView",
        "WitnessView",
        "XenopsTask",
    ),
    "lmflow.models.objects": ("PoolObject",),
    "lmflow.models.pool": (
        "PBD",
        "PIF",
        "SR",
        "VBD",
        "VDI",
        "VIF",
        "VM",
        "Finding",
        "Host",
        "Network",
        "Pool",
        "Snapshot",
        "Terms",
        "VMGroup",
        "XapiError",
    ),
    "lmflow.models.plans": ("PlannedStep", "ResumePlan"),
    "lmflow.models.requests": (
        "Attempt",
        "Event",
        "Lease",
        "MoveOptions",
        "MoveRequest",
        "Owner",
        "PoolProfile",
        "Remnant",
        "Run",
        "RunState",
        "Tls",
        "Waits",
    ),
    "lmflow.models.site": (
        "Hook",
        "Site",
    ),
    "lmflow.models.views": ("WrongView",),
}
_HOMES = {name: family for family, names in _FAMILIES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load the family of the model that is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
