"""One pool and one database for many migrations that are killed: a bench. Each schedule has a fresh VM.

A schedule is killed at its points, one process after the other, and resumed until it ends; then it is judged by what
the pool and the database hold, not by what the command says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from tests.support.invariants import Invariants
from tests.support.kill_flows import FAULTY, FLOWS, Flow, get_pace, get_vm_uuid, write_world
from tests.support.kill_reports import BEGIN, Point, Reports, Watch
from tests.support.kills import kill
from tests.support.pool import SimulatedPool
from tests.support.scene import Command, Scene

LIMIT_SECONDS = 60.0
_ASKED = "SELECT run_uuid FROM lmflow_control"
MAX_RESUMES = 6
NEVER = ("VM.start", "VM.start_on", "VM.resume", "VM.resume_on", "VM.unpause", "VM.hard_reboot", "VM.clean_reboot")
NEVER += ("VM.hard_shutdown", "VM.clean_shutdown", "VM.shutdown", "VM.destroy", "VM.power_state_reset", "VM.suspend")


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """What is done to one migration. ``kills``: where each process in turn is killed; the last one lives.

    ``late``: a request that the pool holds when its sender is killed is carried out after the end of the next process,
    not at once. ``fresh``: the processes are real starts of the command, not forks.
    """

    flow: str
    kills: tuple[Point, ...] = ()
    late: bool = False
    fresh: bool = False

    def __str__(self) -> str:
        flags = [name for name in ("late", "fresh") if getattr(self, name)]
        return " ; ".join([" ".join([self.flow, *flags]), *map(str, self.kills)])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` made."""
        head, *points = text.split(" ; ")
        flow, *flags = head.split()
        return cls(flow, tuple(map(Point.parse, points)), late="late" in flags, fresh="fresh" in flags)


@dataclasses.dataclass(slots=True)
class Outcome:
    """How a schedule went: the run's last state and step, how many kills befell it, exit codes, what was said."""

    vm: str
    state: str = ""
    step: str = ""
    done: dict[str, int] = dataclasses.field(default_factory=dict)
    killed: int = 0
    killed_early: int = 0
    codes: list[int] = dataclasses.field(default_factory=list)
    said: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


@dataclasses.dataclass
class _Invariants(Invariants):
    """``spare`` sessions may be left: of processes that were killed before it was committed which one is theirs."""

    spare: int = 0

    def _find_leftovers(self, pool: SimulatedPool, state: Any) -> Iterator[str]:
        found = list(super()._find_leftovers(pool, state))
        sessions = [text for text in found if text.startswith("d: a session of")]
        yield from (text for text in found if text not in sessions or len(sessions) > self.spare)


@dataclasses.dataclass
class Bench:
    """See ``open_bench``. ``room`` is how many VMs it has, ``told`` what became of the schedules, by VM."""

    scene: Scene
    pool: SimulatedPool
    reports: Reports
    room: int
    header: bool = True
    told: dict[str, tuple[Schedule, Outcome]] = dataclasses.field(default_factory=dict)

    def run(self, schedule: Schedule, watch: Callable[[str], Watch] | None = None) -> Outcome:
        """Run one schedule on the next VM, and judge it; AssertionError says what is broken and how to repeat it.

        ``watch`` makes another watch of a process, for the VM's name.
        """
        number = len(self.told)
        assert number < self.room, "this bench has no VM left"
        flow, outcome = {**FLOWS, **FAULTY}[schedule.flow], Outcome(f"v{number}")
        self.told[outcome.vm] = (schedule, outcome)
        began = time.monotonic()
        self._befall(flow, outcome.vm)
        for point in (*schedule.kills, *[None] * MAX_RESUMES):
            made = watch(outcome.vm) if watch else self._watch(flow, outcome, point)
            self._drive(schedule, flow, outcome, made)
            if outcome.state not in ("", "running", "suspended"):
                break
        self.pool.control("POST", "/release", {})
        outcome.seconds = time.monotonic() - began
        self._judge_one(schedule, flow, outcome)
        return outcome

    def judge(self, *, unmarked_tasks: bool = False) -> None:
        """Judge all that was done here: the invariants, one effective migration a run, no VM started."""
        spare = sum(outcome.killed_early for _, outcome in self.told.values())
        invariants = _Invariants(self.scene, unmarked_tasks=unmarked_tasks, spare=spare)
        pbds, srs = self.pool.first["PBD"].values(), self.pool.first["SR"]
        invariants.released = {p["uuid"] for p in pbds if srs[p["SR"]]["name_label"].startswith("T")}
        names = {ref: vm["name_label"] for ref, vm in self.pool.records("VM").items()}
        broken = []
        audit = self.pool.audit()
        for entry in audit:
            if entry["method"].removeprefix("Async.") in NEVER:
                broken.append(f"{entry['method']} of {names.get(entry['params'][1])}")
        for vm, (_, outcome) in self.told.items():
            moves = [e for e in audit if e["method"].endswith("VM.pool_migrate") and e["effect"]]
            count = sum(names.get(e["params"][1]) == vm for e in moves)
            if count != 1 and outcome.state == "success":
                broken.append(f"{vm}: success after {count} VM.pool_migrate with effect")
        try:
            invariants.check()
        except AssertionError as error:
            broken.append(str(error))
        assert not broken, "\n".join([*broken, *self._legend()])

    def ask(self, *args: str, wait: Callable[[], bool]) -> None:
        """Run another command beside the process under test until something holds, then end it."""
        child = self.scene.popen(*args)
        self.scene.wait_until(lambda: wait() or child.poll() is not None, seconds=LIMIT_SECONDS)
        kill(child)

    def find_run(self, vm: str) -> dict[str, Any] | None:
        """Return the run of a VM from the database, None if it has none."""
        return next((run for run in self.scene.runs() if run["vm"] == vm), None)

    def _befall(self, flow: Flow, vm: str) -> None:
        for fault in flow.faults:
            self.pool.control("POST", "/phase_faults", {**fault, "vm": get_vm_uuid(int(vm[1:]))})

    def _watch(self, flow: Flow, outcome: Outcome, point: Point | None) -> Watch:
        return Watch(self.pool, point, lambda step: self.enter(flow, outcome.vm, step), outcome.step, outcome.done)

    def _drive(self, schedule: Schedule, flow: Flow, outcome: Outcome, watch: Watch) -> None:
        """Run one process to its point or its end."""
        vm = outcome.vm
        first = self.find_run(vm) is None
        args = ["migrate", vm, "--to", "B", "--request-id", f"r-{vm}"] if first else ["resume", f"r-{vm}"]
        self.reports.watch = watch
        child = self.scene.popen(*args, env=self.reports.environment, fresh=schedule.fresh)
        try:
            killed = self._wait(child, watch, flow)
        finally:
            watch.close()
        if killed:
            outcome.killed += 1
            outcome.killed_early += watch.step == BEGIN
        if watch.step != BEGIN:
            outcome.step, outcome.done = watch.step, watch.get_done()
        if not (killed and schedule.late):
            self.pool.control("POST", "/release", {})
        run = self.find_run(vm)
        outcome.state = run["state"] if run else ""
        outcome.codes.append(child.returncode or 0)
        outcome.said.append(self.scene.read_output(child)[1])

    def _wait(self, child: Command, watch: Watch, flow: Flow) -> bool:
        """Return whether the process was killed at its point; False when it ended before."""
        limit, mend = time.monotonic() + LIMIT_SECONDS, flow.mend
        while child.poll() is None:
            if mend and mend[0] in self.scene.read_output(child)[1]:
                self.pool.control("POST", "/toolstack", mend[1])
                mend = None
            if watch.is_reached():
                kill(child)
                return True
            if time.monotonic() > limit:
                kill(child)
                schedule, outcome = list(self.told.values())[-1]
                outcome.said.append(self.scene.read_output(child)[1])
                outcome.codes.append(0)
                raise AssertionError(f"it did not end\n{self.explain(schedule, outcome)}")
            time.sleep(0.01)
        return False

    def enter(self, flow: Flow, vm: str, step: str) -> None:
        """Do what belongs to a way at the begin of a step, while the process stands still."""
        if flow.cancel_in == step and not self._is_asked(vm):
            self.ask("cancel", f"r-{vm}", wait=lambda: self._is_asked(vm))

    def _is_asked(self, vm: str) -> bool:
        run = self.find_run(vm)
        return run is not None and (run["run"],) in [tuple(row) for row in self.scene.read(_ASKED)]

    def _judge_one(self, schedule: Schedule, flow: Flow, outcome: Outcome) -> None:
        state = self.pool.state()
        vm_uuid = get_vm_uuid(int(outcome.vm[1:]))
        where = [host for host, uuids in state["real"].items() if vm_uuid in uuids]
        wanted = ["B"] if outcome.state == "success" else ["A"]
        ends = flow.ends if self.header else flow.ends | flow.unmarked
        assert outcome.state in ends, f"it ended {outcome.state!r}\n{self.explain(schedule, outcome)}"
        assert where == wanted, f"{outcome.state}, and it runs on {where}\n{self.explain(schedule, outcome)}"

    def explain(self, schedule: Schedule, outcome: Outcome) -> str:
        """Return what was done, how to repeat it, and what the processes said."""
        told = [f"  exit {code}:\n{said}" for code, said in zip(outcome.codes, outcome.said, strict=True)]
        return "\n".join([f"killed {outcome.killed} times, {outcome.vm}", replay(self, schedule), *told])

    def _legend(self) -> Iterator[str]:
        return (f"{vm} ({outcome.state}): {replay(self, each)}" for vm, (each, outcome) in self.told.items())


def replay(bench: Bench, schedule: Schedule) -> str:
    """Return the command that repeats a schedule."""
    options = ["--database", bench.scene.server_url.partition("+")[0] or "sqlite"]
    options += [] if bench.header else ["--ignore-attempt-header"]
    return f"python -m tests.support.kill_replay {' '.join(options)} '{schedule}'"


@contextlib.contextmanager
def open_bench(
    room: int,
    *,
    url: str = "",
    header: bool = True,
    options: tuple[str, ...] = (),
    flow: str = "",
) -> Iterator[Bench]:
    """Start a pool with ``room`` VMs and an empty database; ``url`` is one on a server, else it is an SQLite file.

    ``header``: whether the pool keeps the attempt header; ``flow`` is one of the ways for which time goes slower.
    The database lies in memory: what is shown here is the death of a process, not that of a machine, and commits to a
    disk would take the most time of all.
    """
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="lmflow-kill-", dir=memory if memory.is_dir() else None))
    time_scale, waits = get_pace(flow)
    scene = Scene(directory, waits=dict(waits), server_url=url)
    try:
        given = () if header else ("--ignore-attempt-header",)
        pool = scene.start(write_world(directory / "world.json", room), *given, *options, time_scale=time_scale)
        reports = Reports(directory)
        upgraded = scene.run("db", "upgrade")
        assert upgraded.returncode == 0, upgraded.stderr
        yield Bench(scene, pool, reports, room, header)
        reports.close()
    finally:
        scene.close()
        shutil.rmtree(directory, ignore_errors=True)
