"""The groups of rules, one for each validation of the flow, in the order in which XAPI would object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from lmflow.checks import cpu, host, memory, network, pool, sr, vm
from lmflow.checks.sr import find_plugs
from lmflow.models import Finding, Snapshot

Rule = Callable[[Snapshot], Iterator[Finding]]

GROUPS: Final[dict[str, tuple[Rule, ...]]] = {
    "pool": pool.RULES,
    "host": host.RULES,
    "sr": sr.RULES,
    "network": network.RULES,
    "cpu": cpu.RULES,
    "memory": memory.RULES,
    "vm": vm.RULES,
}


def check_group(name: str, snapshot: Snapshot) -> tuple[Finding, ...]:
    """Return every reason that the rules of one group find; KeyError for a group that does not exist."""
    return tuple(finding for rule in GROUPS.get(name, ()) for finding in rule(snapshot))


def check_all(snapshot: Snapshot) -> tuple[Finding, ...]:
    """Return every reason of every group, in the groups' order."""
    return tuple(finding for name in GROUPS for finding in check_group(name, snapshot))


__all__ = ["GROUPS", "Rule", "check_all", "check_group", "find_plugs"]
