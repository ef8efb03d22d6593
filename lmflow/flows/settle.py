"""The forward half of a migration: the VM is confirmed on the destination, and nothing under it is reverted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from lmflow.flows.versions import check_version
from lmflow.tasks.conclude import Conclude
from lmflow.tasks.post_migrate import PostMigrate
from lmflow.tasks.verify_on_destination import VerifyOnDestination

NAME = "settle"
FACTORY = "lmflow.flows.settle:make_settle_flow"


def make_settle_flow(request: Mapping[str, Any], version: int = 1) -> flow.Flow:
    """Compose the flow. ``request`` is a MoveRequest as JSON, ``version`` the one that the run was created with."""
    check_version(NAME, version, request)
    return linear_flow.Flow(NAME).add(VerifyOnDestination(), PostMigrate(), Conclude())
