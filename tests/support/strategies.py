"""Strategies as plugins, without an installed package."""

from __future__ import annotations

import functools
from typing import Any

from lmflow.planner import Rank, rank_by
from lmflow.plugins import Plugin


def make_plugin(value: Any, *, ours: bool = False) -> Plugin:
    """Return a function as if an entry point named it."""
    return Plugin("mine", value, "site.place:mine", "site-place 1.0", is_ours=ours)


def rank_with(value: Any, *, ours: bool = True, seconds: float = 10.0) -> Rank:
    """Return a strategy as the planner asks it."""
    return functools.partial(rank_by, make_plugin(value, ours=ours), seconds)
