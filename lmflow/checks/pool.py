"""Rules on the pool: one pool, no upgrade in the way, its plan for lost hosts."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.host import find_older
from lmflow.checks.rule import Rule
from lmflow.models import Finding, Snapshot


def check_membership(snapshot: Snapshot) -> Iterator[Finding]:
    """Is the destination a host of the VM's pool?"""
    if snapshot.host(snapshot.destination_uuid) is None:
        yield MEMBERSHIP.object_to(f"the destination is not in the same pool as {snapshot.vm.name_label}")


def check_upgrade(snapshot: Snapshot) -> Iterator[Finding]:
    """In a rolling upgrade, is the destination at least as new as the source?"""
    older = find_older(snapshot)
    if snapshot.pool.rolling_upgrade and older:
        yield UPGRADE.object_to(f"a rolling upgrade is in progress and {older}")


def check_licence(snapshot: Snapshot) -> Iterator[Finding]:
    """Does the pool's licence allow live migration?"""
    if not snapshot.pool.is_licensed:
        yield LICENCE.object_to(f"the licence of pool {snapshot.pool.name_label} does not allow live migration")


def check_plan(snapshot: Snapshot) -> Iterator[Finding]:
    """With high availability, does its plan leave room for a move?"""
    pool = snapshot.pool
    if pool.ha_enabled and pool.ha_plan_exists_for <= pool.ha_failures_to_tolerate:
        yield PLAN.object_to(
            f"high availability has a plan for {pool.ha_plan_exists_for} lost hosts and is to survive"
            f" {pool.ha_failures_to_tolerate}: XAPI refuses a move that breaks the plan"
        )


MEMBERSHIP = Rule(
    name="pool.membership",
    group="pool",
    order=20,
    codes=("HOST_NOT_IN_POOL",),
    needs=("hosts",),
    remedy="name a host of this pool",
    check=check_membership,
)
UPGRADE = Rule(
    name="pool.upgrade",
    group="pool",
    order=320,
    codes=("NOT_SUPPORTED_DURING_UPGRADE",),
    needs=("pool", "hosts"),
    remedy="migrate towards upgraded hosts only",
    check=check_upgrade,
)
PLAN = Rule(
    name="pool.plan",
    group="pool",
    order=500,
    codes=("HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN",),
    needs=("pool",),
    remedy="free memory in the pool, or lower the number of hosts whose loss it is to survive",
    warning=True,
    check=check_plan,
)
LICENCE = Rule(
    name="pool.licence",
    group="pool",
    order=525,
    codes=("LICENCE_RESTRICTION",),
    needs=("pool",),
    remedy="license the pool for live migration",
    elsewhere=False,
    check=check_licence,
)
