"""What XAPI shows of a pool, and what a rule says about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from lmflow.models.base import Model


@dataclasses.dataclass(frozen=True, slots=True)
class XapiError(Model):
    """A failure as XAPI words it."""

    code: str
    params: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class VDI(Model):
    """A disk image on an SR. ``on_boot`` is ``persist``, or ``reset`` for a disk that forgets at each boot.

    ``sm_config`` holds only what the rules ask for.
    """

    uuid: str
    name_label: str
    sr_uuid: str
    sm_config: Mapping[str, str] = dataclasses.field(default_factory=dict)
    on_boot: str = "persist"


@dataclasses.dataclass(frozen=True, slots=True)
class VBD(Model):
    """``vdi`` is None for an empty drive. ``type`` is ``Disk``, ``CD`` or ``Floppy``."""

    uuid: str
    userdevice: str
    type: str
    empty: bool
    currently_attached: bool
    vdi: VDI | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class VIF(Model):
    """A VM's network interface."""

    uuid: str
    device: str
    network_uuid: str
    currently_attached: bool


@dataclasses.dataclass(frozen=True, slots=True)
class VM(Model):
    """A VM record. ``can_suspend``: its guest can be suspended, None when that was not read.

    ``vcpus_unrestricted``: its platform lets it have more VCPUs than its host has CPUs. ``is_immobile``: its platform
    says that it may not move, or it runs VMs itself. ``group_uuids`` are its VM groups. ``claimed_by``: the run of
    lmflow that holds it, by UUID, as the VM itself says; '' for none.
    """

    uuid: str
    name_label: str
    power_state: str
    resident_on_uuid: str | None
    scheduled_to_be_resident_on_uuid: str | None
    domid: int = -1
    is_a_template: bool = False
    is_a_snapshot: bool = False
    is_control_domain: bool = False
    allowed_operations: tuple[str, ...] = ()
    current_operations: tuple[str, ...] = ()
    blocked_operations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    memory_dynamic_min_bytes: int = 0
    memory_dynamic_max_bytes: int = 0
    memory_static_max_bytes: int = 0
    memory_overhead_bytes: int = 0
    last_boot_cpu_flags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    hardware_platform_version: int = 0
    domain_type: str = ""
    pv_kernel: str = ""
    pv_ramdisk: str = ""
    pv_bootloader: str = ""
    can_suspend: bool | None = None
    vbds: tuple[VBD, ...] = ()
    vifs: tuple[VIF, ...] = ()
    vcpus_max: int = 0
    vcpus_unrestricted: bool = False
    is_immobile: bool = False
    has_pci: bool = False
    has_vgpu: bool = False
    has_vusb: bool = False
    ha_restart_priority: str = ""
    group_uuids: tuple[str, ...] = ()
    claimed_by: str = ""

    @property
    def needed_bytes(self) -> int:
        """Return what XAPI counts for it on a host: the least memory it may be given, and what it takes beside that.

        A guest of type ``pv_in_pvh`` cannot give memory back, and so needs all that it may have.
        """
        fixed = self.domain_type == "pv_in_pvh"
        least = self.memory_static_max_bytes if fixed else self.memory_dynamic_min_bytes
        return least + self.memory_overhead_bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Host(Model):
    """A host record. ``agent_start_time`` is other_config's, as text: it changes when its toolstack restarts.

    ``cpu_features`` is what HVM guests see, ``cpu_features_pv`` what PV guests see; one set for both on old releases.
    ``cpu_count`` 0 and no ``hardware_platform_versions``: the host does not say. ``memory_overhead_bytes`` is the
    hypervisor's own. ``guest_files``: it announces lmflow's plugin for kernels in its dom0.
    """

    uuid: str
    name_label: str
    address: str
    enabled: bool
    live: bool
    is_coordinator: bool = False
    agent_start_time: str = ""
    software_version: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cpu_vendor: str = ""
    cpu_features: str = ""
    cpu_features_pv: str = ""
    memory_total_bytes: int = 0
    memory_free_bytes: int = 0
    current_operations: tuple[str, ...] = ()
    memory_overhead_bytes: int = 0
    cpu_count: int = 0
    hardware_platform_versions: tuple[int, ...] = ()
    guest_files: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class SR(Model):
    """A storage repository. ``introduced_for``: the VM for which alone it was introduced, by UUID; '' for none."""

    uuid: str
    name_label: str
    type: str
    shared: bool
    introduced_for: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class PBD(Model):
    """A host's connection to an SR. Its ``device_config`` may hold a password, and so stands nowhere here.

    ``introduced_for``: the VM for which alone it was made, by UUID; '' for none.
    """

    uuid: str
    sr_uuid: str
    host_uuid: str
    currently_attached: bool
    introduced_for: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Network(Model):
    """A network of the pool. ``wired``: some host has a PIF on it.

    ``assumed_shared``: an administrator says that it reaches every host, PIF or not.
    """

    uuid: str
    name_label: str
    wired: bool = True
    assumed_shared: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class PIF(Model):
    """A host's physical interface on a network.

    ``ip`` or ``ipv6`` (with the length of the prefix) is how XAPI reaches it; ``ip`` '' and no ``ipv6``: not at all.
    """

    uuid: str
    network_uuid: str
    host_uuid: str
    currently_attached: bool
    management: bool = False
    ip: str = ""
    ipv6: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class VMGroup(Model):
    """VMs that belong together. ``placement`` is ``normal`` or ``anti_affinity``: then they shall be far apart."""

    uuid: str
    name_label: str
    placement: str


@dataclasses.dataclass(frozen=True, slots=True)
class Pool(Model):
    """The pool; the coordinator is the host that its members obey.

    With ``ha_enabled`` it means to survive the loss of ``ha_failures_to_tolerate`` hosts, and has a plan for
    ``ha_plan_exists_for``. ``is_licensed``: its licence allows live migration.
    """

    uuid: str
    name_label: str
    coordinator_uuid: str
    rolling_upgrade: bool = False
    ha_enabled: bool = False
    ha_failures_to_tolerate: int = 0
    ha_plan_exists_for: int = 0
    is_licensed: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Terms(Model):
    """On which terms a migration is judged, beyond VM and destination.

    ``force``: XAPI is told to skip some of its checks. ``network_uuid``: the network that carries the migration, '' for
    the management network. ``eject_local_iso``: a disc on storage that cannot follow is taken out and put in again.
    ``own_vm_uuid``: the VM in which lmflow itself runs, '' when it runs in none of this pool. ``prepared``: all that is
    done before the submit has been done. ``run_uuid``: the run that asks, '' for none.
    """

    force: bool = False
    network_uuid: str = ""
    eject_local_iso: bool = False
    own_vm_uuid: str = ""
    prepared: bool = False
    run_uuid: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot(Model):
    """What the rules need for one VM and one destination, read at ``observed_at`` (seconds since 1970, ours).

    ``hosts`` holds source, destination and coordinator only; ``srs``, ``pbds``, ``networks``, ``pifs`` only what
    the VM's disks and interfaces touch, on source and destination. ``boot_check`` is what XAPI's
    ``VM.assert_can_boot_here`` said for the destination, None for yes, or when it was not asked (``boot_asked``
    false): then rules judge from records what it would have said. ``free_bytes`` is what the destination has left by
    XAPI's arithmetic on records, None when that was not computed.

    ``pifs`` also holds the management interfaces and those on the migration network of source and destination.
    ``may_migrate``: our role in the pool allows pool_migrate, None when that could not be read; ``denied`` names those
    calls beside it that some migrations need, before or after, and that it does not allow. ``reserved_by`` names the
    VMs that are scheduled to be on the destination with no operation under way that would bring them there.
    """

    observed_at: float
    pool: Pool
    vm: VM
    source_uuid: str | None
    destination_uuid: str
    hosts: tuple[Host, ...] = ()
    srs: tuple[SR, ...] = ()
    pbds: tuple[PBD, ...] = ()
    networks: tuple[Network, ...] = ()
    pifs: tuple[PIF, ...] = ()
    boot_check: XapiError | None = None
    boot_asked: bool = True
    free_bytes: int | None = None
    may_migrate: bool | None = None
    denied: tuple[str, ...] = ()
    reserved_by: tuple[str, ...] = ()
    terms: Terms = Terms()

    def host(self, uuid: str | None) -> Host | None:
        """Return the host of that UUID, or None when the snapshot does not hold it."""
        return next((h for h in self.hosts if h.uuid == uuid), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding(Model):
    """One reason why not. ``code`` is XAPI's code that it forestalls, or one of ours in the same style.

    ``elsewhere``: another host might do better. ``warning``: it is worth knowing and refuses nothing; ``forced``: it
    would refuse, and ``force`` overrides it.
    """

    rule: str
    code: str
    message: str
    remedy: str
    elsewhere: bool = True
    warning: bool = False
    forced: bool = False
