"""What befell migrations on a real pool, and what was true afterwards: a table of the recordings, not of our code.

``A`` plays the recorded coordinator h1, ``B`` the recorded member h2.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

from tests.support.admin import as_admin
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene


@dataclasses.dataclass(frozen=True)
class HardCase:
    """One recorded crash.

    ``signals``: (host, how, seconds after the start of the copy). ``faults``: what befalls the migration besides.
    ``survives``: how the race of a domain that arrives under a restarting toolstack ends. ``meanwhile``: what somebody
    did while the pool was restarting, ``afterwards``: when it had settled, ``at_last``: when all was over. ``real``:
    where the VM runs at the end, '' for nowhere. ``shown``: what XAPI's database says for good. ``codes``: lmflow's
    exit code with the witness of both hosts, and without: 0 it runs on the destination, 4 on the source, 7 that a
    person must decide.
    """

    source: str
    destination: str
    copy_seconds: float
    real: str
    shown: tuple[str, str]
    codes: tuple[int, int]
    signals: tuple[tuple[str, str, float], ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    survives: bool = True
    meanwhile: Callable[[Scene, SimulatedPool], None] | None = None
    afterwards: Callable[[SimulatedPool], None] | None = None
    at_last: Callable[[Scene, SimulatedPool], None] | None = None
    foreign: int = 0
    time_scale: float = 15.0


HALTED = ("Halted", "")
COPY_FAILS = {"phase": "copy", "kind": "fail", "at": 1.0}
RESTORE_FAILS = {"phase": "finish", "kind": "fail", "end": "nowhere"}
POWER_CUT = {"phase": "copy", "kind": "power_cut", "host": "B", "at": 0.25}


def resubmit(scene: Scene, pool: SimulatedPool) -> None:
    """Send the same migration once more, as somebody who believes the database, while hosts are still disabled."""
    scene.wait_until(lambda: has_restarted(pool, "A"), seconds=60)
    send_again(pool)


def resubmit_when_enabled(scene: Scene, pool: SimulatedPool) -> None:
    """Send it during the orphaned copy, when every host is enabled again."""

    def is_back() -> bool:
        enabled = all(host["enabled"] for host in pool.records("host").values())
        return has_restarted(pool, "A") and enabled and pool.control("GET", "/toolstack")["A"] == "ready"

    scene.wait_until(is_back, seconds=60)
    send_again(pool)


def has_restarted(pool: SimulatedPool, host: str) -> bool:
    """Tell whether a host's toolstack has gone and takes calls again."""
    (before,) = (h for h in pool.records("host", pool.first).values() if h["name_label"] == host)
    key = "agent_start_time"
    return bool(pool.get("host", host)["other_config"][key] != before["other_config"][key])


def send_again(pool: SimulatedPool) -> None:
    with as_admin(pool) as call:
        call("Async.VM.pool_migrate", pool.find_ref("VM", "v"), pool.find_ref("host", "B"), {"live": "true"})


def forget(scene: Scene, pool: SimulatedPool) -> None:
    """Remove the records of somebody's own requests when these have ended, as they would."""

    def is_clean() -> bool:
        with as_admin(pool) as call:
            theirs = {ref: task for ref, task in pool.records("task").items() if is_theirs(task)}
            for ref, task in theirs.items():
                if task["status"] != "pending":
                    call("task.destroy", ref)
        return not theirs

    scene.wait_until(is_clean)


def is_theirs(task: dict[str, Any]) -> bool:
    return task["name_label"] == "Async.VM.pool_migrate" and "http:lmflow-attempt" not in task["other_config"]


def start_somewhere(pool: SimulatedPool) -> None:
    """Start the VM that is shown Halted, with XAPI choosing the host; it has no choice but the right one."""
    with as_admin(pool) as call:
        for name in ("A", "C"):
            call("host.disable", pool.find_ref("host", name))
        with contextlib.suppress(AssertionError):  # VM_BAD_POWER_STATE: it runs there already
            call("VM.start", pool.find_ref("VM", "v"), False, False)


def shut_down(pool: SimulatedPool) -> None:
    """Shut down what has moved: the one Halted that is true."""
    with as_admin(pool) as call:
        call("VM.hard_shutdown", pool.find_ref("VM", "v"))


def boot(_scene: Scene, pool: SimulatedPool) -> None:
    """Start it where it was, as the recorded one was in the end."""
    with as_admin(pool) as call:
        call("VM.start_on", pool.find_ref("VM", "v"), pool.find_ref("host", "B"), False, False)


CASES = {
    "C01": HardCase("A", "B", 6.5, "B", HALTED, (0, 7), (("A", "TERM", 1.63),)),
    "C02": HardCase("A", "B", 5, "B", HALTED, (0, 7), (("A", "KILL", 1.6),)),
    "C03": HardCase("B", "A", 6.5, "", ("Running", "B"), (7, 7), (("A", "TERM", 1.67),)),
    "C04": HardCase("B", "A", 5, "A", HALTED, (0, 7), (("B", "KILL", 1.7),)),
    "C05": HardCase("A", "B", 5, "B", ("Running", "B"), (0, 7), (("B", "KILL", 1.63),)),
    "C06": HardCase("A", "B", 5, "B", ("Running", "B"), (0, 7), (("B", "TERM", 1.63),)),
    "D": HardCase("A", "B", 6, "", ("Running", "A"), (7, 7), (("B", "KILL", 1.5),), survives=False),
    "C07": HardCase(
        *("A", "B", 20, "B", ("Running", "A"), (0, 7), (("A", "KILL", 1.63),)),
        meanwhile=resubmit,
        at_last=forget,
        foreign=1,
        time_scale=8.0,
    ),
    "C08": HardCase("A", "B", 6.5, "B", ("Running", "B"), (0, 7), (("A", "TERM", 1.6),), afterwards=start_somewhere),
    "C09": HardCase("A", "B", 5, "A", ("Running", "A"), (4, 7), (("A", "KILL", 1.67),), (COPY_FAILS,)),
    "C10": HardCase("A", "B", 3, "", ("Running", "A"), (7, 7), (), (RESTORE_FAILS,)),
    "C11": HardCase("A", "B", 0.5, "", HALTED, (0, 0), afterwards=shut_down, at_last=boot),
    "C12": HardCase("A", "B", 16, "B", ("Running", "A"), (0, 7), (("A", "KILL", 1.63),)),
    "C13": HardCase(
        *("A", "B", 18, "B", HALTED, (0, 7), (("A", "KILL", 1.63),)),
        meanwhile=resubmit_when_enabled,
        at_last=forget,
        foreign=1,
    ),
    "C14": HardCase("B", "A", 14, "", ("Running", "B"), (7, 7), (("A", "KILL", 1.69),)),
    "C15": HardCase("A", "B", 7.5, "B", HALTED, (0, 7), (("A", "KILL", 1.6),)),
    "C16": HardCase("B", "A", 9, "A", HALTED, (0, 7), (("B", "KILL", 1.6),)),
    "power cut": HardCase(
        "A",
        "B",
        8,
        "",
        ("Running", "A"),
        (7, 7),
        (),
        ({"phase": "copy", "kind": "power_cut", "host": "B", "at": 0.25},),
    ),
}
"""Source: C01 to C16 and D as recorded; the power cut of a destination as watched.

A coordinator that is told to end goes on for 2 to 3.1 s: the copies of C01, C03 and C08 are 1.5 s longer than
recorded, so that they end while it is down, as those did. C15's is shorter than the recorded one, which ended 0.1 s
before the toolstack was back. C07 and C13: the database's end, and that the VM is unharmed, were recorded with
somebody's second request. What becomes of a domain whose copy failed (C09, C10, the power cut) was up to the recorded
hypervisor, which was simulated as well.
"""


def befall(pool: SimulatedPool, case: HardCase) -> None:
    """Tell the pool what is to befall the next migration."""
    pool.control("POST", "/copy_seconds", {"vm": pool.uuid("VM", "v"), "seconds": case.copy_seconds})
    pool.control("POST", "/arrivals", {"survive": case.survives})
    for host, how, at in case.signals:
        fault = {"phase": "copy", "kind": "restart", "host": host, "how": how, "at": at / case.copy_seconds}
        pool.control("POST", "/phase_faults", fault)
    for fault in case.faults:
        pool.control("POST", "/phase_faults", fault)


def wait_for_end(scene: Scene, pool: SimulatedPool, case: HardCase) -> None:
    """Wait until database and domains have come to the recorded end."""
    real = [case.real] if case.real else []
    scene.wait_until(lambda: (look(pool), pool.runs_on("v")) == (case.shown, real))


def look(pool: SimulatedPool) -> tuple[str, str]:
    """Return power state and host of v by the database."""
    return str(pool.get("VM", "v")["power_state"]), pool.resident_on("v")
