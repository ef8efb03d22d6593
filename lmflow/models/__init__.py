"""Frozen facts that travel through the house. UUIDs are identity; no reference of XAPI ever stands here.

Every model goes to JSON and comes back equal (``to_json``/``from_json``): lists become tuples again.
"""

from lmflow.models.answers import (
    Cancellation,
    Description,
    Notice,
    Outcome,
    StatusLine,
    StatusReport,
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
from lmflow.models.pool import PBD, PIF, SR, VBD, VDI, VIF, VM, Finding, Host, Network, Pool, Snapshot, XapiError
from lmflow.models.requests import Attempt, Event, Lease, MoveRequest, Owner, PoolProfile, Run, RunState, Tls, Waits

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
    "Host",
    "HostVerdict",
    "Lease",
    "Model",
    "MoveRequest",
    "Network",
    "Notice",
    "Outcome",
    "Overview",
    "Owner",
    "Place",
    "Pool",
    "PoolProfile",
    "Refusal",
    "Run",
    "RunState",
    "Snapshot",
    "StartedTask",
    "StatusLine",
    "StatusReport",
    "TaskView",
    "Tls",
    "VmCheck",
    "Waits",
    "WhyReport",
    "WitnessView",
    "XapiError",
    "XenopsTask",
]
