"""What is asked of lmflow, and how it is kept: profiles, requests, runs, attempts, leases."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from lmflow.models.base import Model


@dataclasses.dataclass(frozen=True, slots=True)
class Tls(Model):
    """How certificates are checked: ``ca_file``, or SHA-256 ``fingerprints`` by address, or ``insecure``."""

    ca_file: str = ""
    fingerprints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    insecure: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class PoolProfile(Model):
    """How to reach one pool. ``addresses`` are host names or IPs without scheme or port. It holds no password.

    ``backoff``: the longest pause before a pool that does not let us in is asked again. ``stream``: one call for its
    events. ``catch_up``: how long a look waits for the stream of events to reach the present.
    """

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
    backoff_seconds: float = 5.0
    stream_timeout_seconds: float = 30.0
    catch_up_timeout_seconds: float = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Waits(Model):
    """Every wait in seconds.

    ``settle``: how long the pool is watched after a loss before it may be called settled (a dead member shows its
    restart ten seconds late). ``quiet``: how long nothing may have changed. ``operation``: another operation on the
    VM. ``redo``: how old an attempt without a reply may be to be sent again; XAPI keeps the record of a finished task
    for 65 minutes. ``pool``: an unreachable pool, or a host that does not come back. ``deadline``: one migration.
    ``outage``: a database that is away. ``cancel``: a task that cannot be cancelled yet. ``event``: one call for the
    pool's events. ``look``: a migration of which the pool tells nothing. ``park``: how long a wait may hold its thread.
    ``write``: what nobody needs after a crash, and waits for the next write.
    """

    settle_seconds: float = 20.0
    quiet_seconds: float = 5.0
    operation_seconds: float = 300.0
    pool_seconds: float = 300.0
    deadline_seconds: float = 14400.0
    poll_seconds: float = 1.0
    event_seconds: float = 5.0
    look_seconds: float = 60.0
    park_seconds: float = 2.0
    write_seconds: float = 1.0
    lease_seconds: float = 30.0
    heartbeat_seconds: float = 5.0
    outage_seconds: float = 120.0
    redo_seconds: float = 3000.0
    cancel_seconds: float = 30.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MoveOptions(Model):
    """How a VM is to be migrated. None leaves a matter as it is by default.

    ``force``: XAPI skips its checks of CPU, PV drivers and "may not move". ``network_uuid``: the network that carries
    the copy, by default the management network. ``compress``: whether XAPI compresses it. ``deadline_seconds`` since
    the run was created, ``no_progress_seconds`` since the last progress: then its cancel is asked for.
    ``guest_seconds``: how long the guest's agent is waited for after the arrival. ``eject_local_iso``: take a disc
    out that cannot follow, and put it in again if the VM stays. ``keep_source_kernel``: leave the source's copy of an
    external kernel. ``strict``: what is a warning otherwise refuses. ``strategy`` ranks the hosts where none is
    named, '' for the site's.
    """

    force: bool = False
    network_uuid: str = ""
    network_name: str = ""
    compress: bool | None = None
    deadline_seconds: float | None = None
    no_progress_seconds: float | None = None
    guest_seconds: float = 0.0
    eject_local_iso: bool = False
    keep_source_kernel: bool = False
    strict: bool = False
    strategy: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class MoveRequest(Model):
    """One migration, with every name resolved. ``request_id`` names it for ever.

    ``max_retries``: None where a destination was named; otherwise how many more hosts may be tried if this one turns
    out unfit. ``ignored_uuids``: the hosts that were tried before.
    """

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
    options: MoveOptions = MoveOptions()
    max_retries: int | None = None
    ignored_uuids: tuple[str, ...] = ()


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
        """Tell whether nothing more will happen to the run."""
        return self in (RunState.SUCCESS, RunState.REFUSED, RunState.FAILED, RunState.DIRTY)


@dataclasses.dataclass(frozen=True, slots=True)
class Remnant(Model):
    """What is kept of a run's end, beside its request and summary, after its records were pruned.

    ``pruned_at``: when they were, in seconds since 1970 by the database's clock. ``reason``, ``already_there``,
    ``interruptions`` and ``cancelled`` are those of the outcome, ``xapi_code`` and ``xapi_params`` its error.
    """

    pruned_at: float = 0.0
    reason: str = ""
    already_there: bool = False
    interruptions: int = 0
    cancelled: bool = False
    xapi_code: str = ""
    xapi_params: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Run(Model):
    """A row of the run index. Times are seconds since 1970 by the database's clock.

    ``remnant``: None as long as the run's records are there; after a prune what is kept of them.
    """

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
    remnant: Remnant | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt(Model):
    """One try to submit. ``state``: intended (committed before the call), accepted, ended.

    ``starts`` is each host's ``agent_start_time`` at the submit, ``disabled`` the hosts not enabled then, ``domid``
    the VM's domain on the source: any migration changes it, also one there and back.
    """

    uuid: str
    run_uuid: str
    number: int
    state: str
    created_at: float
    session_uuid: str
    starts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    domid: int = -1
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
    """Who may write and send for a run. ``expires_in_seconds`` is by the database's clock, may be negative.

    ``lease_seconds`` is its length by its owner's configuration, not by ours.
    """

    run_uuid: str
    token: int
    owner: Owner
    session_uuid: str
    expires_in_seconds: float
    lease_seconds: float
