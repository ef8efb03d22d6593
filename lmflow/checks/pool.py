"""Rules on the pool: one pool, and no upgrade in the way."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.host import find_older
from lmflow.models import Finding, Snapshot


def check_membership(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when the destination is no host of the VM's pool."""
    if snapshot.host(snapshot.destination_uuid) is None:
        yield Finding(
            rule="pool.membership",
            code="HOST_NOT_IN_POOL",
            message=f"the destination is not in the same pool as {snapshot.vm.name_label}",
            remedy="name a host of this pool",
        )


def check_upgrade(snapshot: Snapshot) -> Iterator[Finding]:
    """Object to an older destination in a rolling upgrade, which XAPI refuses too."""
    older = find_older(snapshot)
    if snapshot.pool.rolling_upgrade and older:
        yield Finding(
            rule="pool.upgrade",
            code="NOT_SUPPORTED_DURING_UPGRADE",
            message=f"a rolling upgrade is in progress and {older}",
            remedy="migrate towards upgraded hosts only",
        )


RULES = (check_membership, check_upgrade)
