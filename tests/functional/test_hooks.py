"""What a site runs around its migrations: told in a document, limited in time, and never taking a run with it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.invariants import Invariants
from tests.support.kills import kill, kill_at_step, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import COMMAND_SECONDS, Command, Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

MOVE = ("migrate", "v", "--to", "B", "--request-id", "r")
NOTE = """#!/bin/sh
cat >> {log}
echo "env ${{LAB_SECRET-none}} ${{OTHER-none}}" >> {log}
echo told
{then}
"""


def write_hook(scene: Scene, name: str, then: str = "") -> Path:
    """Write a command that notes what it is told, and then does something."""
    path = scene.directory / name
    path.write_text(NOTE.format(log=scene.directory / f"{name}.log", then=then), encoding="utf-8")
    path.chmod(0o700)
    return path


def configure(scene: Scene, **options: Any) -> None:
    """Add [hooks] to the configuration; call it when the pools have been started."""
    lines = ["[hooks]", *(f"{name} = {value}" for name, value in options.items())]
    with scene.config_file.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def read_log(scene: Scene, name: str) -> list[str]:
    path = scene.directory / f"{name}.log"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def hook_events(scene: Scene) -> list[tuple[str, str, str]]:
    rows = query(scene, "select data from lmflow_events where kind = 'hook' order by sequence")
    told = (json.loads(row[0]) for row in rows)
    return [(each["moment"], Path(each["hook"]).name, each["outcome"]) for each in told]


def test_commands_are_told_before_and_after_and_get_no_secret_of_lmflow(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    secret = pool.password_file.read_text(encoding="utf-8").strip()
    scene.write_config(lab={"password_file": "", "password_env": "LAB_SECRET"})
    configure(scene, command_before=write_hook(scene, "before"), command_after=f"{write_hook(scene, 'after')} --quiet")
    env = {"LAB_SECRET": secret, "OTHER": "x"}
    done = lmflow(*MOVE, "--reason", "kernel update", "-f", "json", env=env)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    for moment in ("before", "after"):
        document, seen = read_log(scene, moment)
        assert seen == "env none x"
        told = json.loads(document)
        assert told.pop("requested_by")
        assert told == {
            "schema": "lmflow.hook/1",
            "moment": moment,
            "run": run,
            "request_id": "r",
            "reason": "kernel update",
            "vm": {"uuid": pool.uuid("VM", "v"), "name": "v"},
            "pool": {"uuid": next(iter(pool.records("pool").values()))["uuid"], "profile": "lab"},
            "source": {"uuid": pool.uuid("host", "A"), "name": "A"},
            "destination": {"uuid": pool.uuid("host", "B"), "name": "B"},
            "attempt": 1,
        }
    assert "says: told" in done.stderr
    ways = [(moment, moment, outcome) for moment in ("before", "after") for outcome in ("began", "done")]
    assert hook_events(scene) == ways


def test_a_hook_that_fails_is_a_warning_unless_its_site_says_otherwise(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    simulator(write_world(tmp_path / "p.json"))
    configure(scene, command_before=write_hook(scene, "before", "exit 3"), command_after="./no-such-program")
    done = lmflow(*MOVE, "-f", "json")
    assert done.returncode == 0, done.stderr
    warnings = json.loads(done.stdout)["warnings"]
    assert len(warnings) == 2
    assert "exit code 3" in warnings[0]
    assert "no-such-program cannot be run" in warnings[1]
    assert "warning: hook" in done.stderr


def test_a_fatal_one_before_ends_the_run_with_nothing_changed(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    configure(scene, command_before=write_hook(scene, "before", "exit 3"), on_failure="fatal")
    done = lmflow(*MOVE)
    assert done.returncode == 3, done.stderr
    said = " ".join(done.stdout.split())
    assert "HOOK_FAILED" in said
    assert "exit code 3" in said
    assert pool.changing_calls() == []


def test_a_fatal_one_after_leaves_the_run_resumable_there(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    ready = scene.directory / "ready"
    after = write_hook(scene, "after", f"test -e {ready}")
    configure(scene, command_before=write_hook(scene, "before"), command_after=after, on_failure="fatal")
    done = lmflow(*MOVE)
    assert done.returncode == 5, done.stdout + done.stderr
    assert pool.runs_on("v") == ["B"]
    ready.touch()
    resumed = lmflow("resume", "r")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert [json.loads(line)["attempt"] for line in read_log(scene, "after")[::2]] == [1, 2]
    assert len(read_log(scene, "before")) == 2
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_one_that_hangs_is_killed_with_its_children(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    simulator(write_world(tmp_path / "p.json"))
    pids = scene.directory / "pids"
    before = write_hook(scene, "before", f"sleep 600 & echo $$ $! > {pids}; wait")
    configure(scene, command_before=before, timeout=1)
    done = lmflow(*MOVE, "-f", "json")
    assert done.returncode == 0, done.stderr
    (warning,) = json.loads(done.stdout)["warnings"]
    assert "has not ended within 1 s, and was killed" in warning
    for pid in pids.read_text(encoding="utf-8").split():
        scene.wait_until(lambda pid=pid: _is_gone(pid))  # type: ignore[misc]


def _is_gone(pid: str) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"


PLUGIN = """
import time

def agree(document):
    document["vm"]["name"] = "somebody else"

def explode(document):
    raise RuntimeError(f"no ticket for {document['vm']['name']}")

def hang(document):
    time.sleep(600)

def babble(document):
    return ["yes"]

number = 7
"""
HOOKS = ["agree", "explode", "hang", "babble", "number", "missing"]
BROKEN = "raise SystemExit(0)"


def add_plugins(scene: Scene) -> dict[str, str]:
    """Install a package with hooks where the command's process finds it."""
    site = scene.directory / "site"
    info = site / "acme_hooks-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "acme_hooks.py").write_text(PLUGIN, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-hooks\nVersion: 1.2\n", encoding="utf-8")
    (site / "acme_broken.py").write_text(BROKEN, encoding="utf-8")
    entries = "\n".join(f"{name} = acme_hooks:{name}" for name in HOOKS) + "\nbroken = acme_broken:hook"
    (info / "entry_points.txt").write_text(f"[lmflow.hooks]\n{entries}\n", encoding="utf-8")
    return {"PYTHONPATH": str(site)}


def test_a_plugin_that_raises_hangs_or_answers_nonsense_is_named_and_takes_no_run_with_it(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    env = add_plugins(scene)
    configure(
        scene, before="agree, explode, hang, babble, number, missing, broken, unheard-of", after="agree", timeout=0.5
    )
    done = lmflow(*MOVE, "-f", "json", env=env, fresh=True)
    assert done.returncode == 0, done.stderr
    warnings = json.loads(done.stdout)["warnings"]
    words = [
        "failed with RuntimeError",
        "has not answered within 0.5 s",
        "answered list, not None",
        "TypeError",
        "cannot be loaded: AttributeError",
        "cannot be loaded: SystemExit",
        "nothing is called 'unheard-of'",
    ]
    assert len(warnings) == len(words), warnings
    for warning, name, word in zip(warnings, [*HOOKS[1:], "broken", "unheard-of"], words, strict=True):
        assert f"hook {name} " in warning
        assert word in warning
    assert all("acme" in warning for warning in warnings[:6])
    assert "hook explode says: no ticket for v" in done.stderr
    assert not any("no ticket" in data for (data,) in query(scene, "select data from lmflow_events"))
    assert pool.runs_on("v") == ["B"]


def test_one_that_was_cut_short_is_called_again_and_one_that_is_over_is_not(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    gate = scene.directory / "gate"
    before = write_hook(scene, "before", f"while ! test -e {gate}; do sleep 0.05; done")
    configure(scene, command_before=before, command_after=write_hook(scene, "after"))
    owner = scene.popen(*MOVE)
    assert wait_until(lambda: len(read_log(scene, "before")) == 2, owner, "the hook"), scene.read_output(owner)
    kill(owner)
    gate.touch()
    assert kill_at_step(scene, "conclude", "resume", "r")
    done = lmflow("resume", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [json.loads(line)["attempt"] for line in read_log(scene, "before")[::2]] == [1, 2]
    assert [json.loads(line)["attempt"] for line in read_log(scene, "after")[::2]] == [1]
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_whoever_lets_go_does_not_wait_for_a_hook(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    simulator(write_world(tmp_path / "p.json"))
    configure(scene, command_before=write_hook(scene, "before", "sleep 600"))
    owner = scene.popen(*MOVE)
    assert wait_until(lambda: len(read_log(scene, "before")) == 2, owner, "the hook"), scene.read_output(owner)
    owner.send_signal(signal.SIGTERM)
    assert owner.wait(COMMAND_SECONDS) == 5, scene.read_output(owner)
    write_hook(scene, "before")
    assert lmflow("resume", "r").returncode == 0


def test_a_fatal_one_that_cannot_be_loaded_lets_no_run_begin(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    configure(scene, after="broken", on_failure="fatal")
    done = lmflow(*MOVE, env=add_plugins(scene), fresh=True)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "broken of acme-hooks 1.2 cannot be loaded: SystemExit" in " ".join(done.stderr.split())
    assert scene.runs() == []
    assert pool.changing_calls() == []


def begin_with_one_that_hangs(scene: Scene, kind: str) -> Command:
    """Begin a move and return when its hook before is under way."""
    env = add_plugins(scene)
    which = {"before": "hang"} if kind == "entry point" else {"command_before": "sleep 600"}
    configure(scene, **which, timeout=600)
    owner = scene.popen(*MOVE, env=env, fresh=True)
    begun = wait_until(lambda: bool(query(scene, "select 1 from lmflow_events where kind = 'hook'")), owner, "the hook")
    assert begun, scene.read_output(owner)
    return owner


@pytest.mark.parametrize("kind", ["command", "entry point"])
def test_a_cancel_does_not_wait_for_a_hook(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, kind: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    owner = begin_with_one_that_hangs(scene, kind)
    assert lmflow("cancel", "r").returncode == 0
    assert owner.wait(COMMAND_SECONDS) == 4, scene.read_output(owner)
    assert pool.changing_calls() == []


def test_whoever_lets_go_does_not_wait_for_an_entry_point(
    simulator: Start, scene: Scene, invariants: Invariants, tmp_path: Path
) -> None:
    invariants.open_runs = True
    simulator(write_world(tmp_path / "p.json"))
    owner = begin_with_one_that_hangs(scene, "entry point")
    owner.send_signal(signal.SIGTERM)
    assert owner.wait(COMMAND_SECONDS) == 5, scene.read_output(owner)
