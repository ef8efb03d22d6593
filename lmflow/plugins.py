"""What others add to lmflow by entry points: rules, strategies, hooks. Found by namespace, called with a limit.

The namespaces are stevedore's kind; they are read without stevedore's cache, which was seen stale.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from lmflow.exceptions import PluginError

OURS: Final = "lmflow"

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point. ``value`` is what it names, None when it cannot be loaded: then ``error`` says why.

    ``source`` is ``module:object``, ``distribution`` the name and version of the package that brings it.
    """

    name: str
    value: Any
    source: str
    distribution: str
    is_ours: bool
    error: str = ""


@functools.cache
def load_plugins(namespace: str) -> tuple[Plugin, ...]:
    """Load everything of a namespace, by name, once in a process; what cannot be loaded is there all the same."""
    found = sorted(importlib.metadata.entry_points(group=namespace), key=lambda entry: (entry.name, entry.value))
    return tuple(_load(entry) for entry in dict.fromkeys(found))


def get_plugin(namespace: str, name: str) -> Plugin:
    """Return one that can be used; PluginError names those there are, or says why it cannot be loaded."""
    known = {plugin.name: plugin for plugin in load_plugins(namespace)}
    if name not in known:
        raise PluginError(f"nothing is called {name!r} in {namespace}", candidates=sorted(known))
    if known[name].error:
        raise PluginError(f"{name} of {known[name].distribution} cannot be loaded: {known[name].error}")
    return known[name]


def call_guarded(plugin: Plugin, seconds: float, work: Callable[[], T]) -> T:
    """Return what a plugin makes of a call; PluginError, with its name, when it raises or takes too long.

    Our own are called at once. Somebody else's runs in a thread of its own: one that hangs is left behind there.
    """
    if plugin.is_ours:
        return work()
    result: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:  # handed to the caller
            errors.append(error)

    thread = threading.Thread(target=run, name=f"lmflow-plugin-{plugin.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    who = f"{plugin.name} ({plugin.source} of {plugin.distribution})"
    if errors:
        raise PluginError(f"{who} failed with {type(errors[0]).__name__}: {errors[0]}") from errors[0]
    if not result:
        raise PluginError(f"{who} has not answered within {seconds:g} s")
    return result[0]


def _load(entry: importlib.metadata.EntryPoint) -> Plugin:
    brought_by = entry.dist
    name = brought_by.name if brought_by is not None else ""
    distribution = f"{name} {brought_by.version}" if brought_by is not None else "an unknown package"
    ours = name == OURS
    try:
        value = entry.load()
    except Exception as error:  # told with its name wherever it is needed
        return Plugin(entry.name, None, entry.value, distribution, ours, f"{type(error).__name__}: {error}")
    return Plugin(entry.name, value, entry.value, distribution, ours)
