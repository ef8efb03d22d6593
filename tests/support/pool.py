"""A simulated pool in a process of its own, as tests drive and question it."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import nursery

START_SECONDS = 30.0
STOP_SECONDS = 10.0
WITNESS_READS = ("xenops:VM.stat", "xenops:VM.exists", "xenops:Task.list")


@dataclasses.dataclass
class SimulatedPool:
    """A running simulator, in a process of its own. ``ready`` is its ready file, ``first`` its state at the start."""

    name: str
    directory: Path
    process: nursery.Child
    ready: Mapping[str, Any]
    first: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    password_file: Path = Path()
    stopped: bool = False

    @property
    def time_scale(self) -> float:
        return float(self.ready["time_scale"])

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request to the control channel and return the reply's JSON; a refusal fails the test."""
        connection = http.client.HTTPConnection("127.0.0.1", int(self.ready["control_port"]), timeout=60)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, path, body=data, headers={"Content-Type": "application/json"})
            reply = connection.getresponse()
            text = reply.read().decode()
        assert reply.status < 300, f"{method} {path}: {reply.status} {text}"
        return json.loads(text) if text else None

    def audit(self, method: str = "") -> list[dict[str, Any]]:
        """Return the calls read from the sockets so far; ``method`` selects by its end (``VM.pool_migrate``)."""
        entries: list[dict[str, Any]] = self.control("GET", "/audit")
        return [e for e in entries if e["method"] == method or e["method"] == f"Async.{method}" or not method]

    def effects(self, vm_name: str = "") -> list[dict[str, Any]]:
        """Return the ``VM.pool_migrate`` calls that took effect, of one VM or of all."""
        vm_ref = self.find_ref("VM", vm_name) if vm_name else ""
        return [e for e in self.audit("VM.pool_migrate") if e["effect"] and (not vm_ref or vm_ref in e["params"])]

    def changing_calls(self, *, witness: bool = False) -> list[str]:
        """Return the methods of all calls but log-ins and reads; with ``witness``, its reads are left out, too."""
        reads = WITNESS_READS if witness else ()
        return [e["method"] for e in self.audit() if not is_reading(e["method"]) and e["method"] not in reads]

    def state(self) -> dict[str, Any]:
        """Return every object by class and reference, and ``real``: which VMs run on which host."""
        return dict(self.control("GET", "/state"))

    def records(self, class_name: str, state: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        """Return the records of a class by reference."""
        held = state or self.state()
        found: Any = held.get(class_name, held.get("objects", {}).get(class_name, {}))
        return dict(found)

    def find_ref(self, class_name: str, name: str) -> str:
        """Return the reference of the one object of that ``name_label`` or UUID."""
        records = self.records(class_name).items()
        (ref,) = (r for r, record in records if name in (record.get("name_label"), record.get("uuid")))
        return ref

    def get(self, class_name: str, name: str) -> dict[str, Any]:
        """Return the one record of that ``name_label`` or UUID."""
        return self.records(class_name)[self.find_ref(class_name, name)]

    def uuid(self, class_name: str, name: str) -> str:
        """Return the UUID of the one object of that name."""
        return str(self.get(class_name, name)["uuid"])

    def resident_on(self, vm_name: str) -> str:
        """Return the name of the host where XAPI's database shows the VM, '' for none."""
        state = self.state()
        (vm,) = (r for r in self.records("VM", state).values() if vm_name in (r["name_label"], r["uuid"]))
        host = self.records("host", state).get(vm["resident_on"])
        return str(host["name_label"]) if host else ""

    def runs_on(self, vm_name: str) -> list[str]:
        """Return the names of the hosts where the VM really runs."""
        vm_uuid = self.uuid("VM", vm_name)
        return sorted(host for host, uuids in self.state()["real"].items() if vm_uuid in uuids)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """End the process: kindly, then by its own pid."""
        self.stopped = True
        if self.is_alive():
            # It may be gone before all of its answer is.
            with contextlib.suppress(OSError, AssertionError, http.client.HTTPException):
                self.control("POST", "/stop", {})
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()


def is_reading(method: str) -> bool:
    """Tell whether a call only logs in or out, or reads (the definition of "refused" in the scenarios)."""
    verb = method.rpartition(".")[2]
    return method in ("session.login_with_password", "session.logout", "event.from", "event.inject") or verb.startswith(
        ("get", "assert", "login", "logout")
    )


def start_pool(
    directory: Path, world: str | Path, *options: str, name: str = "lab", time_scale: float
) -> SimulatedPool:
    """Start a simulator on a world (``lab``, a JSON file) or a pool database (XML), and wait until it listens."""
    directory.mkdir(parents=True, exist_ok=True)
    ready_file = directory / "ready.json"
    source = ["--pool-db" if str(world).endswith((".xml", ".xml.gz")) else "--world", str(world)]
    words = [*source, "--ready-file", str(ready_file), "--control-port", "0"]
    # A test run that is killed leaves nobody to end it.
    words += ["--time-scale", str(time_scale), "--idle-exit", "300", *options]
    with (directory / "simulator.log").open("ab") as log:
        process = nursery.start(
            words, cwd=directory, env=os.environ, stdout=log.fileno(), stderr=log.fileno(), program="simulator"
        )
    try:
        ready = _wait_until_ready(process, ready_file, directory / "simulator.log")
        pool = SimulatedPool(name, directory, process, ready)
        pool.first = pool.state()
    except BaseException:
        process.kill()
        process.wait()
        raise
    return pool


def _wait_until_ready(process: nursery.Child, ready_file: Path, log: Path) -> dict[str, Any]:
    limit = time.monotonic() + START_SECONDS
    while not ready_file.exists():
        assert process.poll() is None, f"the simulator ended with {process.returncode}: {log.read_text()}"
        assert time.monotonic() < limit, f"the simulator did not come up: {log.read_text()}"
        time.sleep(0.02)
    return dict(json.loads(ready_file.read_text(encoding="utf-8")))
