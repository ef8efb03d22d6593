"""Which plugins each host's control domain has, beside those that come with it.

Source: xapi_plugins.ml: a plugin is a file in a directory of the host on which it is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import control_route, part

GUEST_FILES = "lmflow-guest-files"
"""The plugin that copies guests' kernels; a host with it says so in its other_config, under this key."""


@part("dom0_plugins")
class Dom0Plugins:
    """Names of installed plugins by host, and what the plugin for kernels keeps beside its files.

    ``links`` of a host: partial file -> the file that was made of it and is still the same one.
    """

    def __init__(self, pool: Kernel) -> None:
        self._pool = pool
        self._installed: dict[str, set[str]] = {}
        self._links: dict[str, dict[str, str]] = {}

    def on(self, host_ref: str) -> set[str]:
        """Give the names of a host's plugins, to be read and changed."""
        with self._pool.store.lock:
            return self._installed.setdefault(host_ref, set())

    def links(self, host_ref: str) -> dict[str, str]:
        """Give a host's links, to be read and changed."""
        with self._pool.store.lock:
            return self._links.setdefault(host_ref, {})

    def describe(self, description: Mapping[str, Any]) -> None:
        """Take ``plugins`` (names) of described hosts."""
        for item in description.get("hosts", ()):
            self.on(self._pool.find_host(str(item["name"]))).update(item.get("plugins", ()))

    def dump(self) -> dict[str, Any]:
        """Give everything as JSON-able data."""
        with self._pool.store.lock:
            return {
                "installed": {ref: sorted(names) for ref, names in self._installed.items()},
                "links": {ref: dict(links) for ref, links in self._links.items()},
            }

    def load(self, data: Mapping[str, Any]) -> None:
        """Replace everything by what ``dump`` gave."""
        with self._pool.store.lock:
            self._installed = {ref: set(names) for ref, names in data["installed"].items()}
            self._links = {ref: dict(links) for ref, links in data["links"].items()}


@control_route("POST", "/plugins")
def install(pool: Kernel, body: dict[str, Any]) -> dict[str, Any]:
    """Install a plugin on a host, ``{"host", "plugin"}``, or remove it: ``"installed": false``."""
    names = pool.part(Dom0Plugins).on(pool.find_host(str(body["host"])))
    if body.get("installed", True):
        names.add(str(body["plugin"]))
    else:
        names.discard(str(body["plugin"]))
    return {}
