"""Creates the described VMs with their metrics, disks, drives and interfaces.

A VM: ``name``, host, power_state (Running if it has a host, else Halted), memory (an amount, or {static_min,
dynamic_min, dynamic_max, static_max}), vcpus, vcpus_max, vcpus_params, disks [{name, sr, size, type, mode, sharable,
userdevice, vbd}, or {vdi} for a disk that is there, as ``SR/name`` or ``VM/name``], cds [{} or {iso, sr}], vifs [a
network, or {network, mac, device}], pcis and vusbs (how many of its host's devices it holds), vgpus [implementation],
consoles [protocol], drivers, guest {os_version, networks, features, other,
fields}, metrics, cpu_features or cpu_features_of a host, cpu_vendor, domain_type, pv_kernel, pv_ramdisk,
pv_bootloader, pv_args, platform, actions {shutdown, reboot, crash}, affinity, nomigrate, nested_virt, is_a_template,
is_default_template, is_a_snapshot, snapshot_of, snapshot_time, blocked_operations, other_config, tags, suspend_sr,
suspend_image, domid, copy_seconds, description.

``suspend_image`` false: suspended by nothing but its hypervisor, without an image; it keeps its domid then.
"""

from __future__ import annotations

from typing import Any

from lmflow.simulator.database.values import NULL, DateTime
from lmflow.simulator.rules import allowed, memory
from lmflow.simulator.worlds import world_vm_defaults
from lmflow.simulator.worlds.world_defaults import Fields, Item
from lmflow.simulator.worlds.world_ledger import Ledger, parse_bytes
from lmflow.simulator.worlds.world_rules import ImpossibleWorldError

_PLACED = frozenset({"Running", "Paused"})


class VmBuilder:
    """Creates VMs one after the other; a snapshot comes after what it was taken of."""

    def __init__(self, ledger: Ledger, default_sr_ref: str, copy_seconds: dict[str, float]) -> None:
        self._ledger = ledger
        self._store = ledger.store
        self._default_sr_ref = default_sr_ref
        self._copy_seconds = copy_seconds
        self._domids: dict[str, int] = {}

    def build(self, item: Item) -> None:
        """Create a VM and all that is its own; ImpossibleWorldError."""
        name = str(item["name"])
        if item.get("snapshot_of"):
            item = {"is_a_snapshot": True, **item}
        self._ledger.check_new("VM", name)
        power_state = item.get("power_state", "Running" if item.get("host") else "Halted")
        placed = self._check_place(item, name, power_state)
        vm_ref = self._ledger.add("VM", name, self._fields(item, name, power_state, placed=placed), item)
        if "copy_seconds" in item:
            self._copy_seconds[self._store.value("VM", vm_ref, "uuid")] = float(item["copy_seconds"])
        # A suspended VM keeps its devices, as far as the database shows.
        attached = placed or power_state == "Suspended"
        live = {"attached": attached, "running": placed}
        for index, disk in enumerate(item.get("disks", ())):
            self._build_disk(item, vm_ref, index, disk, **live)
        for index, drive in enumerate(item.get("cds", ())):
            self._build_drive(name, vm_ref, len(item.get("disks", ())) + index, drive, **live)
        for index, described in enumerate(item.get("vifs", ())):
            self._build_vif(name, vm_ref, index, described, **live)
        self._build_devices(item, vm_ref)
        for protocol in item.get("consoles", ()):
            self._build_console(name, vm_ref, protocol)
        if power_state == "Suspended":
            self._build_suspend_image(item, vm_ref)
        self._link_snapshot(item, vm_ref)
        allowed.update_vm(self._store, vm_ref)
        if "allowed_operations" in item.get("fields", {}):
            self._store.update("VM", vm_ref, allowed_operations=item["fields"]["allowed_operations"])

    @staticmethod
    def _check_place(item: Item, name: str, power_state: str) -> bool:
        placed = power_state in _PLACED
        if placed and not item.get("host"):
            raise ImpossibleWorldError(f"VM {name} is {power_state} but resident on no host.")
        if not placed and item.get("host"):
            raise ImpossibleWorldError(f"VM {name} is {power_state} and yet resident on {item['host']}.")
        return placed

    def _fields(self, item: Item, name: str, power_state: str, *, placed: bool) -> Fields:
        host_ref = self._ledger.get("host", item["host"], f"VM {name}") if placed else NULL
        amounts = world_vm_defaults.split_amounts(item.get("memory"), 1024 * memory.MIB, parse_bytes)
        seed = f"{self._ledger.world_name}/{name}"
        fields = world_vm_defaults.vm_fields(item, amounts, power_state, seed)
        fields |= {"resident_on": host_ref, "last_boot_CPU_flags": self._cpu_flags(item, host_ref)}
        if placed or "domid" in item:
            fields["domid"] = self._take_domid(host_ref, item)
        if item.get("affinity"):
            fields["affinity"] = self._ledger.get("host", item["affinity"], f"VM {name}")
        if item.get("suspend_sr"):
            fields["suspend_SR"] = self._ledger.get("SR", item["suspend_sr"], f"VM {name}")
        return fields | self._metrics(name, item, fields, placed=placed)

    def _take_domid(self, host_ref: str, item: Item) -> int:
        """Give a domain's number: as described, else the next one on its host."""
        last = self._domids.get(host_ref, 0)
        domid = int(item.get("domid", last + 1))
        self._domids[host_ref] = max(last, domid)
        return domid

    def _cpu_flags(self, item: Item, host_ref: str) -> dict[str, str]:
        if item.get("cpu_features_of"):
            host_ref = self._ledger.get("host", item["cpu_features_of"], f"VM {item['name']}")
        if host_ref == NULL and "cpu_features" not in item:
            return {}
        cpu = self._store.value("host", host_ref, "cpu_info") if host_ref != NULL else {}
        features = item.get("cpu_features", cpu.get("features_hvm", ""))
        return {"vendor": item.get("cpu_vendor", cpu.get("vendor", "GenuineIntel")), "features": features}

    def _metrics(self, name: str, item: Item, vm: Item, *, placed: bool) -> dict[str, str]:
        stamp = self._ledger.clock.stamp()
        metrics = world_vm_defaults.vm_metrics_fields(vm, stamp, item, placed=placed)
        refs = {"metrics": self._ledger.add("VM_metrics", name, metrics)}
        if placed and item.get("drivers", True):
            guest = world_vm_defaults.guest_metrics_fields(stamp, item.get("guest", {}))
            refs["guest_metrics"] = self._ledger.add("VM_guest_metrics", name, guest)
        return refs

    def _build_disk(self, item: Item, vm_ref: str, index: int, disk: Item, *, attached: bool, running: bool) -> None:
        vm_name, label = item["name"], str(disk.get("name", f"disk{index}"))
        index = int(disk.get("userdevice", index))
        vdi_ref = self._find_disk(vm_name, disk) or self._make_disk(item, label, disk, attached=attached)
        vbd = world_vm_defaults.vbd_fields(index, attached=attached, running=running)
        vbd |= {"VM": vm_ref, "VDI": vdi_ref, "metrics": self._store.make_ref(), "mode": disk.get("mode", "RW")}
        self._ledger.add("VBD", f"{vm_name}/{index}", vbd | dict(disk.get("vbd", {})))

    def _find_disk(self, vm_name: str, disk: Item) -> str:
        return self._ledger.get("VDI", str(disk["vdi"]), f"VM {vm_name}") if "vdi" in disk else ""

    def _make_disk(self, item: Item, label: str, disk: Item, *, attached: bool) -> str:
        key = f"{item['name']}/{label}"
        sr_ref = self._ledger.get("SR", disk["sr"], f"Disk {label!r} of VM {item['name']}")
        uuid = str(disk.get("uuid") or self._ledger.make_uuid("VDI", key))
        size_bytes = parse_bytes(disk.get("size", "10 GiB"))
        fields = world_vm_defaults.vdi_fields(label, size_bytes, uuid, attached=attached) | {
            "SR": sr_ref,
            "type": disk.get("type", "user"),
            "sharable": bool(disk.get("sharable", False)),
        }
        if item.get("is_a_snapshot"):
            origin = self._ledger.find("VDI", f"{item.get('snapshot_of')}/{label}")
            fields |= {"is_a_snapshot": True, "snapshot_of": origin, "snapshot_time": self._snapshot_time(item)}
        return self._ledger.add("VDI", key, fields, disk)

    def _build_drive(
        self, vm_name: str, vm_ref: str, index: int, drive: Item, *, attached: bool, running: bool
    ) -> None:
        vdi_ref = NULL
        if drive.get("iso"):
            key = f"{drive['sr']}/{drive['iso']}"
            vdi_ref = self._ledger.find("VDI", key)
            if vdi_ref == NULL:
                uuid = self._ledger.make_uuid("VDI", key)
                vdi = world_vm_defaults.vdi_fields(drive["iso"], 700 * memory.MIB, uuid, attached=attached)
                sr_ref = self._ledger.get("SR", drive["sr"], f"Drive of VM {vm_name}")
                vdi_ref = self._ledger.add("VDI", key, vdi | {"SR": sr_ref, "read_only": True})
        vbd = world_vm_defaults.vbd_fields(index, attached=attached and vdi_ref != NULL, running=running)
        vbd |= {"VM": vm_ref, "VDI": vdi_ref, "metrics": self._store.make_ref()}
        vbd |= {"type": "CD", "mode": "RO", "empty": vdi_ref == NULL, "bootable": False}
        self._ledger.add("VBD", f"{vm_name}/{index}", vbd, drive)

    def _build_vif(
        self, vm_name: str, vm_ref: str, index: int, described: Any, *, attached: bool, running: bool
    ) -> None:
        item: Item = {"network": described} if isinstance(described, str) else described
        index = int(item.get("device", index))
        seed, mac = f"{self._ledger.world_name}/{vm_name}/{index}", str(item.get("mac", ""))
        vif = world_vm_defaults.vif_fields(index, seed, attached=attached, running=running, mac=mac)
        vif |= {"VM": vm_ref, "network": self._ledger.get("network", item["network"], f"VM {vm_name}")}
        self._ledger.add("VIF", f"{vm_name}/{index}", vif | {"metrics": self._store.make_ref()}, item)

    def _build_devices(self, item: Item, vm_ref: str) -> None:
        """Create what of its host's devices the VM holds."""
        name, add = item["name"], self._ledger.add
        devices = [add("PCI", f"{name}/{number}", {}) for number in range(int(item.get("pcis", 0)))]
        self._store.update("VM", vm_ref, attached_PCIs=devices)
        for number, implementation in enumerate(item.get("vgpus", ())):
            kind_ref = add("VGPU_type", f"{name}/{number}", {"implementation": implementation})
            add("VGPU", f"{name}/{number}", {"VM": vm_ref, "type": kind_ref})
        for number in range(int(item.get("vusbs", 0))):
            add("VUSB", f"{name}/{number}", {"VM": vm_ref})

    def _build_console(self, vm_name: str, vm_ref: str, protocol: str) -> None:
        ref, host_ref = self._store.make_ref(), self._store.value("VM", vm_ref, "resident_on")
        if host_ref == NULL:
            raise ImpossibleWorldError(f"VM {vm_name} is on no host and yet has a console.")
        location = f"https://{self._store.value('host', host_ref, 'address')}/console?ref={ref}"
        fields = {"protocol": protocol, "location": location, "VM": vm_ref}
        self._ledger.add("console", f"{vm_name}/{protocol}", fields, ref=ref)

    def _build_suspend_image(self, item: Item, vm_ref: str) -> None:
        """Create the image that a suspended VM was written to: on its own SR, the pool's, or that of its first disk."""
        if not item.get("suspend_image", True) or "suspend_VDI" in item.get("fields", {}):
            return
        name, store = item["name"], self._store
        disks = [store.value("VBD", ref, "VDI") for ref in store.value("VM", vm_ref, "VBDs")]
        choices = [store.value("VM", vm_ref, "suspend_SR"), self._default_sr_ref]
        choices += [store.value("VDI", ref, "SR") for ref in disks if ref != NULL]
        sr_ref = next((ref for ref in choices if ref != NULL), NULL)
        if sr_ref == NULL:
            raise ImpossibleWorldError(f"VM {name} is suspended and there is no SR for its image.")
        key = f"{name}/suspend image"
        size_bytes, uuid = store.value("VM", vm_ref, "memory_static_max"), self._ledger.make_uuid("VDI", key)
        fields = world_vm_defaults.vdi_fields("Suspend image", size_bytes, uuid, attached=False)
        vdi_ref = self._ledger.add("VDI", key, fields | {"SR": sr_ref, "type": "suspend"})
        store.update("VM", vm_ref, suspend_VDI=vdi_ref)

    def _snapshot_time(self, item: Item) -> DateTime:
        given = item.get("snapshot_time")
        return DateTime(given) if given else self._ledger.clock.stamp(self._ledger.clock.now() - 1800)

    def _link_snapshot(self, item: Item, vm_ref: str) -> None:
        """Put a snapshot between its VM and the VM's last one, as XAPI's tree of them goes."""
        if not item.get("is_a_snapshot"):
            return
        store = self._store
        fields: Fields = {"snapshot_time": self._snapshot_time(item)}
        if item.get("snapshot_of"):
            origin_ref = self._ledger.get("VM", item["snapshot_of"], f"Snapshot {item['name']}")
            state = store.value("VM", origin_ref, "power_state")
            fields["snapshot_of"] = origin_ref
            fields["parent"] = store.value("VM", origin_ref, "parent")
            fields["snapshot_info"] = {"disk-snapshot-type": "crash_consistent", "power-state-at-snapshot": state}
            store.update("VM", origin_ref, parent=vm_ref)
        store.update("VM", vm_ref, **{**fields, **item.get("fields", {})})
