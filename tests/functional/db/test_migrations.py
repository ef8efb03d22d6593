"""The database's shape: created once, checked each time, never guessed."""

import itertools
import uuid
from pathlib import Path

import alembic.command
import alembic.config
import alembic.script
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from lmflow.db import migrations, schema
from lmflow.db.database import Database
from lmflow.db.engine import open_engine
from lmflow.exceptions import ConfigurationError, UnreachableError
from tests.support.servers import KINDS, Servers


def _set_version(url: str, version: str) -> None:
    engine = open_engine(url)
    with engine.begin() as conn:
        conn.execute(sa.update(sa.table(migrations.VERSION_TABLE, sa.column("version_num"))), {"version_num": version})
    engine.dispose()


def test_an_empty_database_is_filled_and_opened_again(url: str) -> None:
    Database.open(url).close()
    database = Database.open(url)
    assert database.runs.list() == ()
    names = sa.inspect(database._engine).get_table_names()
    assert {"logbooks", "flowdetails", "atomdetails", *schema.metadata.tables} <= set(names)
    database.close()


def test_what_taskflow_selects_by_is_indexed_once(url: str) -> None:
    Database.open(url).close()
    Database.upgrade(url)
    engine = open_engine(url)
    for table in ("flowdetails", "atomdetails"):
        indexes = sa.inspect(engine).get_indexes(table)
        assert len([i for i in indexes if i["column_names"] == ["parent_uuid"]]) == 1
    engine.dispose()


def test_the_revisions_build_exactly_the_tables_we_use(url: str) -> None:
    Database.open(url).close()
    engine = open_engine(url)

    def ours(_object: object, name: str | None, kind: str, *_rest: object) -> bool:
        return kind != "table" or (name or "").startswith("lmflow_")

    with engine.connect() as conn:
        options = {"include_object": ours, "compare_type": True, "version_table": migrations.VERSION_TABLE}
        context = MigrationContext.configure(conn, opts=options)
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_the_list_of_revisions_is_the_scripts_own() -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent / "alembic"))
    script = alembic.script.ScriptDirectory.from_config(config)
    assert tuple(r.revision for r in reversed(list(script.walk_revisions()))) == migrations.REVISIONS


def test_a_database_from_a_newer_version_is_left_alone(url: str) -> None:
    Database.open(url).close()
    _set_version(url, "0999")
    for attempt in (Database.open, Database.upgrade):
        with pytest.raises(ConfigurationError) as newer:
            attempt(url)
        assert "0999" in newer.value.message
        assert migrations.REVISIONS[-1] in newer.value.message
        assert newer.value.advice == "install a newer lmflow"


def test_an_older_database_is_opened_only_after_an_upgrade(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Database.open(url).close()
    ours = migrations.REVISIONS[-1]
    monkeypatch.setattr(migrations, "REVISIONS", (*migrations.REVISIONS, "0999"))
    with pytest.raises(ConfigurationError) as older:
        Database.open(url)
    assert f"version {ours}" in older.value.message
    assert "0999" in older.value.message
    assert older.value.advice == "lmflow db upgrade"


def test_an_upgrade_says_from_where_to_where(url: str) -> None:
    assert Database.upgrade(url) == ("", migrations.REVISIONS[-1])
    assert Database.upgrade(url) == (migrations.REVISIONS[-1], migrations.REVISIONS[-1])


def test_a_database_without_our_tables_needs_an_upgrade(url: str) -> None:
    engine = open_engine(url)
    with pytest.raises(ConfigurationError, match="no tables of lmflow"):
        migrations.check_version(engine, migrations.find_version(engine))
    engine.dispose()


def test_an_upgrade_that_fails_leaves_an_empty_database_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError("the power went")

    url = f"sqlite:///{tmp_path}/lmflow.db"
    monkeypatch.setattr(alembic.command, "upgrade", fail)
    with pytest.raises(OSError, match="power"):
        Database.open(url)
    monkeypatch.undo()
    engine = open_engine(url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()
    Database.open(url).close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "no url",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x.db?uri=true",
        "oracle://host/name",
        "nosuch://host/name",
        "sqlite+nosuch:///x.db",
        "postgresql+nosuch://host/name",
        "mysql://h:notaport/x",
        "mysql+pymysql://host/name",
        "mariadb+nosuch://host/name",
        "sqlite+aiosqlite:///x.db",
    ],
)
def test_a_url_that_names_no_database_is_a_matter_of_configuration(url: str) -> None:
    with pytest.raises(ConfigurationError) as bad:
        Database.open(url)
    assert bad.value.advice


NOWHERE = ["postgresql+psycopg://me:hidden@127.0.0.1:1/name", "mariadb+pymysql://me:hidden@127.0.0.1:1/name"]


@pytest.mark.parametrize("url", [*NOWHERE, f"{NOWHERE[0]}?sslpassword=hidden"])
def test_a_server_that_is_not_there_is_unreachable(url: str) -> None:
    with pytest.raises(UnreachableError) as lost:
        Database.open(url)
    told = f"{lost.value}{lost.value.tried}{lost.value.advice}"
    assert "hidden" not in told.replace("sslpassword=hidden", "")
    assert "127.0.0.1" in lost.value.message
    assert "\n" not in told


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_does_not_let_us_in_is_unreachable(kind: str, servers: Servers) -> None:
    server = servers.shared(kind)
    with server.fresh_database() as url:
        name = sa.make_url(url).database or ""
        for closed in (server.url(name, password="hidden"), server.url(name, user="nobody"), server.url("nowhere")):
            with pytest.raises(UnreachableError) as lost:
                Database.open(closed)
            told = f"{lost.value}{lost.value.tried}{lost.value.advice}"
            assert "hidden" not in told
            assert server.secret not in told
            assert "\n" not in told


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_who_may_not_create_tables_is_a_matter_of_configuration(kind: str, servers: Servers) -> None:
    server = servers.shared(kind)
    with server.fresh_database() as url:
        name = sa.make_url(url).database
        if kind == "postgresql":
            server.execute(f'ALTER DATABASE "{name}" OWNER TO postgres')
        else:
            server.execute(f"REVOKE ALL ON `{name}`.* FROM 'lmflow'@'127.0.0.1'")
            server.execute(f"GRANT SELECT ON `{name}`.* TO 'lmflow'@'127.0.0.1'")
        with pytest.raises(ConfigurationError, match="cannot be used") as refused:
            Database.open(url)
        assert "create" in refused.value.advice
        assert "\n" not in refused.value.message


def test_a_database_that_cannot_hold_every_name_is_refused(servers: Servers) -> None:
    server, name = servers.shared("postgresql"), f"t{uuid.uuid4().hex}"
    server.execute(f"CREATE DATABASE \"{name}\" OWNER lmflow ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(ConfigurationError, match="SQL_ASCII") as refused:
        Database.open(server.url(name))
    server.drop_database(name)
    assert "UTF8" in refused.value.advice


def test_databases_of_one_mariadb_are_upgraded_independently(servers: Servers) -> None:
    server = servers.shared("mariadb")
    with server.fresh_database() as one, server.fresh_database() as other:
        engine = open_engine(one)
        with migrations._locked(engine):
            Database.open(other).close()
        engine.dispose()


class KilledError(BaseException):
    """The process ends here."""


# PostgreSQL rolls all of it back, wherever it is killed; on MariaDB each statement stays, and is a case of its own.
@pytest.mark.parametrize(("kind", "step"), [("postgresql", 25), ("mariadb", 1)])
def test_an_upgrade_killed_at_any_statement_is_finished_by_the_next(kind: str, step: int, servers: Servers) -> None:
    with servers.shared(kind).fresh_database() as url:
        engine, left = open_engine(url), [0]

        def count(_conn: sa.Connection, _cursor: object, text: str, *_rest: object) -> None:
            if text.lstrip().startswith(("CREATE", "INSERT", "ALTER")):
                left[0] -= 1
                if left[0] == 0:
                    raise KilledError

        sa.event.listen(engine, "before_cursor_execute", count)
        killed = 0
        for number in itertools.count(1, step):
            left[0] = number
            try:
                migrations.upgrade(engine)
                break
            except KilledError:
                killed += 1
                engine.dispose()
                assert migrations.find_version(engine) is None
        engine.dispose()
        assert killed > 1
        database = Database.open(url)
        assert database.runs.list() == ()
        database.close()


def test_a_file_that_only_looks_like_a_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lmflow.db"
    file.write_bytes(b"SQLite format 3\x00" + b"nonsense" * 500)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Database.open(f"sqlite:///{file}")
