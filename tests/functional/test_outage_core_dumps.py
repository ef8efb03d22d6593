"""A command that is ended by a signal in mid-run leaves no core: its memory holds the password and the session."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.kills import query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Command, Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def _allow_cores() -> None:
    """Let the next program dump as much as it likes, as far as we may say so."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, UNLIMITED if os.geteuid() == 0 else (hard, hard))


def _end(child: Command, number: signal.Signals) -> int:
    """End a child by a signal and return its wait status, which tells of a core."""
    assert isinstance(child, subprocess.Popen)
    os.kill(child.pid, number)
    _, status = os.waitpid(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == -number
    return status


def _read_core_limit(child: Command) -> list[str]:
    limits = Path(f"/proc/{child.pid}/limits").read_text(encoding="ascii")
    return next(line.split()[4:6] for line in limits.splitlines() if "core file" in line)


def _is_in_mid_migration(scene: Scene) -> bool:
    return bool(query(scene, "select 1 from lmflow_attempts where progress > 0.05"))


def test_a_command_that_a_signal_ends_in_mid_run_leaves_no_core(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    unlimited = tmp_path / "unlimited"
    unlimited.mkdir()
    (unlimited / "sitecustomize.py").write_text("import resource\nresource.setrlimit = print\n", encoding="ascii")
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    first = scene.popen("migrate", "v", "--to", "B", "--request-id", "r", preexec_fn=_allow_cores)
    assert wait_until(lambda: _is_in_mid_migration(scene), first, "progress"), scene.read_output(first)
    assert _read_core_limit(first) == ["0", "0"]
    assert not os.WCOREDUMP(_end(first, signal.SIGQUIT))
    heir = scene.popen("resume", "r", env={"PYTHONPATH": str(unlimited)}, preexec_fn=_allow_cores)
    wait_until(lambda: "still migrating" in scene.read_output(heir)[1], heir, "re-attached")
    assert _read_core_limit(heir) != ["0", "0"], "here the other lock has to hold alone"
    assert not os.WCOREDUMP(_end(heir, signal.SIGSEGV))
    pool.control("POST", "/release_phases", {})
    done = scene.run("resume", "r")
    assert done.returncode == 0, done.stderr
    assert [path for path in scene.directory.iterdir() if path.name.startswith("core")] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise the limit")
def test_the_kernel_says_when_there_is_a_core(tmp_path: Path) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii")
    child = subprocess.Popen(
        [sys.executable, "-c", "import os; os.abort()"],
        cwd=tmp_path,
        preexec_fn=_allow_cores,  # noqa: PLW1509
    )
    _, status = os.waitpid(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if not pattern.startswith(("|", "/")):  # elsewhere the machine decides
        assert os.WCOREDUMP(status), "and then the test above would show nothing"


def test_the_debugger_of_another_process_of_the_user_is_kept_out() -> None:
    text = (
        "import ctypes, sys\n"
        "from lmflow.cli.main import main\n"
        "sys.argv[1:] = ['--version']\n"
        "main(*([] if {command} else [['--version']]))\n"
        "sys.exit(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    for command, dumpable in ((True, 0), (False, 1)):  # a program that only calls it keeps its own ways
        done = subprocess.run(
            [sys.executable, "-c", text.format(command=command)], stdout=subprocess.DEVNULL, check=False
        )
        assert done.returncode == dumpable
