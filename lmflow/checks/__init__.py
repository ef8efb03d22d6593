"""May this VM move there? Pure rules: a snapshot goes in, findings come out."""

from lmflow.checks.matrix import check_anywhere, check_hosts, find_askable
from lmflow.checks.registry import GROUPS, check_all, check_group, find_plugs

__all__ = ["GROUPS", "check_all", "check_anywhere", "check_group", "check_hosts", "find_askable", "find_plugs"]
