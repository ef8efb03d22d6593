"""Turns the description of a world into objects of the pool's database.

A description is a JSON object; amounts of memory and disk are bytes or text like ``2 GiB``:

- ``name``; ``pool``: name, other_config and other fields of the pool object; ``plugins``: type (one for each type of SR
  that there is, unless given);
- ``networks``: name, description, bridge, mtu, other_config, tags; the pool has its internal network besides;
- ``hosts``: name, coordinator, memory, cpus, cpu {vendor, features, ... as in cpu_info}, version {product_version,
  ...}, enabled, live, address, boot_time and agent_start_time (seconds since 1970), hostname, description,
  other_config, tags, files {path: text} of its control domain, plugins [name] installed there (``lmflow-guest-files``
  is announced in other_config), dom0_memory, dom0 {vcpus, consoles, fields, metrics}, metrics, networks: on each a
  PIF, a name or {network, device, mac, vlan, fields, metrics}; the first is the management interface, a ``vlan`` lies
  on the first;
- ``storage``: name, type, shared, default, content_type, size, description, device_config, other_config, sm_config,
  tags, vdis [{name, size, type}], hosts: a list, or {host: plugged | unplugged | {state, device_config, fields}};
- ``vms``: see ``world_vms``.

Hosts, networks, storage, VMs and most things inside them may also have ``uuid`` and ``fields``, which override the
object's own; ``metrics`` are fields of its metrics object.
"""

from __future__ import annotations

from typing import Any

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from lmflow.simulator.worlds import world_defaults, world_vm_defaults
from lmflow.simulator.worlds.world_defaults import Fields, Item
from lmflow.simulator.worlds.world_ledger import Ledger, parse_bytes
from lmflow.simulator.worlds.world_rules import ImpossibleWorldError
from lmflow.simulator.worlds.world_vms import VmBuilder

__all__ = ["WorldBuilder", "parse_bytes"]

_INTERNAL = "is_host_internal_management_network"


class WorldBuilder:
    """Creates what a description names; ImpossibleWorldError where one part names another that is not there."""

    def __init__(self, store: Store, clock: Clock, description: Item) -> None:
        self.store = store
        self.copy_seconds: dict[str, float] = {}
        self._clock = clock
        self._description = description
        self._name = str(description.get("name", "world"))
        self._ledger = Ledger(store, clock, self._name)
        self._first_pifs: dict[str, str] = {}

    def build(self) -> None:
        """Create everything, hosts first."""
        hosts = list(self._description.get("hosts", ()))
        coordinators = [host["name"] for host in hosts if host.get("coordinator")]
        if len(coordinators) != 1:
            raise ImpossibleWorldError(f"A pool has one coordinator, not {len(coordinators)} {coordinators}.")
        hosts.sort(key=lambda host: not host.get("coordinator"))
        self._build_networks()
        for index, item in enumerate(hosts):
            self._build_host(item, str(item.get("address", f"127.0.0.{index + 1}")))
        storage = list(self._description.get("storage", ()))
        for item in storage:
            self._build_sr(item)
        self._build_plugins(storage)
        pool_ref = self._build_pool(coordinators[0])
        vms = VmBuilder(self._ledger, self.store.value("pool", pool_ref, "default_SR"), self.copy_seconds)
        for item in self._description.get("vms", ()):
            vms.build(item)
        for item in storage:
            self._count_use(item)

    def _build_networks(self) -> None:
        described = list(self._description.get("networks", ()))
        configs = [item.get("fields", item).get("other_config", {}) for item in described]
        if not any(_INTERNAL in config for config in configs):
            described.append(world_defaults.INTERNAL_NETWORK)
        for item in described:
            self._ledger.add("network", item["name"], world_defaults.network_fields(item), item)

    def _build_host(self, item: Item, address: str) -> None:
        name, now, add = item["name"], self._clock.now(), self._ledger.add
        self._ledger.check_new("host", name)
        metrics = {
            "memory_total": parse_bytes(item.get("memory", "64 GiB")),
            "live": item.get("live", True),
            "last_updated": self._clock.stamp(),
        }
        metrics_ref = add("host_metrics", name, {**metrics, **item.get("metrics", {})})
        fields = world_defaults.host_fields(name, address, item, now) | {"metrics": metrics_ref}
        host_ref = add("host", name, fields, item)
        info = self.store.value("host", host_ref, "cpu_info")
        for number in range(item.get("cpus", world_defaults.CPUS)):
            cpu = {"host": host_ref, **world_defaults.host_cpu_fields(number, world_defaults.cpu_info(item) | info)}
            add("host_cpu", f"{name}/{number}", cpu)
        for kind in ("host", "host_internal"):
            seed = f"{self._name}/{name}/{kind}"
            certificate = world_defaults.certificate_fields(kind, seed, now)
            add("Certificate", f"{name}/{kind}", certificate | {"host": host_ref})
        for index, described in enumerate(item.get("networks", ())):
            pif = {"network": described} if isinstance(described, str) else described
            self._build_pif(name, host_ref, index, address if index == 0 else "", pif)
        self._build_control_domain(item, host_ref, address)

    def _build_pif(self, host: str, host_ref: str, index: int, address: str, item: Item) -> None:
        network, add = item["network"], self._ledger.add
        name = f"{host}/{network}"
        first = self._first_pifs.get(host, "")
        fields: Fields = world_defaults.pif_fields(index, address, f"{self._name}/{name}")
        fields |= {"host": host_ref, "network": self._ledger.get("network", network, f"Host {host}")}
        fields |= {key: item[source] for key, source in (("device", "device"), ("MAC", "mac")) if source in item}
        metrics = {"carrier": True, "speed": 10_000, "duplex": True, **item.get("metrics", {})}
        fields["metrics"] = add("PIF_metrics", name, metrics)
        if "vlan" in item:
            if not first:
                raise ImpossibleWorldError(f"The VLAN {network} of host {host} has no interface to lie on.")
            fields |= {"VLAN": int(item["vlan"]), "physical": False}
            fields |= {key: self.store.value("PIF", first, key) for key in ("device", "MAC")}
        pif_ref = add("PIF", name, fields, item)
        self._first_pifs.setdefault(host, pif_ref)
        if "vlan" in item:
            vlan = {"tag": int(item["vlan"]), "tagged_PIF": first, "untagged_PIF": pif_ref}
            self.store.update("PIF", pif_ref, VLAN_master_of=add("VLAN", name, vlan))

    def _build_control_domain(self, item: Item, host_ref: str, address: str) -> None:
        host, add, described = item["name"], self._ledger.add, dict(item.get("dom0", {}))
        memory_bytes, vcpus = parse_bytes(item.get("dom0_memory", "2 GiB")), int(described.get("vcpus", 2))
        metrics = world_vm_defaults.control_domain_metrics_fields(memory_bytes, vcpus)
        metrics_ref = add("VM_metrics", f"dom0/{host}", {**metrics, **described.get("metrics", {})})
        joined = not item.get("coordinator")
        fields = world_vm_defaults.control_domain_fields(host, host_ref, memory_bytes, joined=joined)
        fields |= {"metrics": metrics_ref, "VCPUs_max": vcpus, "VCPUs_at_startup": vcpus}
        # An imported record keeps what was allowed while it was imported; nobody computes it again.
        imported = ["destroy"], ["start_on", "start"]
        before, after = imported if joined else ([], [])
        ranges = ["metadata_export", "changing_static_range", "changing_dynamic_range"]
        fields["allowed_operations"] = [*before, *ranges, *after]
        dom0_ref = add("VM", f"dom0/{host}", fields, described)
        self.store.update("host", host_ref, control_domain=dom0_ref)
        for protocol in described.get("consoles", ("rfb", "vt100")):
            ref = self.store.make_ref()
            location = f"https://{address}/console?ref={ref}"
            console = {"protocol": protocol, "location": location, "VM": dom0_ref}
            add("console", f"dom0/{host}/{protocol}", console, ref=ref)

    def _build_sr(self, item: Item) -> None:
        name = item["name"]
        hosts = item.get("hosts", {})
        states: dict[str, Any] = dict.fromkeys(hosts, "plugged") if isinstance(hosts, list) else dict(hosts)
        shared = bool(item.get("shared", False))
        if not shared and len(states) > 1:
            raise ImpossibleWorldError(f"SR {name} is local and yet joined to {len(states)} hosts.")
        size_bytes = parse_bytes(item.get("size", "2 TiB"))
        fields = world_defaults.sr_fields(item, shared=shared, size_bytes=size_bytes)
        sr_ref = self._ledger.add("SR", name, fields, item)
        for host, described in states.items():
            join: Item = described if isinstance(described, dict) else {"state": described}
            state = join.get("state", "plugged")
            if state not in {"plugged", "unplugged"}:
                raise ImpossibleWorldError(f"The PBD of SR {name} on {host} is {state!r}, not plugged or unplugged.")
            pbd = {
                "host": self._ledger.get("host", host, f"SR {name}"),
                "SR": sr_ref,
                "device_config": dict(join.get("device_config", world_defaults.device_config(item))),
                "currently_attached": state == "plugged",
            }
            self._ledger.add("PBD", f"{name}/{host}", pbd, join)
        for vdi in item.get("vdis", ()):
            key = f"{name}/{vdi['name']}"
            uuid = str(vdi.get("uuid") or self._ledger.make_uuid("VDI", key))
            size_bytes = parse_bytes(vdi.get("size", "10 GiB"))
            fields = world_vm_defaults.vdi_fields(vdi["name"], size_bytes, uuid, attached=False)
            self._ledger.add("VDI", key, fields | {"SR": sr_ref, "type": vdi.get("type", "user")}, vdi)

    def _build_plugins(self, storage: list[Item]) -> None:
        kinds = dict.fromkeys(world_defaults.sr_type(item) for item in storage)
        described = self._description.get("plugins", [{"type": kind} for kind in kinds])
        for item in described:
            self._ledger.add("SM", item["type"], world_defaults.plugin_fields(item["type"]), item)

    def _count_use(self, item: Item) -> None:
        sr_ref = self._ledger.get("SR", item["name"], "The pool")
        self.store.update("SR", sr_ref, **{**self._ledger.used_on(sr_ref), **item.get("fields", {})})

    def _build_pool(self, coordinator: str) -> str:
        storage = self._description.get("storage", ())
        default = next((item["name"] for item in storage if item.get("default")), None)
        settings = dict(self._description.get("pool", {}))
        secret = {"value": self._ledger.make_uuid("secret", "value")}
        infos = [self.store.value("host", ref, "cpu_info") for ref in self.store.refs("host")]
        fields = world_defaults.pool_fields(self._clock.now())
        fields |= {
            "name_label": settings.pop("name", self._name),
            "master": self._ledger.get("host", coordinator, "The pool"),
            "default_SR": self._ledger.find("SR", default) if default else NULL,
            "cpu_info": world_defaults.pool_cpu_info(infos),
            "telemetry_uuid": self._ledger.add("secret", "telemetry", secret),
            "other_config": {**fields["other_config"], **settings.pop("other_config", {})},
        }
        root = {"short_name": "root", "fullname": "superuser"}
        self._ledger.add("user", "root", root)
        uuid = settings.pop("uuid", "")
        return self._ledger.add("pool", self._name, fields, {"uuid": uuid, "fields": settings})
