"""How a migration may be wanted beyond VM and destination."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from lmflow.exceptions import UsageError
from lmflow.models import Finding, MoveOptions

Confirm = Callable[[Sequence[Finding]], bool]
"""Is asked whether these findings may be overridden by force, before anything is begun."""

_SECONDS = ("deadline_seconds", "no_progress_seconds", "guest_seconds")


class Ways(TypedDict, total=False):
    """What ``migrate`` may be told, by keyword; what is left out is as by default. MoveOptions says what each means.

    ``network`` is a name, UUID or unique beginning. ``confirm`` is asked before ``force`` overrides something, None
    means that the caller has decided. ``max_retries`` and ``strategy`` are for a choice of lmflow's, and go before
    what the site has set.
    """

    strict: bool
    force: bool
    confirm: Confirm | None
    network: str
    compress: bool | None
    deadline_seconds: float | None
    no_progress_seconds: float | None
    guest_seconds: float
    eject_local_iso: bool
    keep_source_kernel: bool
    max_retries: int | None
    strategy: str


def split(ways: Mapping[str, Any], *, chosen: bool) -> tuple[MoveOptions, dict[str, Any]]:
    """Return the options that are kept with the run, the network not yet among them, and the rest.

    ``chosen``: the destination is to be lmflow's choice. UsageError for what makes no sense, TypeError for what is no
    option.
    """
    rest = {name: ways[name] for name in ("confirm", "network", "max_retries") if name in ways}
    given = {name: value for name, value in ways.items() if name not in rest}
    unknown = given.keys() - Ways.__annotations__.keys()
    if unknown:
        raise TypeError(f"migrate() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
    for name in _SECONDS:
        seconds = given.get(name)
        if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
            raise UsageError(f"{name} is {seconds!r}, and has to be a number of seconds from 0 on")
    for name in ("strategy", "max_retries"):
        if not chosen and ways.get(name) not in (None, ""):
            raise UsageError(f"{name} is for a choice of lmflow's, and a destination is named", advice="leave one out")
    if (rest.get("max_retries") or 0) < 0:
        raise UsageError(f"max_retries is {rest['max_retries']}, and has to be at least 0")
    return MoveOptions(**given), rest


def find_differences(first: MoveOptions, options: MoveOptions) -> list[str]:
    """Return the names of what is not the same, without the network, which is wanted by name."""
    names = (field.name for field in dataclasses.fields(MoveOptions))
    return [n for n in names if not n.startswith("network_") and getattr(first, n) != getattr(options, n)]
