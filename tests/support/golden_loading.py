"""Golden databases, brought to life: on SQLite and on servers, with the pool that they belong to."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lmflow.db import migrations
from lmflow.db.engine import open_engine
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene

DIRECTORY = Path(__file__).parents[1] / "data" / "golden"
NAMES = tuple(sorted(path.name for path in DIRECTORY.iterdir() if path.is_dir()))
_NAME = re.compile(r"r(\d+)-v(\d+)")


def get_revision(name: str) -> str:
    """Return the revision of a golden database's schema."""
    return _match(name)[1]


def get_flow_version(name: str) -> int:
    """Return the version of the flows in a golden database."""
    return int(_match(name)[2])


def start_pool(scene: Scene, name: str, *options: str) -> SimulatedPool:
    """Start the pool as it was left; what it was before the runs is known as ``first``."""
    state = scene.directory / "pool-lab" / "state.json"
    state.parent.mkdir()
    shutil.copyfile(DIRECTORY / name / "pool.json", state)
    # Another seed: references that are drawn now are not those of the objects that are there.
    pool = scene.start("lab", "--state", str(state), "--seed", "2", *options)
    destination = pool.find_ref("host", "B")
    plugged_later = {ref for ref, sr in pool.records("SR", pool.first).items() if sr["name_label"].startswith("T")}
    for pbd in pool.records("PBD", pool.first).values():
        if pbd["host"] == destination and pbd["SR"] in plugged_later:
            pbd["currently_attached"] = False
    return pool


def write_file(name: str, path: Path) -> None:
    """Make the SQLite file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    script = (DIRECTORY / name / "database.sql").read_text(encoding="utf-8")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(script)
    path.chmod(0o600)


def fill_server(name: str, url: str, scratch: Path) -> None:
    """Give a server the tables of that revision, and the same rows."""
    write_file(name, scratch)
    target, source = open_engine(url), sa.create_engine(f"sqlite:///{scratch}", poolclass=sa.NullPool)
    migrations.upgrade(target, get_revision(name))
    there = sa.MetaData()
    there.reflect(target)
    with source.connect() as reading, target.begin() as writing:
        for table in there.sorted_tables:
            if table.name in (migrations.VERSION_TABLE, "alembic_version"):
                continue
            rows = [row._asdict() for row in reading.execute(sa.select(_find_twin(source, table.name)))]
            if any(isinstance(column.type, sa.JSON) for column in table.columns):
                rows = [_load_json(table, row) for row in rows]
            # The first try of a request stands before the others, which name it.
            rows.sort(key=lambda row: row.get("parent_uuid") is not None)
            if rows:
                writing.execute(sa.insert(table), [_fit(table, row) for row in rows])
    target.dispose()


def _find_twin(source: sa.Engine, name: str) -> sa.Table:
    return sa.Table(name, sa.MetaData(), autoload_with=source, resolve_fks=False)


def _fit(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    """Leave a number to the server that it gives itself."""
    return {key: value for key, value in row.items() if (table.name, key) != ("lmflow_control", "id")}


def _load_json(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row for a server that has a type of its own for what SQLite keeps as a text."""
    texts = {column.name for column in table.columns if isinstance(column.type, sa.JSON)}
    return {key: json.loads(value) if key in texts and value else value for key, value in row.items()}


def _match(name: str) -> re.Match[str]:
    found = _NAME.fullmatch(name)
    assert found, f"{name} is no name of a golden database"
    return found
