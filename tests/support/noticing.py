"""Notes what a pool shows after every single change, from the inside, so that nothing is missed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from lmflow.simulator.pool import SimulatedPool


def notice(pool: SimulatedPool, watched: Iterable[tuple[Any, Iterable[str]]], note: Callable[[], None]) -> None:
    """Call ``note`` under the database's lock after each call of the owners' methods; once for calls within calls."""
    depth = threading.local()

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with pool.store.lock:
                before = getattr(depth, "value", 0)
                depth.value = before + 1
                try:
                    return function(*args, **kwargs)
                finally:
                    depth.value = before
                    if before == 0:
                        note()

        return wrapped

    for owner, names in watched:
        for name in names:
            setattr(owner, name, wrap(getattr(owner, name)))
