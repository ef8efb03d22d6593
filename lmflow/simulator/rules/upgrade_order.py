"""Which of two hosts is the older, and what a pool refuses while its hosts are upgraded one after the other.

Outside a rolling upgrade versions are not looked at, as a real pool showed.
"""

from __future__ import annotations

import re

from lmflow.simulator.database.store import Store
from lmflow.simulator.failures import ApiFailure

MARK = "rolling_upgrade_in_progress"
_KEYS = ("platform_version", "xapi_build", "xen")
"""Compared in this order. Source: helpers.ml."""


def is_in_progress(store: Store) -> bool:
    """Tell whether the pool is being upgraded: a key of its other_config says so."""
    return any(MARK in store.value("pool", ref, "other_config") for ref in store.refs("pool"))


def _numbers(text: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", text)]


def version_of(store: Store, host_ref: str) -> list[list[int]]:
    """Give what tells a host's version; such lists compare as the versions do."""
    versions = store.value("host", host_ref, "software_version")
    return [_numbers(versions.get(key, "0")) for key in _KEYS]


def is_older(store: Store, host_ref: str, than_ref: str) -> bool:
    """Tell whether the first host has an older version than the second."""
    return version_of(store, host_ref) < version_of(store, than_ref)


def check_way(store: Store, source_ref: str, destination_ref: str) -> None:
    """Refuse the way to an older host, but only during a rolling upgrade: NOT_SUPPORTED_DURING_UPGRADE."""
    if is_in_progress(store) and is_older(store, destination_ref, source_ref):
        raise ApiFailure("NOT_SUPPORTED_DURING_UPGRADE")


def check_like_coordinator(store: Store, vm_ref: str, host_ref: str) -> None:
    """Refuse to boot on a host that is not upgraded as the coordinator is: VM_HOST_INCOMPATIBLE_VERSION."""
    if not is_in_progress(store) or not store.exists("host", host_ref):
        return
    coordinator_ref = store.value("pool", store.refs("pool")[0], "master")
    if version_of(store, host_ref) != version_of(store, coordinator_ref):
        raise ApiFailure("VM_HOST_INCOMPATIBLE_VERSION", host_ref, vm_ref)
