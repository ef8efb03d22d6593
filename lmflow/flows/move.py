"""The revertible half of a migration: from the intent to the proof of arrival."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow, unordered_flow

from lmflow.flows.versions import CLAIMING, CURRENT, check_version
from lmflow.tasks.await_pool_migrate import AwaitPoolMigrate
from lmflow.tasks.claim_vm import ClaimVM
from lmflow.tasks.connect_storage import ConnectStorage
from lmflow.tasks.copy_kernel import CopyKernel
from lmflow.tasks.eject_local_iso import EjectLocalISO
from lmflow.tasks.hooks_before import HooksBefore
from lmflow.tasks.observe import Observe
from lmflow.tasks.record_intent import RecordIntent
from lmflow.tasks.submit_pool_migrate import SubmitPoolMigrate
from lmflow.tasks.validate_cpu import ValidateCPU
from lmflow.tasks.validate_host import ValidateHost
from lmflow.tasks.validate_memory import ValidateMemory
from lmflow.tasks.validate_network import ValidateNetwork
from lmflow.tasks.validate_pool import ValidatePool
from lmflow.tasks.validate_site import ValidateSite
from lmflow.tasks.validate_sr import ValidateSR
from lmflow.tasks.validate_vm import ValidateVM

NAME = "move"
FACTORY = "lmflow.flows.move:make_move_flow"


def make_move_flow(request: Mapping[str, Any], version: int = CURRENT) -> flow.Flow:
    """Compose the flow. ``request`` is a MoveRequest as JSON, ``version`` the one that the run was created with."""
    check_version(NAME, version, request)
    validations = unordered_flow.Flow("validate").add(
        ValidatePool(),
        ValidateHost(),
        ValidateSR(),
        ValidateNetwork(),
        ValidateCPU(),
        ValidateMemory(),
        ValidateVM(),
        ValidateSite(),
    )
    pre_migrate = linear_flow.Flow("pre_migrate").add(HooksBefore())
    if version >= CLAIMING:
        pre_migrate.add(ClaimVM())
    pre_migrate.add(CopyKernel(), EjectLocalISO(), ConnectStorage())
    return linear_flow.Flow(NAME).add(
        RecordIntent(),
        Observe(),
        validations,
        pre_migrate,
        SubmitPoolMigrate(),
        AwaitPoolMigrate(),
    )
