"""What a check reads, and what it says: the pool at one moment, a verdict per VM and host, a choice of a host."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from lmflow.models.base import Model
from lmflow.models.pool import PBD, PIF, SR, VM, Finding, Host, Network, Pool, Snapshot, Terms, VMGroup
from lmflow.models.views import WrongView

CHECK_SCHEMA: Final = "lmflow.check/1"


@dataclasses.dataclass(frozen=True)
class Overview(Model):
    """What the rules need for some VMs and every host, read at ``observed_at`` (seconds since 1970, ours).

    ``vms`` holds every VM that takes memory on a host, control domains too; only the VMs that were asked for have
    disks, interfaces and their guest's features. ``srs``, ``pbds``, ``networks``, ``pifs`` and ``groups`` are the whole
    pool's. ``may_migrate``, ``denied`` and ``terms`` are as in Snapshot.
    """

    observed_at: float
    pool: Pool
    hosts: tuple[Host, ...] = ()
    vms: tuple[VM, ...] = ()
    srs: tuple[SR, ...] = ()
    pbds: tuple[PBD, ...] = ()
    networks: tuple[Network, ...] = ()
    pifs: tuple[PIF, ...] = ()
    groups: tuple[VMGroup, ...] = ()
    may_migrate: bool | None = None
    denied: tuple[str, ...] = ()
    terms: Terms = dataclasses.field(default_factory=Terms)

    def get_vm(self, uuid: str) -> VM:
        """Return the VM; KeyError when the overview does not hold it."""
        return self._vms[uuid]

    def find_free_bytes(self, host_uuid: str) -> int | None:
        """Return what is left on a host by XAPI's arithmetic, at least 0; None when the host's size is unknown.

        Its memory, less the hypervisor's own, less what each VM needs that is there or scheduled to be.
        Source: memory_check.ml of xapi; the same figures as host.compute_free_memory.
        """
        left = self._left.get(host_uuid)
        return None if left is None else max(0, left)

    def snapshot(self, vm_uuid: str, host_uuid: str) -> Snapshot:
        """Return what the rules need for one VM and one destination; XAPI's own answer is not in it."""
        vm = self.get_vm(vm_uuid)
        near = dict.fromkeys((vm.resident_on_uuid, host_uuid))
        kept = (*near, self.pool.coordinator_uuid)
        sr_uuids = dict.fromkeys(vbd.vdi.sr_uuid for vbd in vm.vbds if vbd.vdi is not None)
        network_uuids = dict.fromkeys([*(vif.network_uuid for vif in vm.vifs), self.terms.network_uuid])
        srs, networks = self._srs, self._networks
        joining = [pif for net in network_uuids for host in near for pif in self._pifs.get((net, host), ())]
        managing = [pif for host in near for pif in self._managing.get(host, ())]
        return Snapshot(
            observed_at=self.observed_at,
            pool=self.pool,
            vm=vm,
            source_uuid=vm.resident_on_uuid,
            destination_uuid=host_uuid,
            hosts=tuple(self._hosts[uuid] for uuid in dict.fromkeys(kept) if uuid in self._hosts),
            srs=tuple(srs[uuid] for uuid in sr_uuids if uuid in srs),
            pbds=tuple(pbd for sr in sr_uuids for host in near for pbd in self._pbds.get((sr, host), ())),
            networks=tuple(networks[uuid] for uuid in network_uuids if uuid in networks),
            pifs=tuple({pif.uuid: pif for pif in (*joining, *managing)}.values()),
            boot_asked=False,
            free_bytes=self._find_free_for(vm, host_uuid),
            may_migrate=self.may_migrate,
            denied=self.denied,
            reserved_by=tuple(sorted(self._reserving.get(host_uuid, ()))),
            terms=self.terms,
        )

    def _find_free_for(self, vm: VM, host_uuid: str) -> int | None:
        """Return what is left for a VM: a reservation of its own does not count against it."""
        left = self._left.get(host_uuid)
        if left is None:
            return None
        own = vm.needed_bytes if vm.scheduled_to_be_resident_on_uuid == host_uuid != vm.resident_on_uuid else 0
        return max(0, left + own)

    @functools.cached_property
    def _vms(self) -> dict[str, VM]:
        return {vm.uuid: vm for vm in self.vms}

    @functools.cached_property
    def _hosts(self) -> dict[str | None, Host]:
        return {host.uuid: host for host in self.hosts}

    @functools.cached_property
    def _srs(self) -> dict[str, SR]:
        return {sr.uuid: sr for sr in self.srs}

    @functools.cached_property
    def _networks(self) -> dict[str, Network]:
        return {network.uuid: network for network in self.networks}

    @functools.cached_property
    def _pbds(self) -> Mapping[tuple[str, str | None], Sequence[PBD]]:
        found: dict[tuple[str, str | None], list[PBD]] = defaultdict(list)
        for pbd in self.pbds:
            found[pbd.sr_uuid, pbd.host_uuid].append(pbd)
        return dict(found)

    @functools.cached_property
    def _pifs(self) -> Mapping[tuple[str, str | None], Sequence[PIF]]:
        found: dict[tuple[str, str | None], list[PIF]] = defaultdict(list)
        for pif in self.pifs:
            found[pif.network_uuid, pif.host_uuid].append(pif)
        return dict(found)

    @functools.cached_property
    def _managing(self) -> Mapping[str | None, Sequence[PIF]]:
        found: dict[str | None, list[PIF]] = defaultdict(list)
        for pif in self.pifs:
            if pif.management:
                found[pif.host_uuid].append(pif)
        return dict(found)

    @functools.cached_property
    def _reserving(self) -> Mapping[str | None, Sequence[str]]:
        found: dict[str | None, list[str]] = defaultdict(list)
        for vm in self.vms:
            if vm.scheduled_to_be_resident_on_uuid and not vm.current_operations:
                found[vm.scheduled_to_be_resident_on_uuid].append(vm.name_label)
        return dict(found)

    @functools.cached_property
    def _left(self) -> dict[str, int | None]:
        taken: dict[str, int] = defaultdict(int)
        for vm in self.vms:
            for uuid in {vm.resident_on_uuid, vm.scheduled_to_be_resident_on_uuid} - {None}:
                taken[str(uuid)] += vm.needed_bytes
        return {
            host.uuid: host.memory_total_bytes - host.memory_overhead_bytes - taken[host.uuid]
            if host.memory_total_bytes
            else None
            for host in self.hosts
        }


@dataclasses.dataclass(frozen=True, slots=True)
class HostVerdict(Model):
    """What the rules say about one VM on one host.

    ``present``: the VM runs there now, so no rule was asked. ``ok``: the VM may move there; true exactly when no
    finding refuses and it is not there already; ``warnings`` refuse nothing. ``headroom_bytes`` is the memory left
    there after the move (for the present host: now), None when its size is unknown. ``asked_pool``: XAPI itself was
    asked too.
    """

    host_uuid: str
    host_name: str
    present: bool
    ok: bool
    findings: tuple[Finding, ...] = ()
    headroom_bytes: int | None = None
    asked_pool: bool = False
    warnings: tuple[Finding, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Place(Model):
    """Something of the pool by identity and name."""

    uuid: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class VmCheck(Model):
    """One VM and every host of its pool.

    ``memory_bytes`` is what it may use at most. ``operations`` is what goes on with it now: a migration would wait for
    that. ``can_move`` answers the request: the host asked for would take it or has it already; without such a host, at
    least one would take it. ``findings`` are the reasons that hold whatever the host; they stand again with each host.
    ``xapi_view``: hosts say otherwise than XAPI where it runs; None also when nobody was asked, or did not answer.
    """

    uuid: str
    name: str
    power_state: str
    host: Place | None
    memory_bytes: int
    operations: tuple[str, ...]
    can_move: bool
    findings: tuple[Finding, ...]
    would_work: tuple[Place, ...]
    hosts: tuple[HostVerdict, ...]
    xapi_view: WrongView | None = None

    @property
    def is_shown_wrongly(self) -> bool:
        """Tell whether it is proved that it does not run where XAPI shows it: then nothing can be said of a move."""
        return self.xapi_view is not None and self.xapi_view.kind != "unproved"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport(Model):
    """The VM x host matrix. As JSON it follows doc/source/schemas/check.v1.json.

    ``observed_at`` is UTC (ISO 8601); ``to`` the destination asked for, if one was; ``asked_pool``: XAPI itself was to
    be asked about what our rules pass.
    """

    schema: str = CHECK_SCHEMA
    pool: Place
    observed_at: str
    asked_pool: bool
    to: Place | None
    vms: tuple[VmCheck, ...]

    @property
    def all_can_move(self) -> bool:
        """Tell whether the answer is yes for every VM asked for."""
        return all(vm.can_move for vm in self.vms)


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate(Model):
    """A host that would take the VM, the memory that would be left there, and why it stands where it stands."""

    name: str
    headroom_bytes: int | None
    because: str = ""
    uuid: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal(Model):
    """A host that would not take the VM, and why."""

    name: str
    findings: tuple[Finding, ...]
    uuid: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Choice(Model):
    """The destination chosen, best candidate first. Without a candidate ``host_uuid`` and ``host_name`` are ''."""

    host_uuid: str
    host_name: str
    because: str
    candidates: tuple[Candidate, ...] = ()
    refused: tuple[Refusal, ...] = ()
