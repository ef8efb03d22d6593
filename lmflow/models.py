"""Frozen facts that travel through the house. UUIDs are identity; no reference of XAPI ever stands here.

Every model goes to JSON and comes back equal (``to_json``/``from_json``): lists become tuples again.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from typing import Any, Self


class Model:
    """Base of the models: strict JSON out, typed values back."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values (dict, list, str, int, float, bool, None)."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the model from what ``to_json`` returned; unknown keys are ignored, missing ones need a default."""
        hints = typing.get_type_hints(cls)
        known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{k: _typed(hints[k], v) for k, v in data.items() if k in known})


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return value.to_json()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value


def _typed(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        inner = next(a for a in typing.get_args(hint) if a is not type(None))
        return _typed(inner, value)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        return tuple(_typed(item, v) for v in value)
    if isinstance(hint, type) and issubclass(hint, Model):
        return hint.from_json(value)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint(value)
    return value


# --- the pool as XAPI shows it -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class XapiError(Model):
    """A failure as XAPI words it."""

    code: str
    params: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class VDI(Model):
    uuid: str
    name_label: str
    sr_uuid: str
    sm_config: Mapping[str, str] = dataclasses.field(default_factory=dict)


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
    uuid: str
    device: str
    network_uuid: str
    currently_attached: bool


@dataclasses.dataclass(frozen=True, slots=True)
class VM(Model):
    """A VM record. ``can_suspend`` is the guest's ``feature-suspend``, None when no guest metrics exist."""

    uuid: str
    name_label: str
    power_state: str
    resident_on_uuid: str | None
    scheduled_to_be_resident_on_uuid: str | None
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


@dataclasses.dataclass(frozen=True, slots=True)
class Host(Model):
    """A host record. ``agent_start_time`` is other_config's, as text: it changes when its toolstack restarts."""

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
    memory_total_bytes: int = 0
    memory_free_bytes: int = 0
    current_operations: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class SR(Model):
    uuid: str
    name_label: str
    type: str
    shared: bool


@dataclasses.dataclass(frozen=True, slots=True)
class PBD(Model):
    uuid: str
    sr_uuid: str
    host_uuid: str
    currently_attached: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Network(Model):
    uuid: str
    name_label: str


@dataclasses.dataclass(frozen=True, slots=True)
class PIF(Model):
    uuid: str
    network_uuid: str
    host_uuid: str
    currently_attached: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Pool(Model):
    uuid: str
    name_label: str
    coordinator_uuid: str
    rolling_upgrade: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot(Model):
    """What the rules need for one VM and one destination, read at ``observed_at`` (seconds since 1970, ours).

    ``hosts`` holds source, destination and coordinator only; ``srs``, ``pbds``, ``networks``, ``pifs`` only what
    the VM's disks and interfaces touch, on source and destination. ``boot_check`` is what XAPI's
    ``VM.assert_can_boot_here`` said for the destination, None for yes.
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

    def host(self, uuid: str | None) -> Host | None:
        """Return the host of that UUID, or None when the snapshot does not hold it."""
        return next((h for h in self.hosts if h.uuid == uuid), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding(Model):
    """One reason why not. ``code`` is XAPI's code that it forestalls, or one of ours in the same style."""

    rule: str
    code: str
    message: str
    remedy: str


# --- evidence ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class TaskView(Model):
    """A XAPI task record. ``status`` is pending, success, failure or cancelled; ``progress`` is not monotone."""

    uuid: str
    name_label: str
    status: str
    progress: float
    cancellable: bool
    error: XapiError | None = None
    attempt_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class StartedTask(Model):
    """What a submit returned: the task's UUID ('' if it could not be read) and 12 hex digits of its reference."""

    task_uuid: str
    ref_digits: str


@dataclasses.dataclass(frozen=True, slots=True)
class XenopsTask(Model):
    """An entry of a host's own ``Task.list``. ``state`` is Pending, Completed or Failed."""

    label: str
    ref_digits: str
    state: str
    progress: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class WitnessView(Model):
    """What one host's xenopsd said. ``power_state`` is VM.stat's, None when it does not know the VM.

    ``incoming`` is true while the temporary VM of an arriving migration exists there. When ``answered`` is
    false, ``reason`` says why in words without any secret and the other fields mean nothing.
    """

    host_uuid: str
    answered: bool
    power_state: str | None = None
    incoming: bool = False
    tasks: tuple[XenopsTask, ...] = ()
    reason: str = ""


# --- what is asked of lmflow ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Tls(Model):
    """How certificates are checked: ``ca_file``, or SHA-256 ``fingerprints`` by address, or ``insecure``."""

    ca_file: str = ""
    fingerprints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    insecure: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class PoolProfile(Model):
    """How to reach one pool. ``addresses`` are host names or IPs without scheme or port. It holds no password."""

    name: str
    addresses: tuple[str, ...]
    username: str = "root"
    scheme: str = "https"
    port: int = 443
    tls: Tls = Tls()
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    witness_timeout_seconds: float = 10.0
    use_witness: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Waits(Model):
    """Every wait in seconds.

    ``settle``: how long the pool is watched after a loss before it may be called settled (a dead member shows its
    restart ten seconds late). ``quiet``: how long nothing may have changed. ``operation``: another operation on the
    VM. ``pool``: an unreachable pool, or a host that does not come back. ``deadline``: one migration.
    """

    settle_seconds: float = 20.0
    quiet_seconds: float = 5.0
    operation_seconds: float = 300.0
    pool_seconds: float = 300.0
    deadline_seconds: float = 14400.0
    poll_seconds: float = 1.0
    event_seconds: float = 5.0
    lease_seconds: float = 30.0
    heartbeat_seconds: float = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class MoveRequest(Model):
    """One migration, with every name resolved. ``request_id`` names it for ever."""

    request_id: str
    pool_profile: str
    pool_uuid: str
    vm_uuid: str
    vm_name: str
    source_uuid: str
    source_name: str
    destination_uuid: str
    destination_name: str
    reason: str = ""
    requested_by: str = ""


class RunState(enum.StrEnum):
    """The run's own state; TaskFlow's says less. Terminal: success, refused, failed, dirty."""

    RUNNING = "running"
    SUSPENDED = "suspended"
    UNKNOWN = "unknown"
    SUCCESS = "success"
    REFUSED = "refused"
    FAILED = "failed"
    DIRTY = "dirty"

    @property
    def is_terminal(self) -> bool:
        return self in (RunState.SUCCESS, RunState.REFUSED, RunState.FAILED, RunState.DIRTY)


@dataclasses.dataclass(frozen=True, slots=True)
class Run(Model):
    """A row of the run index. Times are seconds since 1970 by the database's clock."""

    uuid: str
    kind: str
    state: RunState
    phase: str
    request: MoveRequest
    logbook_uuid: str
    move_uuid: str
    settle_uuid: str
    created_at: float
    updated_at: float
    summary: str = ""
    parent_uuid: str | None = None
    priority: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt(Model):
    """One try to submit. ``state``: intended (committed before the call), accepted, ended.

    ``starts`` is each host's ``agent_start_time`` at the submit, ``disabled`` the hosts not enabled then.
    """

    uuid: str
    run_uuid: str
    number: int
    state: str
    created_at: float
    session_uuid: str
    starts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    task_uuid: str = ""
    ref_digits: str = ""
    progress: float = 0.0
    outcome: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Event(Model):
    """Something that happened to a run. ``version`` is of ``data``'s shape for this ``kind``."""

    sequence: int
    run_uuid: str
    at: float
    kind: str
    version: int
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Owner(Model):
    """A process, named so that its death can be proved on the same boot of the same machine."""

    machine: str
    boot_id: str
    pid: int
    started: str


@dataclasses.dataclass(frozen=True, slots=True)
class Lease(Model):
    """Who may write and send for a run. ``expires_in_seconds`` is by the database's clock, may be negative."""

    run_uuid: str
    token: int
    owner: Owner
    session_uuid: str
    expires_in_seconds: float


# --- what lmflow answers -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Notice(Model):
    """Something to show while a run goes on.

    ``kind``: ``run`` (began, taken over), ``atom`` (``state`` is TaskFlow's atom state), ``progress`` (0..1, not
    monotone), ``evidence`` (what the pool says), ``verdict``, ``message``. ``text`` is one line for people.
    """

    kind: str
    text: str
    run_uuid: str = ""
    atom: str = ""
    state: str = ""
    progress: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome(Model):
    """How a run stands when lmflow lets go of it. ``vm_state`` is a sentence on where the VM is and by which evidence."""

    run: Run
    vm_state: str = ""
    already_there: bool = False
    findings: tuple[Finding, ...] = ()
    error: XapiError | None = None
    left: tuple[str, ...] = ()
    advice: str = ""
    seconds: float = 0.0
    interruptions: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class StatusLine(Model):
    """One open run: ``condition`` is running, interrupted, suspended, unknown or dirty."""

    run: Run
    condition: str
    seconds_since: float
    vm_state: str = ""
    advice: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class StatusReport(Model):
    """``headline`` answers first whether any VM of an open run is down, or that this cannot be said."""

    headline: str
    lines: tuple[StatusLine, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class WhyReport(Model):
    """What we wrote last, what the pool says now, and what follows."""

    run: Run
    last_written: str
    evidence: tuple[str, ...]
    verdict: str
    explanation: str
    advice: str
