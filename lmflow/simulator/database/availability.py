"""Which calls of the model are answered, and how: derived from the data, written by hand, or not simulated."""

from __future__ import annotations

import enum
import fnmatch
from collections.abc import Iterator

from lmflow.simulator.database import accessors
from lmflow.simulator.database.schema import Message, Schema
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import OPERATIONS

LEFT_OUT: tuple[tuple[str, str], ...] = (
    ("auth.*", "directories of users outside the pool"),
    ("Bond.*", "networks of a host in the making"),
    ("VLAN.*", "networks of a host in the making"),
    ("tunnel.*", "networks of a host in the making"),
    ("network_sriov.*", "networks of a host in the making"),
    ("PIF.*", "networks of a host in the making"),
    ("SDN_controller.*", "networks of a host in the making"),
    ("Cluster.*", "clustering"),
    ("Cluster_host.*", "clustering"),
    ("DR_task.*", "disaster recovery: cross-pool"),
    ("GPU_group.*", "GPU and PCI"),
    ("PGPU.*", "GPU and PCI"),
    ("VGPU.*", "GPU and PCI"),
    ("PCI.*", "GPU and PCI"),
    ("PUSB.*", "USB and PCI"),
    ("VUSB.*", "USB and PCI"),
    ("USB_group.*", "USB and PCI"),
    ("LVHD.*", "storage back ends"),
    ("PVS_site.*", "provisioning from servers outside the pool"),
    ("PVS_proxy.*", "provisioning from servers outside the pool"),
    ("PVS_cache_storage.*", "provisioning from servers outside the pool"),
    ("PVS_server.*", "provisioning from servers outside the pool"),
    ("Repository.*", "updates"),
    ("pool_update.*", "updates"),
    ("pool_patch.*", "updates"),
    ("host_patch.*", "updates"),
    ("host_crashdump.*", "updates"),
    ("Diagnostics.*", "the inside of xapi's own process"),
    ("Observer.*", "the inside of xapi's own process"),
    ("Rate_limit.*", "the inside of xapi's own process"),
    ("Caller.*", "the inside of xapi's own process"),
    ("VTPM.*", "the hypervisor below xenopsd"),
    ("Host_driver.*", "drivers of the hardware"),
    ("console.*", "consoles"),
    ("user.*", "users of a release long ago"),
    ("crashdump.*", "the hypervisor below xenopsd"),
    ("VMSS.*", "scheduled snapshots"),
    ("VM.*data_source*", "statistics"),
    ("host.*data_source*", "statistics"),
    ("SR.*data_source*", "statistics"),
    ("host.backup_rrds", "statistics"),
    ("VM.*recover*", "disaster recovery: cross-pool"),
    ("VM_appliance.*recover*", "disaster recovery: cross-pool"),
    ("VM.import*", "import and export"),
    ("VM.*secureboot*", "the firmware of guests"),
    ("VM.set_uefi_mode", "the firmware of guests"),
    ("VM.sysprep", "what happens inside a guest"),
    ("VM.call_host_plugin", "what happens inside a host"),
    ("SR.*database_replication", "disaster recovery: cross-pool"),
    ("SR.assert_can_host_ha_statefile", "storage back ends"),
    ("VDI.*database*", "disaster recovery: cross-pool"),
    ("pool.*wlb*", "WLB"),
    ("pool.send_test_post", "WLB"),
    ("pool.*certificate*", "certificates"),
    ("pool.*crl*", "certificates"),
    ("pool.*tls*", "certificates"),
    ("pool.*repositor*", "updates"),
    ("pool.*update*", "updates"),
    ("pool.*external_auth*", "directories of users outside the pool"),
    ("pool.*", "the administration of a pool: joining, licences, SSH, proxies"),
    ("host.*certificate*", "certificates"),
    ("host.*update*", "updates"),
    ("host.*external_auth*", "directories of users outside the pool"),
    ("host.*", "the administration of a host: licences, logs, clock, SSH, its own network"),
    ("session.create_from_db_file", "the inside of xapi's own process"),
    ("Driver_variant.*", "drivers of the hardware"),
)
"""What nobody simulates: calls (shell patterns, the first that fits counts), and what they belong to.

The documentation prints it. A call that hosts make among themselves needs no row.
"""
HIDDEN = "calls of hosts among themselves"


class Way(enum.StrEnum):
    """How a call is answered."""

    DERIVED = "derived"
    OPERATION = "operation"
    REMOVED = "removed"
    INTERNAL = "internal"
    NOT_SIMULATED = "not simulated"


def find_way(message: Message) -> Way:
    """Say how a call is answered."""
    if message.is_removed:
        return Way.REMOVED
    if message.wire_name in OPERATIONS:
        return Way.OPERATION
    if message.is_hidden and not message.roles:
        return Way.INTERNAL
    return Way.DERIVED if accessors.can_answer(message) else Way.NOT_SIMULATED


def list_calls(schema: Schema) -> Iterator[tuple[Message, Way]]:
    """Go through every call of the model and say how it is answered."""
    for cls in schema.classes.values():
        for message in cls.messages.values():
            yield message, find_way(message)


def check_usable(message: Message, *, is_async: bool) -> None:
    """Refuse, once the session is known, what is gone, what hosts call among themselves, and Async of what has none."""
    way = find_way(message)
    if way is Way.REMOVED:
        raise ApiFailure("MESSAGE_REMOVED")
    if way is Way.INTERNAL:
        text = f'Internal API "{message.wire_name}" call attempted with non-pool (external) session'
        raise ApiFailure("INTERNAL_ERROR", text)
    if is_async and not message.is_async:
        raise ApiFailure("Fault", f"No async mode for this operation (rpc: {message.wire_name})")


def find_reason(message: Message) -> str:
    """Say why a call is not simulated; "" when no row of ``LEFT_OUT`` says so."""
    if message.is_hidden:
        return HIDDEN
    rows = (reason for pattern, reason in LEFT_OUT if fnmatch.fnmatchcase(message.wire_name, pattern))
    return next(rows, "")


def make_refusal(message: Message) -> ApiFailure:
    """Make XAPI's own answer for a call that it declares and does not carry out."""
    return ApiFailure("NOT_IMPLEMENTED", message.wire_name)
