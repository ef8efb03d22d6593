"""The plug-in under TaskFlow's own engines: anybody's flows, durable at each barrier, and stock TaskFlow reads them."""

import contextlib
import datetime
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import taskflow.engines
from taskflow import exceptions as tf_exceptions
from taskflow import task
from taskflow.patterns import linear_flow
from taskflow.persistence import backends, models
from taskflow.persistence.backends.sqlalchemy import tables as tf_tables

from lmflow.db.persistence import tables
from lmflow.db.persistence.encoding import UnstorableError
from lmflow.exceptions import ConfigurationError
from tests.functional.db.plain_flow import BOOK, FLOW, STEPS, ensure_detail, make_engine
from tests.support.servers import Servers

ROOT = Path(__file__).parents[3]
Open = Callable[..., Any]


def _quiet(_name: str) -> None:
    """Say nothing."""


@pytest.fixture
def make(url: str) -> Iterator[Open]:
    """Open the plug-in, as TaskFlow's users do; with options."""
    with contextlib.ExitStack() as opened:

        def call(**options: Any) -> Any:
            return opened.enter_context(backends.backend({"connection": f"lmflow+{url}", **options}))

        yield call


@pytest.fixture
def stock(make: Open, url: str) -> Iterator[Any]:
    make()  # also the file's directory
    with contextlib.closing(backends.fetch({"connection": url})) as backend:
        with contextlib.closing(backend.get_connection()) as connection:
            connection.upgrade()
        yield backend


def _engine_of(backend: Any) -> sa.Engine:
    engine: sa.Engine = backend._transactor.engine
    return engine


def _stop_after(backend: Any, name: str) -> list[str]:
    """Run the flow until that step has begun, and leave it there as a process that dies; return what began."""
    began: list[str] = []

    class Gone(BaseException):
        pass

    def said(step: str) -> None:
        began.append(step)
        if step == name:
            raise Gone

    with pytest.raises(Gone):
        make_engine(backend, said).run()
    return began


def _resume(backend: Any) -> list[str]:
    began: list[str] = []
    make_engine(backend, began.append).run()
    with contextlib.closing(backend.get_connection()) as connection:
        assert connection.get_flow_details(FLOW).state == "SUCCESS"
    return began


STOCK_KINDS = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)


@STOCK_KINDS
def test_stock_taskflow_resumes_what_the_plugin_wrote(make: Open, stock: Any) -> None:
    assert _stop_after(make(), "three") == ["one", "two", "three"]
    assert _resume(stock) == list(STEPS[2:])


@STOCK_KINDS
def test_the_plugin_resumes_what_stock_taskflow_wrote(make: Open, stock: Any) -> None:
    assert _stop_after(stock, "three") == ["one", "two", "three"]
    assert _resume(make()) == list(STEPS[2:])


def test_the_bench_job_takes_seven_commits(make: Open) -> None:
    backend = make(reading_atoms=["wait"], linger_seconds="inf")
    commits: list[object] = []
    statements: list[str] = []
    sa.event.listen(_engine_of(backend), "commit", commits.append)
    sa.event.listen(_engine_of(backend), "before_cursor_execute", lambda c, k, text, *rest: statements.append(text))
    make_engine(backend, _quiet).run()
    writing = [conn for conn in commits if not conn.get_execution_options().get("lmflow_reading")]
    assert len(writing) <= 7
    changes = [text for text in statements if text.startswith(("INSERT", "UPDATE", "DELETE"))]
    assert len(changes) <= 2 + 3 + 4 + 2, "book and flow; flow and atoms; the atoms; atoms and flow"
    assert len(statements) - len(changes) <= 3 * len(commits), "what else there is, belongs to beginning and looking"


def test_a_body_begins_when_all_before_it_is_on_disk(make: Open, url: str) -> None:
    seen: list[dict[str, str]] = []
    other = sa.create_engine(url, poolclass=sa.NullPool)

    def look(_name: str) -> None:
        with other.connect() as conn:
            rows = conn.execute(sa.select(tables.atomdetails.c.name, tables.atomdetails.c.state))
            seen.append({row.name: row.state for row in rows})

    make_engine(make(linger_seconds="inf"), look).run()
    for number, states in enumerate(seen):
        assert [states[name] for name in STEPS[:number]] == ["SUCCESS"] * number
        assert states[STEPS[number]] == "RUNNING"


def test_a_failed_flow_is_reverted_behind_barriers(make: Open, url: str) -> None:
    seen: list[list[str]] = []
    other = sa.create_engine(url, poolclass=sa.NullPool)

    class Undone(task.Task):
        def execute(self) -> None:
            """Do nothing."""

        def revert(self, **_kwargs: Any) -> None:
            with other.connect() as conn:
                seen.append(list(conn.execute(sa.select(tables.atomdetails.c.state)).scalars()))

    class Fails(task.Task):
        def execute(self) -> None:
            raise RuntimeError({1, 2}, math.nan)  # what no JSON holds

    backend = make(linger_seconds="inf")
    flow = linear_flow.Flow("plain").add(Undone("one"), Fails("two"))
    with pytest.raises(RuntimeError):
        taskflow.engines.load(flow, flow_detail=ensure_detail(backend), backend=backend).run()
    assert [sorted(states) for states in seen] == [["REVERTED", "REVERTING"]]
    stored = backend.get_connection().get_flow_details(FLOW)
    assert (stored.state, {atom.state for atom in stored}) == ("REVERTED", {"REVERTED"})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": {1}}, r"\['a'\] is of the type set"),
        ([datetime.datetime.now(datetime.UTC)], r"\[0\] is of the type datetime"),
        (math.nan, "is nan"),
        (object(), "of the type object"),
        ({1: 2}, "has the key 1, which is no text"),
        ("x" * 5000, "has 5002 bytes as JSON, more than 4096"),
    ],
    ids=["set", "datetime", "nan", "object", "key", "long"],
)
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_result_that_would_not_come_back_is_named_at_once(make: Open, value: object, words: str) -> None:
    class Odd(task.Task):
        def execute(self) -> object:
            return value

    backend = make(max_bytes=4096)
    flow = linear_flow.Flow("plain").add(Odd("odd", provides="it"))
    with pytest.raises(UnstorableError, match=f"the atom 'odd': results.*{words}"):
        taskflow.engines.load(flow, flow_detail=ensure_detail(backend), backend=backend).run()
    assert [atom.state for atom in backend.get_connection().get_atoms_for_flow(FLOW)] == ["RUNNING"]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_what_lingers_is_written_without_a_barrier(make: Open, url: str) -> None:
    backend, written = make(linger_seconds=0.01), threading.Event()
    connection, detail = backend.get_connection(), ensure_detail(backend)
    detail.meta["progress"] = 0.5
    sa.event.listen(
        _engine_of(backend),
        "before_cursor_execute",
        lambda c, k, text, *rest: written.set() if text.startswith("UPDATE flowdetails") else None,
    )
    connection.update_flow_details(detail)
    assert written.wait(60)
    backend.flush()  # after it
    path = sa.make_url(url).database or ""
    with contextlib.closing(sqlite3.connect(path)) as db:
        ((meta,),) = db.execute("SELECT meta FROM flowdetails").fetchall()
    assert json.loads(meta) == {"progress": 0.5}


def test_closing_writes_what_waits(make: Open, url: str) -> None:
    backend = make(linger_seconds="inf")
    detail = ensure_detail(backend)
    detail.meta["kept"] = "yes"
    backend.get_connection().update_flow_details(detail)
    backend.close()
    assert make().get_connection().get_flow_details(FLOW).meta == {"kept": "yes"}


def test_every_method_of_taskflows_connection(make: Open) -> None:
    connection = make(linger_seconds="inf").get_connection()
    connection.validate()
    book, detail = models.LogBook("plain", BOOK), models.FlowDetail("plain", FLOW)
    detail.add(models.TaskDetail("one", uuid="a-1"))
    retry = models.RetryDetail("again", uuid="a-2")
    retry.results = [(1, {})]
    detail.add(retry)
    book.add(detail)
    connection.save_logbook(book)
    connection.save_logbook(models.LogBook("another", "b-2"))
    assert {each.uuid for each in connection.get_logbooks()} == {BOOK, "b-2"}
    assert len(connection.get_logbook(BOOK, lazy=True)) == 0
    assert [each.uuid for each in connection.get_flows_for_book(BOOK)] == [FLOW]
    assert len(connection.get_flow_details(FLOW, lazy=True)) == 0
    assert connection.get_atom_details("a-2").results == [(1, {})]
    book.meta["more"] = detail.meta["more"] = [1]
    book.add(models.FlowDetail("second", "f-2"))
    connection.save_logbook(book)
    again = connection.get_logbook(BOOK)
    assert (again.meta, again.find(FLOW).meta, len(again)) == ({"more": [1]}, {"more": [1]}, 2)
    connection.destroy_logbook(BOOK)
    assert list(connection.get_flows_for_book(BOOK)) == list(connection.get_atoms_for_flow(FLOW)) == []
    for missing in (
        lambda: connection.destroy_logbook(BOOK),
        lambda: connection.get_logbook(BOOK),
        lambda: connection.get_flow_details(FLOW),
        lambda: connection.get_atom_details("a-1"),
        lambda: connection.update_atom_details(retry),
    ):
        with pytest.raises(tf_exceptions.NotFound):
            missing()
    connection.clear_all()
    assert list(connection.get_logbooks()) == []


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_flow_whose_logbook_is_deleted_meanwhile_is_not_found(make: Open) -> None:
    backend, other = make(), make()
    detail = ensure_detail(backend)
    connection = backend.get_connection()
    connection.update_flow_details(detail)
    other.get_connection().destroy_logbook(BOOK)
    detail.state = "SUCCESS"
    with pytest.raises(tf_exceptions.NotFound):
        connection.update_flow_details(detail)


def test_the_tables_are_those_of_taskflow(make: Open, url: str) -> None:
    theirs = tf_tables.fetch(sa.MetaData())
    for table in theirs:
        ours = tables.METADATA.tables[table.name]
        assert {c.name: (c.primary_key, bool(c.foreign_keys)) for c in table.c} == {
            c.name: (c.primary_key, bool(c.foreign_keys)) for c in ours.c
        }
    assert set(theirs.atomdetails.c.atom_type.type.enums) == set(tables.ATOM_TYPES)
    assert set(theirs.atomdetails.c.intention.type.enums) == set(tables.INTENTIONS)
    inspector = sa.inspect(_engine_of(make()))
    for name in ("flowdetails", "atomdetails"):
        assert ["parent_uuid"] in [index["column_names"] for index in inspector.get_indexes(name)]


def _child(*args: str) -> int:
    command = [sys.executable, "-m", "tests.functional.db.plain_flow", *args]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_killed_after_each_commit_no_finished_barrier_is_lost(url: str, make: Open, tmp_path: Path, count: int) -> None:
    marks = tmp_path / "marks"
    marks.touch()
    assert _child(f"lmflow+{url}", str(marks), str(count)) == -signal.SIGKILL
    before = marks.read_text(encoding="utf-8").split()
    assert before == list(STEPS[: max(0, count - 2)]), "the book, then one barrier for each body"
    stored = make().get_connection().get_flow_details(FLOW)
    states = {atom.name: atom.state for atom in stored}
    if before:
        assert [states[name] for name in before[:-1]] == ["SUCCESS"] * (len(before) - 1)
    began = _resume(make())
    assert began == [] if count == 8 else list(STEPS[count - 2 if count > 1 else 0 :])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("lmflow+oracle://me:hush@host/name", "of the kind oracle"),
        ("lmflow+sqlite://", "no plain file"),
        ("lmflow+nonsense", "cannot be understood"),
    ],
)
def test_a_url_that_is_of_no_use(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        backends.fetch({"connection": url})
    assert "hush" not in f"{refused.value} {refused.value.advice}"


def test_an_outage_is_told_as_one(servers: Servers) -> None:
    with servers.shared("postgresql").fresh_database() as url:
        lost = str(sa.make_url(url).set(port=1).render_as_string(hide_password=False))
    backend = backends.fetch({"connection": f"lmflow+{lost}", "outage_seconds": 0})
    with contextlib.closing(backend), pytest.raises(tf_exceptions.StorageFailure, match=r"cannot be|did not") as told:
        backend.get_connection().validate()
    assert "hush" not in str(told.value)


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "doc" / "source" / "persistence.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(page.split("```python\n")[1].split("```")[0], "persistence.md", "exec"), names)  # noqa: S102 - the page's
    with contextlib.closing(sqlite3.connect("flows.db")) as db:
        assert db.execute("SELECT state, results FROM atomdetails").fetchall() == [("SUCCESS", '"hello"')]
