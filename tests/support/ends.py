"""A pool with many VMs, and runs in it that end, or do not end, in every way there is; each is named by a request id.

The pool's witness refuses to answer, so that a copy that fails leaves a run unknown. Storage of its own, unplugged on
the destination, lets the revert of a run fail and leave something.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import signal
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from lmflow.cli import demo_pool
from lmflow.cli.exits import Exit
from lmflow.xapi.connection import Connection
from tests.support.kills import kill, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import COMMAND_SECONDS, Command, Scene
from tests.support.worlds import P, get_item

Done = CompletedProcess[str]
PLAIN, SOILED = 14, 5
UNCONFIGURED = {"LMFLOW_CONFIG_FILE": ""}
DISABLED = ["HOST_DISABLED", "OpaqueRef:b"]


def write_many(path: Path) -> Path:
    """Write P with many VMs on A: ``v0``.. on S, ``d0``.. each on storage that B has not plugged, ``off`` halted.

    ``pick`` has an interface on a network that B lacks, so that C alone can take it.
    """
    world = copy.deepcopy(P)
    pattern = world["vms"].pop()
    pattern["copy_seconds"] = 10
    world["networks"].append({"name": "dmz", "bridge": "xenbr1"})
    for host in ("A", "C"):
        get_item(world, "hosts", host)["networks"] = ["lan", "dmz"]
    world["vms"] = [{**pattern, "name": f"v{number}"} for number in range(PLAIN)]
    for number in range(SOILED):
        shared = get_item(world, "storage", "S")
        plugged = {"A": "plugged", "B": "unplugged", "C": "plugged"}
        world["storage"].append({**shared, "name": f"T{number}", "default": False, "hosts": plugged})
        world["vms"].append({**pattern, "name": f"d{number}", "disks": [{"name": "root", "sr": f"T{number}"}]})
    world["vms"].append({**pattern, "name": "pick", "vifs": ["lan", "dmz"]})
    world["vms"].append({key: value for key, value in pattern.items() if "host" not in key} | {"name": "off"})
    for key in ("host", "cpu_features_of"):
        world["vms"][-1].pop(key, None)
    path.write_text(json.dumps(world), encoding="utf-8")
    return path


@dataclasses.dataclass
class Ends:
    """Brings runs to their ends. Each method takes the request id that names its run from then on."""

    scene: Scene
    pool: SimulatedPool
    used: dict[str, int] = dataclasses.field(default_factory=lambda: {"v": 0, "d": 0})
    vms: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def start(cls, scene: Scene, *, time_scale: float = 100.0) -> Ends:
        """Start the pool."""
        # An owner that a test stops for a while is still an owner; where nobody restarts, there is little to settle.
        scene.waits = {"lease_seconds": 120.0, "settle_seconds": 0.5, "pool_seconds": 2.0}
        world = write_many(scene.directory / "many.json")
        return cls(scene, scene.start(world, "--refuse-witness", time_scale=time_scale))

    def take(self, request_id: str, kind: str = "v") -> str:
        """Return a VM that no run has had yet, for this one."""
        self.vms[request_id] = f"{kind}{self.used[kind]}"
        self.used[kind] += 1
        return self.vms[request_id]

    def fault(self, phase: str, kind: str = "fail", *, vm: str = "", **more: Any) -> None:
        """Let something befall the next migration, of that VM."""
        of_vm = {"vm": self.pool.uuid("VM", vm)} if vm else {}
        self.pool.control("POST", "/phase_faults", {"phase": phase, "kind": kind, **of_vm, **more})

    def migrate(self, vm: str, request_id: str, *options: str) -> Done:
        """Migrate to B."""
        return self.scene.run("migrate", vm, "--to", "B", "--request-id", request_id, *options)

    def succeed(self, request_id: str, *options: str) -> Done:
        """Move a VM."""
        return self.migrate(self.take(request_id), request_id, *options)

    def refuse(self, request_id: str, *options: str) -> Done:
        """Ask for the move of a VM that is halted."""
        return self.migrate("off", request_id, *options)

    def fail(self, request_id: str, *options: str) -> Done:
        """Let XAPI refuse the migration by one of its ordered checks, after it was sent."""
        vm = self.take(request_id)
        self.fault("setup", vm=vm, error=DISABLED)
        return self.migrate(vm, request_id, *options)

    def soil(self, request_id: str, *options: str) -> Done:
        """Let the migration fail, and its revert too."""
        vm = self.take(request_id, "d")
        self.fault("setup", vm=vm, error=DISABLED)
        self.fault("PBD.unplug")
        return self.migrate(vm, request_id, *options)

    def doubt(self, request_id: str, *options: str, kind: str = "v") -> Done:
        """Let the copy fail where nobody can say what became of the VM."""
        vm = self.take(request_id, kind)
        self.fault("copy", vm=vm)
        return self.migrate(vm, request_id, *options)

    def hold(self, request_id: str) -> Command:
        """Begin a migration that stays in the middle of its copy."""
        vm = self.take(request_id)
        self.fault("copy", "hold", vm=vm)
        child = self.scene.popen("migrate", vm, "--to", "B", "--request-id", request_id)
        self.wait_for_text(child, "accepted")
        return child

    def let_go(self, request_id: str) -> Done:
        """Have lmflow let go of a migration in the middle of its copy, which goes on when it is released."""
        return self.end(self.hold(request_id), signal.SIGTERM)

    def abandon(self, request_id: str) -> None:
        """Kill lmflow in the middle of the copy."""
        kill(self.hold(request_id))

    def release(self) -> None:
        """Let every copy that is held go on."""
        self.pool.control("POST", "/release_phases", {})

    def end(self, child: Command, number: int = 0) -> Done:
        """Send a command a signal, if any, and return how it ended."""
        if number:
            child.send_signal(number)
        code = child.wait(COMMAND_SECONDS)
        return CompletedProcess(child.args, code, *self.scene.read_output(child))

    def wait_for_text(self, child: Command, text: str) -> None:
        """Wait until a command has said that on stderr."""
        said = wait_until(lambda: text in self.scene.read_output(child)[1], child, text)
        assert said, self.scene.read_output(child)

    def hold_call(self, call: str, *command: str) -> Command:
        """Begin a command, and return when the pool holds that call of it; ``let_call_go`` lets it go."""
        self.pool.control("POST", "/hold", {"call": call, "point": "request_read"})
        child = self.scene.popen(*command)
        reached = wait_until(lambda: any(h["reached"] for h in self.pool.control("GET", "/hold")), child, call)
        assert reached, self.scene.read_output(child)
        return child

    def let_call_go(self) -> None:
        """Let the call go that is held."""
        self.pool.control("POST", "/release", {})

    def cut_off(self) -> None:
        """Lead the configuration to a port where nobody listens."""
        self.scene.write_config(**{self.pool.name: {"port": 9}})

    def mend(self) -> None:
        """Lead the configuration to the pool again."""
        self.scene.write_config()


@dataclasses.dataclass
class Demo:
    """The demo of a person who has no configuration."""

    scene: Scene
    pool: demo_pool.DemoPool

    def run(self, *words: str) -> Done:
        """Run a command that finds no configuration."""
        return self.scene.run(*words, env=UNCONFIGURED)

    def fault(self, phase: str, **more: object) -> None:
        """Let the next migration, or PBD call, fail."""
        self.pool.control("POST", "/phase_faults", {"phase": phase, "kind": "fail", **more})

    def let_go(self, number: int) -> Done:
        """Let go of a migration that takes long, then have it cancelled."""
        state = self.pool.control("GET", "/state")
        (vm,) = (vm for vm in state["VM"].values() if vm["name_label"] == "web-01")
        self.pool.control("POST", "/copy_seconds", {"vm": vm["uuid"], "seconds": 30_000})
        child = self.scene.popen("demo", env=UNCONFIGURED)
        self.scene.wait_until(lambda: "accepted" in self.scene.read_output(child)[1], seconds=COMMAND_SECONDS)
        child.send_signal(number)
        code = child.wait(COMMAND_SECONDS)
        short = self.run("run", "list", "-f", "value", "-c", "run").stdout.strip()
        assert self.run("cancel", short).returncode == Exit.DONE
        self.pool.control("POST", "/copy_seconds", {"vm": vm["uuid"], "seconds": 10})
        return CompletedProcess(child.args, code, *self.scene.read_output(child))

    def change(self, *calls: tuple[str, str, str]) -> None:
        """Make calls of XAPI about objects by class and name; a PBD is named ``host/SR``."""
        with Connection.open(self.pool.make_profile(), lambda: self.pool.get_password("")) as connection:
            for method, kind, name in calls:
                connection.call_once(method, self._find_ref(kind, name))

    def _find_ref(self, kind: str, name: str) -> str:
        state = self.pool.control("GET", "/state")

        def name_of(record: dict[str, str]) -> str:
            if kind == "PBD":
                return f"{state['host'][record['host']]['name_label']}/{state['SR'][record['SR']]['name_label']}"
            return record["name_label"]

        (ref,) = (ref for ref, record in state[kind].items() if name_of(record) == name)
        return str(ref)
