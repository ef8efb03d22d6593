"""The library as a program of one's own uses it, in this process or as one of the examples, against a scene's pools."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lmflow.api import AsyncClient, Client
from lmflow.cli.demo_pool import make_waits
from tests.support.kills import query
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def make_settings(scene: Scene, *pools: SimulatedPool) -> dict[str, Any]:
    """Return what a client is made of, for these pools or the scene's."""
    used = pools or tuple(scene.pools)
    passwords = {pool.name: str(pool.ready["password"]) for pool in used}
    return {
        "database_url": scene.database_url,
        "profiles": {pool.name: scene.profile(pool) for pool in used},
        "password": passwords.__getitem__,
        "waits": make_waits(used[0].time_scale),
    }


def open_client(scene: Scene, *pools: SimulatedPool, **changes: Any) -> Client:
    return Client(**{**make_settings(scene, *pools), **changes})


def make_async_client(scene: Scene, *pools: SimulatedPool, **changes: Any) -> AsyncClient:
    return AsyncClient(**{**make_settings(scene, *pools), **changes})


def write_site(scene: Scene, pool: SimulatedPool, **waits: float) -> str:
    """Write the file that the examples read."""
    site = {
        "profile": scene.profile(pool).to_json(),
        "waits": {**make_waits(pool.time_scale).to_json(), **waits},
        "password_file": str(pool.password_file),
        "runs": scene.database_url,
        "orchestrator": str(scene.directory / "orchestrator.db"),
    }
    path = scene.directory / "site.json"
    path.write_text(json.dumps(site), encoding="utf-8")
    return str(path)


def start_example(scene: Scene, example: str, *args: str, orders: str = "") -> subprocess.Popen[str]:
    """Start an example; ``orders`` is what it reads. Its output goes where the outputs of commands are."""
    scene.outputs.mkdir(exist_ok=True)
    stem = scene.outputs / f"{len(scene.children):03}"
    given = stem.with_suffix(".stdin")
    given.write_text(orders, encoding="utf-8")
    with (
        given.open(encoding="utf-8") as stdin,
        stem.with_suffix(".stdout").open("w", encoding="utf-8") as stdout,
        stem.with_suffix(".stderr").open("w", encoding="utf-8") as stderr,
    ):
        child = subprocess.Popen(
            [sys.executable, str(EXAMPLES / example), *args],
            text=True,
            cwd=scene.directory,
            env=scene.environment(),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
    scene.children.append(child)
    return child


def hold_in_the_copy(pool: SimulatedPool, *vms: str) -> None:
    """Let the migrations of these VMs, or the next one of any, stand in their copy until ``let_go``."""
    fault = {"phase": "copy", "kind": "hold", "at": 0.5}
    uuids = {record["name_label"]: record["uuid"] for record in pool.records("VM").values()}
    for each in [{**fault, "vm": uuids[vm]} for vm in vms] or [fault]:
        pool.control("POST", "/phase_faults", each)


def let_go(pool: SimulatedPool) -> None:
    pool.control("POST", "/release_phases", {})


def count_accepted(scene: Scene) -> int:
    """Return how many migrations the pools have accepted and not ended, as lmflow's database has it."""
    rows = query(scene, "select count(*) from lmflow_attempts where state = 'accepted'")
    return int(rows[0][0]) if rows else 0


def is_in_the_copy(scene: Scene) -> bool:
    """Tell whether a migration has been seen to make progress."""
    return bool(query(scene, "select 1 from lmflow_attempts where progress > 0.2"))
