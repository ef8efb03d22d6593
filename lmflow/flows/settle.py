"""The forward half of a migration: the VM is confirmed on the destination, and nothing under it is reverted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from lmflow.flows.versions import CLAIMING, CURRENT, check_version
from lmflow.tasks.await_settled import AwaitSettled
from lmflow.tasks.conclude import Conclude
from lmflow.tasks.hooks_after import HooksAfter
from lmflow.tasks.release_source_storage import ReleaseSourceStorage
from lmflow.tasks.release_vm import ReleaseVM
from lmflow.tasks.remove_source_kernel import RemoveSourceKernel
from lmflow.tasks.strip_base_mirror import StripBaseMirror
from lmflow.tasks.verify_on_destination import VerifyOnDestination

NAME = "settle"
FACTORY = "lmflow.flows.settle:make_settle_flow"


def make_settle_flow(request: Mapping[str, Any], version: int = CURRENT) -> flow.Flow:
    """Compose the flow. ``request`` is a MoveRequest as JSON, ``version`` the one that the run was created with."""
    check_version(NAME, version, request)
    settling = linear_flow.Flow(NAME).add(
        VerifyOnDestination(),
        AwaitSettled(),
        linear_flow.Flow("post_migrate").add(ReleaseSourceStorage(), StripBaseMirror(), RemoveSourceKernel()),
        HooksAfter(),
    )
    if version >= CLAIMING:
        settling.add(ReleaseVM())
    return settling.add(Conclude())
