"""What holds after every test, whatever was injected (the invariants a to f of the acceptance scenarios)."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.pool import SimulatedPool
from tests.support.scene import Scene

SETTLED = ("success", "refused", "failed", "dirty")
NEEDS_A_PERSON = ("unknown", "suspended")


@dataclasses.dataclass
class Invariants:
    """Judges a scene at the end of a test. A test may say what it leaves on purpose, never that it need not look.

    ``open_runs``: a run may be left running or suspended, with what it holds in the pool.
    ``lost``: names of VMs that the injected fault itself ends (they run nowhere); a success is still a lie.
    ``unmarked_tasks``: the pool ignored our mark and the reply was lost, so nobody can tell that task for ours.
    ``foreign_migrations``: ``pool_migrate`` calls with effect that the test itself made, by VM name.
    ``released``: UUIDs of PBDs that a success lets go of; ``left``: PBDs of somebody else, or unproved, stay behind.
    """

    scene: Scene
    open_runs: bool = False
    unmarked_tasks: bool = False
    lost: set[str] = dataclasses.field(default_factory=set)
    foreign_migrations: Counter[str] = dataclasses.field(default_factory=Counter)
    released: set[str] = dataclasses.field(default_factory=set)
    left: bool = False

    def check(self) -> None:
        """Raise AssertionError with everything that does not hold."""
        broken = list(self._find_secrets())
        runs = self.scene.runs()
        broken += self._find_unsettled(runs)
        for pool in self.scene.pools:
            if pool.is_alive():
                broken += self._judge_pool(pool, runs)
            elif not pool.stopped:
                broken.append(f"the pool {pool.name} has ended by itself: {pool.process.returncode}")
            if "Traceback" in (pool.directory / "simulator.log").read_text(encoding="utf-8"):
                broken.append(f"the pool {pool.name} has failed inside: see its simulator.log")
        assert not broken, "invariants do not hold:\n" + "\n".join(broken)

    def _judge_pool(self, pool: SimulatedPool, runs: list[dict[str, Any]]) -> Iterator[str]:
        state = pool.state()
        yield from self._find_repeated(pool, state, runs)
        yield from self._find_misplaced(pool, state, runs)
        if not self.open_runs and not any(r["state"] in NEEDS_A_PERSON for r in runs):
            yield from self._find_leftovers(pool, state)

    def _find_repeated(self, pool: SimulatedPool, state: Any, runs: list[dict[str, Any]]) -> Iterator[str]:
        """(a) at most one pool_migrate took effect per migration."""
        names = {ref: r["name_label"] for ref, r in pool.records("VM", state).items()}
        took = Counter(names.get(e["params"][1], "?") for e in pool.effects())
        for name, count in took.items():
            allowed = sum(r["vm"] == name and r["state"] != "refused" for r in runs) + self.foreign_migrations[name]
            if count > allowed:
                yield f"a: {count} VM.pool_migrate of {name} took effect in {pool.name}, for {allowed} migrations"

    def _find_misplaced(self, pool: SimulatedPool, state: Any, runs: list[dict[str, Any]]) -> Iterator[str]:
        """(b) each VM that ran runs on exactly one host, and where its last run says."""
        for vm_uuid in {u for uuids in pool.first["real"].values() for u in uuids}:
            (vm,) = (r for r in pool.records("VM", state).values() if r["uuid"] == vm_uuid)
            if vm["is_control_domain"]:
                continue
            name = vm["name_label"]
            where = [host for host, uuids in state["real"].items() if vm_uuid in uuids]
            last = next((r for r in runs if r["vm"] == name), None)
            if len(where) > 1:
                yield f"b: {name} runs on {where}"
            if not where and name not in self.lost:
                yield f"b: {name} runs nowhere"
            if last and last["state"] == "success" and where != [last["destination"]]:
                yield f"b: run {last['run']} says success, {name} runs on {where or 'no host'}"
            if last and last["state"] in ("refused", "failed") and where == [last["destination"]] != [last["source"]]:
                yield f"b: run {last['run']} says {last['state']}, {name} runs on the destination"

    def _find_leftovers(self, pool: SimulatedPool, state: Any) -> Iterator[str]:
        """(d) nothing temporary of ours remains: no session, no finished task record, no PBD plugged for nothing."""
        for session in pool.records("session", state).values():
            if session.get("originator", "").startswith("lmflow"):
                yield f"d: a session of {session['originator']} is left in {pool.name}"
        for task in pool.records("task", state).values():
            marked = "http:lmflow-attempt" in task["other_config"]
            ours = marked or (task["name_label"] == "Async.VM.pool_migrate" and not self.unmarked_tasks)
            if ours and task["status"] != "pending":
                yield f"d: the finished task {task['name_label']} ({task['status']}) is left in {pool.name}"
        yield from self._find_left_storage(pool, state)
        ours = {run["run"] for run in self.scene.runs()}
        for vm in pool.records("VM", state).values():
            if vm["other_config"].get("lmflow-run") in ours:
                yield f"d: {vm['name_label']} still has the mark of a run in {pool.name}"
        for host, files in pool.control("GET", "/files").items():
            for path in (path for path in files if path.endswith(".lmflow-part")):
                yield f"d: the partial file {path} is left on {host}"

    def _find_left_storage(self, pool: SimulatedPool, state: Any) -> Iterator[str]:
        inhabited = {ref for ref, host in pool.records("host", state).items() if state["real"].get(host["name_label"])}
        residents = inhabited | {vm["resident_on"] for vm in _guests(pool, state)}
        before = {r["uuid"]: r["currently_attached"] for r in pool.records("PBD", pool.first).values()}
        for pbd in pool.records("PBD", state).values():
            if pbd["uuid"] in self.released:
                continue
            if "lmflow-run" in pbd["other_config"]:
                yield f"d: PBD {pbd['uuid']} still has the mark of a run"
            if pbd["uuid"] not in before and not pbd["currently_attached"] and not self.left:
                yield f"d: PBD {pbd['uuid']} was made by us and is not plugged"
            if before.get(pbd["uuid"]) and not pbd["currently_attached"]:
                yield f"c: PBD {pbd['uuid']} was plugged and is not any more"
            if not before.get(pbd["uuid"]) and pbd["currently_attached"] and pbd["host"] not in residents:
                yield f"d: PBD {pbd['uuid']} was plugged by us on a host where no VM needs it"

    def _find_unsettled(self, runs: list[dict[str, Any]]) -> Iterator[str]:
        """(e) a run has ended, or names what a person must decide."""
        allowed = (*SETTLED, "unknown") + (("running", "suspended") if self.open_runs else ())
        for run in runs:
            if run["state"] not in allowed:
                yield f"e: run {run['run']} of {run['vm']} is left {run['state']}"

    def _find_secrets(self) -> Iterator[str]:
        """(f) no password and no session reference stands in anything that lmflow wrote."""
        secrets = {str(pool.ready["password"]).encode() for pool in self.scene.pools}
        for pool in self.scene.pools:
            if pool.is_alive():
                # Whoever has what stands behind "OpaqueRef:" has the reference.
                secrets |= {str(each).removeprefix("OpaqueRef:").encode() for each in pool.control("GET", "/secrets")}
        for path in _written_by_lmflow(self.scene):
            content = path.read_bytes()
            for secret in secrets:
                if secret and secret in content:
                    yield f"f: a secret stands in {path.relative_to(self.scene.directory)}"


def _guests(pool: SimulatedPool, state: Any) -> Iterator[dict[str, Any]]:
    return (vm for vm in pool.records("VM", state).values() if not vm["is_control_domain"])


def _written_by_lmflow(scene: Scene) -> Iterator[Path]:
    given = {scene.config_file, *(pool.password_file for pool in scene.pools)}
    theirs = {pool.directory for pool in scene.pools}
    for path in scene.directory.rglob("*"):
        if path.is_file() and path not in given and not theirs & set(path.parents):
            yield path
