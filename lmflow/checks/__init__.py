"""May this VM move there? Pure rules: a snapshot goes in, findings come out. The common path knows their registry."""

from lmflow.checks.claim import check_claimed, object_to_claim, write_removal
from lmflow.checks.matrix import check_anywhere, check_hosts, find_askable
from lmflow.checks.registry import (
    RuleSource,
    check_all,
    check_group,
    find_refusals,
    find_rules,
    find_rules_for,
    find_sources,
    find_warnings,
)
from lmflow.checks.rule import GROUPS, SITE, Rule
from lmflow.checks.sr import find_creations, find_ejections, find_plugs

__all__ = [
    "GROUPS",
    "SITE",
    "Rule",
    "RuleSource",
    "check_all",
    "check_anywhere",
    "check_claimed",
    "check_group",
    "check_hosts",
    "find_askable",
    "find_creations",
    "find_ejections",
    "find_plugs",
    "find_refusals",
    "find_rules",
    "find_rules_for",
    "find_sources",
    "find_warnings",
    "object_to_claim",
    "write_removal",
]
