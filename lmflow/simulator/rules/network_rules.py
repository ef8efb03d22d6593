"""Does a host reach the networks of a VM, and does a network lead to a host?

Source: xapi_vm_helpers.ml and xapi_network_attach_helpers.ml.
"""

from __future__ import annotations

from collections.abc import Mapping

from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure


def check_networks(store: Store, vm_ref: str, host_ref: str) -> None:
    """Refuse a host that lacks a network of the VM, or cannot bring it up.

    VM_REQUIRES_NETWORK for the first that is missing; HOST_CANNOT_ATTACH_NETWORK when its wire there is part of a bond.
    """
    networks = [store.value("VIF", ref, "network") for ref in store.value("VM", vm_ref, "VIFs")]
    networks = [ref for ref in dict.fromkeys(networks) if store.exists("network", ref)]
    for network_ref in networks:
        if not _reaches(store, network_ref, host_ref):
            raise ApiFailure("VM_REQUIRES_NETWORK", vm_ref, network_ref)
    for network_ref in networks:
        if any(store.value("PIF", ref, "bond_slave_of") != NULL for ref in pifs_on(store, network_ref, host_ref)):
            raise ApiFailure("HOST_CANNOT_ATTACH_NETWORK", host_ref, network_ref)


def pifs_on(store: Store, network_ref: str, host_ref: str) -> list[str]:
    """List a host's wires into a network."""
    return [ref for ref in store.value("network", network_ref, "PIFs") if store.value("PIF", ref, "host") == host_ref]


def _reaches(store: Store, network_ref: str, host_ref: str) -> bool:
    network = store.record("network", network_ref)
    if network["other_config"].get("assume_network_is_shared") == "true":
        return True
    if network["PIFs"]:
        return bool(pifs_on(store, network_ref, host_ref))
    # A network without wires is only on the hosts whose VMs use it now, and anywhere while none does.
    users = [store.value("VIF", ref, "VM") for ref in network["VIFs"] if store.value("VIF", ref, "currently_attached")]
    places = {store.value("VM", ref, "resident_on") for ref in users} - {NULL}
    return not places or host_ref in places


def address_of(store: Store, network_ref: str, host_ref: str) -> str:
    """Give a host's address in a network.

    HANDLE_INVALID, PIF_NOT_PRESENT, REQUIRED_PIF_IS_UNPLUGGED, INTERFACE_HAS_NO_IP.
    """
    if not store.exists("network", network_ref):
        raise ApiFailure("HANDLE_INVALID", "network", network_ref)
    here = pifs_on(store, network_ref, host_ref)
    if not here:
        raise ApiFailure("PIF_NOT_PRESENT", host_ref, network_ref)
    if not store.value("PIF", here[0], "currently_attached"):
        raise ApiFailure("REQUIRED_PIF_IS_UNPLUGGED", here[0])
    address = _primary_address(store, here[0])
    if not address:
        raise ApiFailure("INTERFACE_HAS_NO_IP", here[0])
    return address


def _primary_address(store: Store, pif_ref: str) -> str:
    """Give the address of the family that the wire is configured for, '' for none; one of the link alone is none."""
    if store.value("PIF", pif_ref, "primary_address_type") != "IPv6":
        return str(store.value("PIF", pif_ref, "IP"))
    addresses = [text.partition("/")[0] for text in store.value("PIF", pif_ref, "IPv6")]
    return next((text for text in addresses if text and not text.lower().startswith("fe80:")), "")


def check_way(store: Store, host_ref: str, options: Mapping[str, str]) -> None:
    """Refuse a ``network`` option by which the destination cannot be reached."""
    if options.get("network"):
        address_of(store, options["network"], host_ref)
