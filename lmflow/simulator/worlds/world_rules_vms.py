"""Rules about VMs: power state and place, what a domain has, memory and virtual CPUs, snapshots, control domains."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.simulator.database.values import NULL
from lmflow.simulator.worlds.world_rules_values import Database, Record, name_of

_PLACED = frozenset({"Running", "Paused"})


def check_vms(database: Database) -> Iterator[str]:
    """Find VMs that cannot be as they are.

    One may be scheduled to be on a host without an operation that brings it there: users of real pools saw such.
    """
    domains: dict[tuple[str, int], str] = {}
    for vm in database.get("VM", {}).values():
        yield from _check_sizes(vm)
        if vm["is_control_domain"]:
            continue
        placed = vm["power_state"] in _PLACED
        yield from _check_place(database, vm) if placed else _check_no_place(database, vm)
        if vm["power_state"] == "Suspended":
            yield from _check_suspended(vm)
        if vm["is_a_snapshot"] and not vm["is_a_template"]:
            yield f"{name_of('VM', vm)} is a snapshot and no template."
        key = (vm["resident_on"], vm["domid"])
        if placed and key in domains:
            yield f"{name_of('VM', vm)} and {domains[key]} have the same domain {vm['domid']} of one host."
        domains[key] = name_of("VM", vm)
    yield from _check_control_domains(database)


def _check_place(database: Database, vm: Record) -> Iterator[str]:
    name, state, host_ref = name_of("VM", vm), vm["power_state"], vm["resident_on"]
    if vm["is_a_template"] or vm["is_a_snapshot"]:
        yield f"{name} is a template or snapshot and cannot be {state}."
    elif host_ref == NULL:
        yield f"{name} is {state} but resident on no host."
    elif host_ref not in database.get("host", {}):
        yield f"{name} is {state} on an unknown host."
    if vm["domid"] < 1:
        yield f"{name} is {state} and yet has no domain, but {vm['domid']}."


def _check_no_place(database: Database, vm: Record) -> Iterator[str]:
    name, state, host_ref = name_of("VM", vm), vm["power_state"], vm["resident_on"]
    if host_ref != NULL:
        host = database.get("host", {}).get(host_ref, {})
        yield f"{name} is {state} and yet resident on {host.get('name_label', host_ref)}."
    if state != "Halted":
        return
    if vm["domid"] > 0:
        yield f"{name} is Halted and yet has the domain {vm['domid']}."
    for cls, refs in (("VBD", vm["VBDs"]), ("VIF", vm["VIFs"])):
        records = database.get(cls, {})
        if any(records[ref]["currently_attached"] for ref in refs if ref in records):
            yield f"{name} is Halted and yet has an attached {cls}."


def _check_suspended(vm: Record) -> Iterator[str]:
    """A real pool showed VMs that its hypervisor had suspended by itself: without an image, but with their domid."""
    if vm["suspend_VDI"] == NULL and vm["domid"] < 1:
        yield f"{name_of('VM', vm)} is Suspended without an image of its memory."


def _check_sizes(vm: Record) -> Iterator[str]:
    amounts = [vm[f"memory_{kind}"] for kind in ("static_min", "dynamic_min", "dynamic_max", "static_max")]
    if amounts != sorted(amounts):
        yield f"{name_of('VM', vm)} has memory limits out of order: {amounts}."
    if not 0 <= vm["VCPUs_at_startup"] <= vm["VCPUs_max"]:
        yield f"{name_of('VM', vm)} starts with {vm['VCPUs_at_startup']} of {vm['VCPUs_max']} virtual CPUs."


def _check_control_domains(database: Database) -> Iterator[str]:
    vms = database.get("VM", {})
    for host_ref, host in database.get("host", {}).items():
        vm = vms.get(host["control_domain"])
        if vm is None:
            continue
        if not vm["is_control_domain"] or vm["resident_on"] != host_ref or vm["domid"] != 0:
            yield f"{name_of('host', host)} has {name_of('VM', vm)} for a control domain."
