"""The parts of a pool that know no operation, put together; what operations and long-lived parts work with."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lmflow.simulator.audit import Audit
from lmflow.simulator.clock import Clock
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.store import Store
from lmflow.simulator.events import Events
from lmflow.simulator.faults import Faults
from lmflow.simulator.rbac import Rbac
from lmflow.simulator.sessions import Sessions
from lmflow.simulator.tasks import Tasks
from lmflow.simulator.wire.server import Server

Part = TypeVar("Part")
Witness = Callable[[str, "str | None", bytes], "tuple[int, dict[str, str], bytes]"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a simulated pool behaves; ``port`` 0 chooses one that is free on every address."""

    port: int = 0
    time_scale: float = 30.0
    seed: int = 1
    username: str = "root"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    https: bool = False
    https_ca: bool = False
    certificate_file: str = ""
    key_file: str = ""
    ignore_attempt_header: bool = False
    refuse_witness: bool = False
    start_time: float | None = None
    host_assumed_dead_seconds: float = 600.0
    users: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Who may log in beside root: name -> (password, role)."""


@dataclass(eq=False)
class Kernel:
    """Everything below the operations. ``parts`` holds what registered itself with ``registry.part``, by name."""

    options: Options = field(default_factory=Options)
    schema: Schema = field(default_factory=Schema.load)
    witness: Witness | None = None
    admit: Callable[[str, str], None] | None = None
    """Refuses calls, by host and name, before anything else is looked at; set by the part that knows the roles."""
    real_domains: Callable[[], dict[str, list[str]]] = dict
    """host name -> UUIDs of the domains that really run there; set by the part that knows."""

    def __post_init__(self) -> None:
        options = self.options
        self.clock = Clock(options.time_scale, options.start_time)
        self.store = Store(self.schema, options.seed)
        self.sessions = Sessions(self.store, self.clock, options.username, options.password)
        self.rbac = Rbac(self.store, self.sessions)
        self.tasks = Tasks(self.store, self.clock)
        self.events = Events(self.store, self.clock, self.sessions)
        self.audit = Audit(self.clock.now)
        self.faults = Faults(self.clock)
        self.server = Server()
        self.stopped = threading.Event()
        self.parts: dict[str, Any] = {}

    @property
    def coordinator_ref(self) -> str:
        """The reference of the coordinator."""
        return self.sessions.coordinator_ref

    @property
    def pool_ref(self) -> str:
        """The reference of the one pool object."""
        return self.store.refs("pool")[0]

    def part(self, kind: type[Part]) -> Part:
        """Give the long-lived part of this type; KeyError when the pool was made without it."""
        for candidate in self.parts.values():
            if isinstance(candidate, kind):
                return candidate
        raise KeyError(kind.__name__)

    def find_host(self, name: str) -> str:
        """Find a host's reference by name_label, uuid or reference; KeyError when there is none."""
        for ref in self.store.refs("host"):
            if name in {ref, self.store.value("host", ref, "uuid"), self.store.value("host", ref, "name_label")}:
                return ref
        raise KeyError(f"no host {name!r}")
