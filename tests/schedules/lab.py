"""Running a schedule on a bench of the kill matrix: one pool and one database for many, each with a VM of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmflow.cli.codes import CODES
from lmflow.cli.exits import Exit
from tests.schedules.model import Round, Schedule, Strike
from tests.support.invariants import SETTLED, Invariants
from tests.support.kill_flows import FLOWS, get_vm_uuid
from tests.support.kill_reports import BEGIN, Point, Watch
from tests.support.kill_runs import NEVER, Bench
from tests.support.kills import wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import COMMAND_SECONDS, Command

MOST_RESUMES = 8
STOP_SECONDS, CANCEL_SECONDS = 1.0, 5.0
KILLED = -signal.SIGKILL
# They are counted here, by schedule; the invariants see those of the schedules before, too.
LEFT_SESSION = "d: a session of lmflow"


class BrokenError(Exception):
    """Something that lmflow promises does not hold."""


@dataclasses.dataclass(frozen=True)
class Report:
    """How a schedule ended: the run's state, the commands' exit codes, how many strikes met the process.

    ``played``: how many of its rounds had begun when the run ended. ``lost``: the VM runs nowhere.
    """

    label: str
    state: str
    codes: tuple[int, ...]
    played: int
    struck: int
    sessions_left: int
    faults: tuple[str, ...]
    lost: bool = False


class StrikeWatch(Watch):
    """A watch that can let the process go on, and knows points whose ``what`` is ``*``: the nth from that step on."""

    def __init__(
        self,
        pool: SimulatedPool,
        target: Point | None,
        entering: Callable[[str], object],
        former: str,
        done: Mapping[str, int],
    ) -> None:
        self._passed, self._armed = 0, False
        self._going = threading.Event()
        super().__init__(pool, target, entering, former, done)

    def hear(self, moment: str, what: str) -> bool:
        """Take a report; it is answered when the process may go on."""
        if not super().hear(moment, what):
            self._going.wait()
        return True

    def note(self, point: Point) -> None:
        """Make a point that is any the one that it is, once it is reached."""
        if self.target and self._armed and point.moment == self.target.moment:
            self._passed += 1
            if self._passed == self.target.nth:
                self.target = point

    def let_go(self) -> None:
        """Let the process go on from where it stands; it is not stopped again."""
        self.target = None
        self._going.set()
        self._pool.control("POST", "/release", {})

    def _enter(self, step: str) -> None:
        """Leave a hold for any call as it is: a call of a later step will do."""
        if self._held and self.target and self.target.what == "*":
            self.step = step
            if self._entering:
                self._entering(step)
        else:
            super()._enter(step)

    def _hold_in(self, step: str) -> None:
        super()._hold_in(step)
        self._armed |= bool(self.target and self.target.what == "*" and self.target.step == step)


class Playing:
    """One schedule on the VM of that number of a bench. ``lost`` are the names of VMs that earlier schedules lost."""

    def __init__(self, bench: Bench, schedule: Schedule, number: int, lost: frozenset[str] = frozenset()) -> None:
        self.bench, self.schedule, self.vm = bench, schedule, f"v{number}"
        self.scene, self.pool = bench.scene, bench.pool
        self.vm_uuid, self.flow = get_vm_uuid(number), FLOWS[schedule.flow]
        self.codes: list[int] = []
        self.answers: list[int] = []
        self.played, self.struck, self.struck_early = 0, 0, 0
        self.step, self.done = "", dict[str, int]()
        self.lost = lost | ({self.vm} if _may_lose(schedule) else set())
        self.sessions = _find_sessions(self.pool)

    @property
    def state(self) -> str:
        """The run's state by the database, '' while there is none."""
        return next((str(run["state"]) for run in self.scene.runs() if run["vm"] == self.vm), "")

    def play(self) -> Report:
        """Run it; BrokenError, or AssertionError by the invariants, when something does not hold."""
        for fault in self.flow.faults:
            self._add_phase(fault)
        for each in self.schedule.rounds:
            self._play_round(each)
            self.played += 1
            if self.state in SETTLED or (self.schedule.single and self.struck < self.played):
                break
        for _ in range(MOST_RESUMES):
            if self.state in SETTLED or (self.state == "unknown" and self.codes[-1] == 7):
                break
            self._run(None)
        return self._judge()

    def _judge(self) -> Report:
        state, effects = self.state, len(self.pool.effects(self.vm))
        broken = []
        allowed = {int(code) for name in ("migrate", "resume") for code in CODES[name]} - {
            Exit.INTERNAL,
            Exit.USAGE,
        } | {KILLED}
        if state not in (*SETTLED, "unknown"):
            broken.append(f"the run is left {state or 'nowhere'}")
        if state == "unknown" and not self.schedule.fault_kinds:
            broken.append("unknown, and nothing was wrong but that lmflow was ended")
        if effects > 1 or (state == "success" and effects != 1):
            broken.append(f"{state}, and {effects} VM.pool_migrate took effect")
        if set(self.codes) - allowed:
            broken.append("an exit code that is none of these commands, or an internal error")
        if started := [m for m in self.pool.changing_calls() if m.removeprefix("Async.") in NEVER]:
            broken.append(f"it sent {started}")
        if Exit.DONE in self.answers and state not in ("failed", "dirty", "unknown"):
            broken.append(f"a cancel was said to have been made, and the run ended {state}")
        if set(self.answers) - ({int(code) for code in CODES["cancel"]} - {Exit.INTERNAL}):
            broken.append(f"the cancel ended with {self.answers}")
        sessions_left = self._check_invariants(broken)
        if broken:
            said = "\n".join(self.scene.read_output(child)[1] for child in self.scene.children[-len(self.codes) :])
            raise BrokenError("; ".join(broken) + f" (exit codes {self.codes})\n{said}")
        return Report(
            self.schedule.label,
            state,
            tuple(self.codes),
            self.played,
            self.struck,
            sessions_left,
            self.schedule.fault_kinds,
            lost=not self.pool.runs_on(self.vm),
        )

    def _check_invariants(self, broken: list[str]) -> int:
        invariants = Invariants(self.scene, unmarked_tasks=not self.schedule.header)
        invariants.lost = set(self.lost)
        pbds, srs = self.pool.first["PBD"].values(), self.pool.first["SR"]
        invariants.released = {p["uuid"] for p in pbds if srs[p["SR"]]["name_label"].startswith("T")}
        left = len(_find_sessions(self.pool) - self.sessions)
        spare = count_spare_sessions(self.schedule.rounds[: self.played], self.struck_early)
        if left > spare:
            broken.append(f"{left} sessions are left, {spare} may be; struck {self.struck_early} times before a step")
        try:
            invariants.check()
        except AssertionError as error:
            broken += [line for line in str(error).splitlines()[1:] if not line.startswith(LEFT_SESSION)]
        return left

    def _begin(self, watch: Watch) -> Command:
        request_id = f"r-{self.vm}"
        words = ("resume", request_id) if self.state else ("migrate", self.vm, "--to", "B", "--request-id", request_id)
        self.bench.reports.watch = watch
        return self.scene.popen(*words, env=self.bench.reports.environment)

    def _finish(self, child: Command) -> None:
        try:
            self.codes.append(child.wait(COMMAND_SECONDS))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise BrokenError(f"a command did not end: {self.scene.read_output(child)}") from None

    def _add_phase(self, fault: Mapping[str, Any]) -> None:
        of_vm = {} if str(fault["phase"]).startswith("PBD") else {"vm": self.vm_uuid}
        self.pool.control("POST", "/phase_faults", {**fault, **of_vm})

    def _play_round(self, each: Round) -> None:
        for fault in each.phases:
            self._add_phase(fault)
        for fault in each.wire:
            self.pool.control("POST", "/faults", dict(fault))
        self._run(each.strike)
        self.pool.control("DELETE", "/faults")

    def _run(self, strike: Strike | None) -> None:
        """Run one command to its end, struck or not."""
        point = strike.at if strike else None
        entering = functools.partial(self.bench.enter, self.flow, self.vm)
        watch = StrikeWatch(self.pool, point, entering, self.step, self.done)
        try:
            child = self._begin(watch)
            asking = None
            if strike and wait_until(watch.is_reached, child, str(point)) and child.poll() is None:
                self.struck += 1
                self.struck_early += watch.step == BEGIN and strike.how != "cancel"
                asking = self._do(strike.how, child)
            if strike:
                watch.let_go()
            self._finish(child)
            if asking is not None:
                self.answers.append(asking.wait(COMMAND_SECONDS))
        finally:
            watch.close()
        if watch.step != BEGIN:
            self.step, self.done = watch.step, watch.get_done()

    def _is_asked(self) -> bool:
        run = next((run["run"] for run in self.scene.runs() if run["vm"] == self.vm), "")
        return any(asked == run for (asked,) in self.scene.read("SELECT run_uuid FROM lmflow_control"))

    def _do(self, how: str, child: Command) -> Command | None:
        if how == "cancel":
            asking = self.scene.popen("cancel", f"r-{self.vm}", "--reason", "drawn", "--timeout", "30")
            # It may have to wait for the transaction in which the owner stands.
            until = time.monotonic() + CANCEL_SECONDS
            while time.monotonic() < until and asking.poll() is None and not self._is_asked():
                time.sleep(0.02)
            return asking
        child.send_signal({"kill": signal.SIGKILL, "stop": signal.SIGTERM}.get(how) or signal.Signals[how])
        if how == "stop":
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(STOP_SECONDS)
            child.kill()
        if how in ("kill", "stop"):
            child.wait()
        return None


def count_spare_sessions(rounds: Sequence[Round], struck_early: int) -> int:
    """Return how many sessions may be left behind: those whose UUID nobody could keep, until XAPI's 24 idle hours.

    One for each process that was ended before its first step, as its login may have been answered and not yet been
    committed; one for each fault of the wire or restart, which may lose a login's or a logout's reply.
    """
    restarts = sum(fault["kind"] == "restart" for each in rounds for fault in each.phases)
    return struck_early + restarts + sum(len(each.wire) for each in rounds)


def _may_lose(schedule: Schedule) -> bool:
    """Tell whether a fault may itself end the VM."""
    faults = [fault for each in schedule.rounds for fault in each.phases]
    return any(fault["kind"] == "restart" or fault.get("end") in ("nowhere", "halted") for fault in faults)


def _find_sessions(pool: SimulatedPool) -> set[str]:
    return {s["uuid"] for s in pool.records("session").values() if s.get("originator", "").startswith("lmflow")}
