"""Acceptance scenario 55, within one database: two runs for one VM; and the same pool behind two profiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from tests.support.kills import wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import COMMAND_SECONDS, Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


def test_55_the_second_run_names_the_first_and_the_same_request_re_attaches(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    with scene.config_file.open("a", encoding="utf-8") as config:  # the same pool under a second name
        config.write(scene.config_file.read_text(encoding="utf-8").partition("[pool:lab]")[2].join(("[pool:twin]", "")))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold"})
    first = scene.popen("migrate", "v", "--to", "B", "--request-id", "one")
    assert wait_until(lambda: bool(pool.effects("v")), first, "the submit"), scene.read_output(first)
    (run,) = scene.runs()
    for profile in ("lab", "twin"):
        for destination in (("--to", "C"), ("--to", "A"), ()):
            second = lmflow("--pool", profile, "migrate", "v", *destination)
            assert second.returncode == 10, second.stdout + second.stderr
            assert run["run"] in second.stderr
    again = scene.popen("migrate", "v", "--to", "B", "--request-id", "one")
    pool.control("POST", "/release_phases", {})
    assert (first.wait(COMMAND_SECONDS), again.wait(COMMAND_SECONDS)) == (0, 0), scene.read_output(again)
    assert f"run {run['run'][:8]}" in scene.read_output(again)[0]
    assert len(pool.audit("VM.pool_migrate")) == 1
    other = lmflow("--pool", "twin", "migrate", "v", "--to", "B", "--request-id", "one")
    assert other.returncode == 2, "a request id names its pool's profile too"
    assert "names another request" in other.stderr
