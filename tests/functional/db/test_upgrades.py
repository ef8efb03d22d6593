"""An upgrade of a database with runs in it, killed at any statement: the next one finishes it, and no row is lost."""

from __future__ import annotations

import itertools
from pathlib import Path

import sqlalchemy as sa

from lmflow.db import migrations, schema
from lmflow.db.database import Database, RunFilter
from lmflow.db.engine import open_engine
from tests.support import golden_loading as golden

NAME = "r0001-v2"
CHANGES = ("CREATE", "INSERT", "UPDATE", "ALTER")


class KilledError(BaseException):
    """The process ends here."""


def fill(url: str, scratch: Path) -> None:
    if url.startswith("sqlite"):
        golden.write_file(NAME, Path(sa.make_url(url).database or ""))
    else:
        golden.fill_server(NAME, url, scratch)


def read_runs(url: str) -> list[tuple[str, str]]:
    engine = open_engine(url)
    with engine.connect() as conn:
        rows = [(row.uuid, row.request) for row in conn.execute(sa.text("SELECT * FROM lmflow_runs ORDER BY uuid"))]
    engine.dispose()
    return rows


def test_an_upgrade_with_runs_killed_at_any_statement_is_finished_by_the_next(url: str, tmp_path: Path) -> None:
    fill(url, tmp_path / "scratch.db")
    before, left = read_runs(url), [0]

    def count(_conn: sa.Connection, _cursor: object, text: str, *_rest: object) -> None:
        if text.lstrip().startswith(CHANGES):
            left[0] -= 1
            if left[0] == 0:
                raise KilledError

    for number in itertools.count(1):
        engine = open_engine(url)
        sa.event.listen(engine, "before_cursor_execute", count)
        left[0] = number
        try:
            migrations.upgrade(engine)
            break
        except KilledError:
            engine.dispose()
            assert migrations.find_version(engine) in migrations.REVISIONS[:-1]
        finally:
            engine.dispose()
    assert number > 3
    assert read_runs(url) == before
    database = Database.open(url)
    runs = database.runs.list(limit=None)
    assert len(runs) == len(before)
    for run in runs:
        assert run in database.runs.select(RunFilter(vm=run.request.vm_name)).runs
    database.close()


def test_a_request_that_cannot_be_read_does_not_keep_the_database_from_its_upgrade(url: str, tmp_path: Path) -> None:
    fill(url, tmp_path / "scratch.db")
    engine = open_engine(url)
    table = sa.table("lmflow_runs", sa.column("request"), sa.column("request_id"))
    with engine.begin() as conn:
        conn.execute(sa.update(table).where(table.c.request_id == "success"), {"request": "no JSON"})
        conn.execute(sa.update(table).where(table.c.request_id == "failed"), {"request": "[]"})
    migrations.upgrade(engine)
    with engine.connect() as conn:
        names = {row.request_id: row.vm_name for row in conn.execute(sa.select(schema.runs))}
    engine.dispose()
    assert (names["success"], names["failed"]) == ("", "")
    assert names["refused"] == "off"
