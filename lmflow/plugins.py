"""What others add to lmflow by entry points: rules, strategies, hooks. Found by namespace, called with a limit.

The namespaces are stevedore's kind; they are read without stevedore's cache, which was seen stale.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from lmflow.exceptions import PluginError

OURS: Final = "lmflow"
LOAD_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05

# What Python itself says of a module, rather than the module.
_OF_PYTHON = (ImportError, AttributeError, SyntaxError)

LOG = logging.getLogger(__name__)

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


def load_plugins(namespace: str) -> tuple[Plugin, ...]:
    """Load everything of a namespace, by name, once in a process; what cannot be loaded is there all the same."""
    return tuple(_load(entry) for entry in _find_entries(namespace))


def get_plugin(namespace: str, name: str) -> Plugin:
    """Return one that can be used, and load no other.

    PluginError names those there are, or says why it cannot be loaded.
    """
    known = {entry.name: entry for entry in _find_entries(namespace)}
    if name not in known:
        raise PluginError(f"nothing is called {name!r} in {namespace}", candidates=sorted(known))
    plugin = _load(known[name])
    if plugin.error:
        raise PluginError(f"{name} of {plugin.distribution} cannot be loaded: {plugin.error}")
    return plugin


def call_guarded(
    plugin: Plugin, seconds: float, work: Callable[[], T], *, look: Callable[[], None] = lambda: None
) -> T:
    """Return what a plugin makes of a call; PluginError, with its name, when it raises or takes too long.

    Our own are called at once. Somebody else's runs in a thread of its own: one that hangs is left behind there, as is
    one during which ``look``, called every now and then, raises. What it raised is the error's cause; its text may hold
    anything, also a secret, and stands in no message.
    """
    if plugin.is_ours:
        return work()
    result, errors = _run_apart(plugin.name, seconds, work, look)
    who = f"{plugin.name} ({plugin.source} of {plugin.distribution})"
    if errors:
        LOG.debug("%s: %s", who, errors[0])
        raise PluginError(f"{who} failed with {type(errors[0]).__name__}") from errors[0]
    if not result:
        raise PluginError(f"{who} has not answered within {seconds:g} s")
    return result[0]


def _run_apart(
    name: str, seconds: float, work: Callable[[], T], look: Callable[[], None] = lambda: None
) -> tuple[list[T], list[BaseException]]:
    """Do it in a thread that nobody waits for at the end; return its result, or what it raised, or neither in time."""
    result: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:  # handed to the caller
            errors.append(error)

    thread = threading.Thread(target=run, name=f"lmflow-plugin-{name}", daemon=True)
    thread.start()
    limit = time.monotonic() + seconds
    while thread.is_alive() and (left := limit - time.monotonic()) > 0:
        thread.join(min(left, _LOOK_SECONDS))
        look()
    return result, errors


@functools.cache
def _find_entries(namespace: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    found = sorted(importlib.metadata.entry_points(group=namespace), key=lambda entry: (entry.name, entry.value))
    return tuple(dict.fromkeys(found))


@functools.cache
def _describe(brought_by: importlib.metadata.Distribution) -> tuple[str, str]:
    """Return a package's name, alone and with its version. Each look parses all of its metadata, the readme too."""
    metadata = brought_by.metadata
    return metadata["Name"], f"{metadata['Name']} {metadata['Version']}"


@functools.cache
def _load(entry: importlib.metadata.EntryPoint) -> Plugin:
    """Import what an entry point names. Somebody else's module may do anything then: also end, or hang."""
    name, distribution = _describe(entry.dist) if entry.dist is not None else ("", "an unknown package")
    ours = name == OURS
    if ours:
        return Plugin(entry.name, entry.load(), entry.value, distribution, ours)
    loaded, errors = _run_apart(entry.name, LOAD_SECONDS, entry.load)
    if loaded:
        return Plugin(entry.name, loaded[0], entry.value, distribution, ours)
    why = f"it has not been loaded within {LOAD_SECONDS:g} s"
    if errors:
        text = f": {errors[0]}" if isinstance(errors[0], _OF_PYTHON) else ""
        why = f"{type(errors[0]).__name__}{text}"
    return Plugin(entry.name, None, entry.value, distribution, ours, why)
