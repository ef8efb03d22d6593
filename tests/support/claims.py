"""The mark by which a run holds its VM in the pool, and databases that know nothing of each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.admin import as_admin
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene

KEY = "lmflow-run"
FOREIGN = "99999999-aaaa-4bbb-8ccc-0123456789ab"
PUT, TAKE = "VM.add_to_other_config", "VM.remove_from_other_config"


def find_mark(pool: SimulatedPool, vm: str = "v") -> str | None:
    """Return which run the VM says that it is held by, None for none."""
    mark: str | None = pool.get("VM", vm)["other_config"].get(KEY)
    return mark


def put_mark(pool: SimulatedPool, value: str = FOREIGN, vm: str = "v") -> None:
    """Mark the VM as somebody else would, in place of any mark."""
    with as_admin(pool) as call:
        ref = pool.find_ref("VM", vm)
        call(TAKE, ref, KEY)
        call(PUT, ref, KEY, value)


def take_mark(pool: SimulatedPool, vm: str = "v") -> None:
    """Take the mark off, whosever it is."""
    with as_admin(pool) as call:
        call(TAKE, pool.find_ref("VM", vm), KEY)


def use_other_database(scene: Scene, name: str = "other") -> dict[str, str]:
    """Return an environment in which the command keeps its runs in another database."""
    text = scene.config_file.read_text(encoding="utf-8")
    path: Path = scene.directory / f"{name}.conf"
    url = f"sqlite:///{scene.database_file.with_name(name)}.db"
    path.write_text(text.replace(f"connection = {scene.database_url}", f"connection = {url}"), encoding="utf-8")
    return {"LMFLOW_CONFIG_FILE": str(path)}


def find_fate(scene: Scene, run: str) -> str:
    """Return what the run's own records say of its mark, '' when they do not know one."""
    objects: list[dict[str, Any]] = scene.rows("run", "show", run, "--objects")["objects"]
    return next((each["fate"] for each in objects if each["kind"] == "VM marked as held"), "")
