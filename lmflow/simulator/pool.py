"""A whole simulated pool: the kernel, what registered itself with it, its world, its listeners."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol

from lmflow.simulator import calls, operations
from lmflow.simulator.control import ControlChannel
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.hosts import heartbeats, power_cut, resync, roles, toolstack, witness
from lmflow.simulator.kernel import Kernel, Options
from lmflow.simulator.registry import PARTS
from lmflow.simulator.wire import tls
from lmflow.simulator.wire.endpoint import Wire
from lmflow.simulator.wire.http1 import HttpReply, HttpRequest

REGISTERED = (calls, heartbeats, operations, power_cut, roles, toolstack, witness)
"""Modules that are imported for what they register."""

_COLLECT_SECONDS = 30.0
_SHORTEST_COLLECT_SECONDS = 0.5


class World(Protocol):
    """Something that fills an empty pool."""

    def apply(self, pool: Kernel) -> None:
        """Create the objects."""


class SimulatedPool(Kernel):
    """A pool that listens between ``start`` and ``stop``; also a context manager.

    It starts from a world, or from the data that ``dump`` gave.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        world: World | None = None,
        state: Mapping[str, Any] | None = None,
        schema: Schema | None = None,
    ) -> None:
        super().__init__(options or Options(), schema or Schema.load())
        self.certificates = tls.Certificates({}, {})
        self.control = ControlChannel(self)
        self._activity = threading.Lock()
        self._under_way = 0
        self._last_request = time.monotonic()
        self._wire = Wire(self)
        for name, factory in PARTS.items():
            self.parts[name] = factory(self)
        if state is not None:
            self.load(state)
        elif world is not None:
            world.apply(self)
        for name, (password, role) in self.options.users.items():
            self.rbac.add_user(name, password, role)

    @property
    def toolstack(self) -> Any:
        """The part that restarts toolstacks."""
        return self.parts["toolstack"]

    @property
    def xenops(self) -> Any:
        """The part that knows where domains really run."""
        return self.parts["xenops"]

    def start(self, control_port: int | None = None) -> None:
        """Listen on every host's address; with a control channel on 127.0.0.1 if a port (0: any) is given."""
        addresses = {ref: str(self.store.value("host", ref, "address")) for ref in self.store.refs("host")}
        self.certificates = self._make_certificates(addresses)
        for part in self.parts.values():
            if hasattr(part, "on_start"):
                part.on_start()
        self.server.start(addresses, self.options.port, self._answer, self.certificates.contexts)
        if control_port is not None:
            self.control.start(control_port)
        threading.Thread(target=self._collect, name="collect", daemon=True).start()

    def stop(self) -> None:
        """Close every listener; calls under way are left without a reply."""
        self.stopped.set()
        self.faults.clear()
        self.server.stop()
        self.control.stop()
        for part in self.parts.values():
            if hasattr(part, "on_stop"):
                part.on_stop()
        self.tasks.lose_all()
        self.sessions.lose_all()

    def __enter__(self) -> SimulatedPool:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def _make_certificates(self, addresses: Mapping[str, str]) -> tls.Certificates:
        options = self.options
        if options.certificate_file:
            return tls.use(addresses, options.certificate_file, options.key_file)
        if options.https_ca:
            return tls.use_ca(addresses)
        return tls.make_self_signed(addresses) if options.https else tls.Certificates({}, {})

    @property
    def idle_seconds(self) -> float:
        """How long nobody has asked anything, in real seconds; 0 while a call is under way."""
        with self._activity:
            return 0.0 if self._under_way else time.monotonic() - self._last_request

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Count a request as under way."""
        with self._activity:
            self._under_way += 1
        try:
            yield
        finally:
            with self._activity:
                self._under_way -= 1
                self._last_request = time.monotonic()

    def _answer(self, request: HttpRequest) -> HttpReply:
        with self.busy():
            return self._wire.answer(request)

    def _collect(self) -> None:
        pause = max(_SHORTEST_COLLECT_SECONDS, self.clock.real(_COLLECT_SECONDS))
        while not self.stopped.wait(pause):
            self.collect()

    def collect(self) -> None:
        """Remove the tasks and sessions whose time is over, as the coordinator does every now and then."""
        self.tasks.collect()
        self.sessions.collect(self.tasks.busy_sessions())
        self.events.queue.heartbeat()

    # -- state

    def dump(self) -> dict[str, Any]:
        """Give what is persistent as JSON-able data: the database and what the parts keep."""
        parts = {name: part.dump() for name, part in self.parts.items() if hasattr(part, "dump")}
        return {"format": "lmflow-simulator-state/1", "store": self.store.dump(), "parts": parts}

    def load(self, state: Mapping[str, Any]) -> None:
        """Replace what is persistent by what ``dump`` gave; operations under way are not. ValueError, KeyError."""
        if state.get("format") != "lmflow-simulator-state/1":
            raise ValueError("this is no state of a simulated pool")
        self.tasks.lose_all()
        self.store.load(state["store"])
        for name, data in state["parts"].items():
            if hasattr(self.parts.get(name), "load"):
                self.parts[name].load(data)
        resync.forget_operations(self)

    def describe(self) -> dict[str, Any]:
        """Say how to reach the pool, as the ready file does."""
        names = {ref: str(self.store.value("host", ref, "name_label")) for ref in self.store.refs("host")}
        return {
            "port": self.server.port,
            "control_port": self.control.port,
            "scheme": "https" if self.certificates.contexts else "http",
            "coordinator": self.sessions.coordinator_address(),
            "hosts": {name: self.store.value("host", ref, "address") for ref, name in names.items()},
            "username": self.options.username,
            "password": self.options.password,
            "time_scale": self.options.time_scale,
            "certificate_sha256": {names[ref]: text for ref, text in self.certificates.fingerprints.items()},
            "ca_file": self.certificates.ca_file,
        }
