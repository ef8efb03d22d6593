"""Databases that older lmflows left: upgraded on every kind of database, resumed, or refused clearly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from lmflow.db import migrations
from lmflow.db.engine import open_engine
from lmflow.flows import versions
from tests.support import golden_loading as golden
from tests.support.invariants import Invariants
from tests.support.scene import Scene
from tests.support.servers import KINDS, Servers

AT_ONCE = 3
FIRST_THAT_IS_BUILT = 2
FIRST_THAT_REMEMBERS = migrations.REVISIONS.index("0003")
ENDED = {"success": "success", "refused": "refused", "failed": "failed", "tried": "failed", "tried#2": "success"}
RESUMED = {
    "arrived": "success",
    "suspended": "success",
    "settling": "success",
    "before-submit": "success",
    "reverting": "failed",
    "copying": "failed",
    "unknown": "failed",
}
LEFT = {"dirty": "dirty"}


@pytest.fixture(params=["sqlite", *KINDS])
def kind(request: pytest.FixtureRequest, scene: Scene, servers: Servers) -> Iterator[str]:
    """The kind of database that the scene has; an empty one, if it is on a server."""
    if request.param == "sqlite":
        yield "sqlite"
        return
    with servers.shared(request.param).fresh_database() as url:
        scene.server_url = url
        yield request.param


def load(scene: Scene, name: str) -> None:
    if scene.server_url:
        golden.fill_server(name, scene.server_url, scene.directory / "scratch.db")
    else:
        golden.write_file(name, scene.database_file)


def count_rows(scene: Scene) -> dict[str, int]:
    engine = open_engine(scene.database_url)
    with engine.connect() as conn:
        names = [name for name in sa.inspect(conn).get_table_names() if not name.startswith("sqlite_")]
        count = sa.select(sa.func.count())
        counts = {name: conn.execute(count.select_from(sa.table(name))).scalar_one() for name in names}
    engine.dispose()
    return counts


def upgrade(scene: Scene, before: str) -> None:
    """Upgrade by several processes at once, then once more; nothing is lost."""
    ours, rows = migrations.REVISIONS[-1], count_rows(scene)
    if before != ours:
        refused = scene.run("run", "list")
        assert refused.returncode == 2, refused.stderr
        assert "lmflow db upgrade" in refused.stderr
    children = [scene.popen("db", "upgrade") for _ in range(AT_ONCE)]
    for child in children:
        assert child.wait(60) == 0, scene.read_output(child)
        assert f"at version {ours}" in scene.read_output(child)[1]
    again = scene.run("db", "upgrade")
    assert (again.returncode, again.stderr) == (0, f"The database is at version {ours}.\n")
    added = count_rows(scene).items() - rows.items()
    assert all(name not in rows and count == 0 for name, count in added), added


def list_states(scene: Scene, *words: str) -> dict[str, str]:
    return {run["request_id"]: run["state"] for run in scene.rows("run", "list", "--all", *words)}


def show(scene: Scene, command: str, request_id: str) -> Any:
    done = scene.run(*command.split(), request_id, "-f", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_this_lmflow_leaves_is_kept_for_the_next_one() -> None:
    assert f"r{migrations.REVISIONS[-1]}-v{versions.CURRENT}" in golden.NAMES, (
        "make it before anything else is changed: python -m tests.support.golden tests/data/golden"
    )


@pytest.mark.parametrize("name", golden.NAMES)
def test_each_says_how_it_was_made(name: str) -> None:
    text = (golden.DIRECTORY / name / "ORIGIN").read_text(encoding="utf-8")
    told = dict(line.split(maxsplit=1) for line in text.splitlines() if len(line.split()) == 2)
    assert len(told["commit"]) == 40
    assert f"schema revision  {golden.get_revision(name)}" in text
    assert f"flow version     {golden.get_flow_version(name)}" in text
    assert set(RESUMED) - {"settling"} <= set(told)


@pytest.mark.parametrize(
    "name", [each for each in golden.NAMES if golden.get_flow_version(each) >= FIRST_THAT_IS_BUILT]
)
def test_its_runs_are_listed_shown_and_resumed(name: str, kind: str, scene: Scene, invariants: Invariants) -> None:
    golden.start_pool(scene, name)
    load(scene, name)
    upgrade(scene, golden.get_revision(name))
    before = list_states(scene)
    assert {**before, **ENDED, **LEFT} == before
    assert list_states(scene, "--vm", "v0") == {"success": "success"}, "the name was taken out of the request"
    assert show(scene, "run show", "tried")["events"]
    assert show(scene, "why", "refused")["evidence"]
    if migrations.REVISIONS.index(golden.get_revision(name)) >= FIRST_THAT_REMEMBERS:
        again = scene.run("migrate", "off", "--to", "B", "--request-id", "pruned", "-f", "json")
        assert (again.returncode, json.loads(again.stdout)["state"]) == (3, "refused")
    scene.run("resume")
    assert list_states(scene) == {**ENDED, **LEFT, **RESUMED}
    assert scene.run("repair", "dirty").returncode == 4


@pytest.mark.parametrize("name", [each for each in golden.NAMES if golden.get_flow_version(each) < FIRST_THAT_IS_BUILT])
def test_runs_of_flows_that_are_not_built_any_more_are_refused(
    name: str, kind: str, scene: Scene, invariants: Invariants
) -> None:
    invariants.open_runs = True
    pool = golden.start_pool(scene, name)
    load(scene, name)
    upgrade(scene, golden.get_revision(name))
    before, rows = list_states(scene), count_rows(scene)
    for request_id in ("arrived", "unknown"):
        refused = scene.run("resume", request_id)
        assert refused.returncode == 2, refused.stderr
        assert "version 1" in refused.stderr
        assert "try: resume it with the lmflow that created it" in refused.stderr
    assert list_states(scene) == before
    assert count_rows(scene) == rows
    assert pool.changing_calls() == []
    assert show(scene, "run show", "success")["events"]
    assert show(scene, "why", "failed")["state"] == "failed"
