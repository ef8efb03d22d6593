"""Certificates, as an administrator meets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


def test_fingerprints_let_in_and_a_wrong_one_does_not(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), "--https")
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    failed = lmflow("migrate", "v", "--to", "B")
    assert failed.returncode == 4, "the witness answered over TLS too"
    before = len(pool.audit())
    wrong = ",".join(f"{address}:{'0' * 64}" for address in pool.ready["hosts"].values())
    scene.write_config(lab={"fingerprints": wrong})
    refused = lmflow("migrate", "v", "--to", "B")
    assert refused.returncode == 9, refused.stderr
    assert "certificate" in refused.stderr
    assert pool.ready["coordinator"] in refused.stderr
    assert len(pool.audit()) == before, "nothing was sent, no password least of all"


def test_insecure_has_to_be_said_and_is_shown(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    simulator(write_world(tmp_path / "p.json"), "--https")
    scene.write_config(lab={"fingerprints": "", "insecure": "false"})
    refused = lmflow("migrate", "v", "--to", "B")
    assert refused.returncode == 9
    scene.write_config(lab={"fingerprints": "", "insecure": "true"})
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == 0, done.stderr
    assert "not checked" in done.stderr
