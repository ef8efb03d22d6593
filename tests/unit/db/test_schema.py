"""Our tables on databases that are not here: the statements that would create and use them."""

import re

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import oracle, postgresql, sqlite
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect
from sqlalchemy.schema import CreateIndex, CreateTable

from lmflow.db import schema
from lmflow.db.alembic.versions import r0001_initial
from lmflow.db.clock import Now

DIALECTS = {"postgresql": postgresql.dialect(), "mariadb": MariaDBDialect(), "sqlite": sqlite.dialect()}
KEY_BYTES = 767  # InnoDB's limit in its oldest row format, a character being four bytes


@pytest.mark.parametrize("name", DIALECTS)
def test_tables_and_indexes_compile(name: str) -> None:
    for table in schema.metadata.sorted_tables:
        statement = str(CreateTable(table).compile(dialect=DIALECTS[name]))
        assert f"CREATE TABLE {table.name}" in statement
        for index in table.indexes:
            assert "CREATE INDEX" in str(CreateIndex(index).compile(dialect=DIALECTS[name]))


def test_all_tables_are_ours_by_name() -> None:
    assert all(name.startswith("lmflow_") for name in schema.metadata.tables)


def test_names_are_short_enough_for_every_database() -> None:
    for table in schema.metadata.sorted_tables:
        assert all(len(str(index.name)) <= 63 for index in table.indexes)


def test_keys_fit_into_mariadbs_limit() -> None:
    for table in schema.metadata.sorted_tables:
        keys = [
            [*table.primary_key.columns],
            *([c] for c in table.columns if c.unique),
            *(i.columns for i in table.indexes),
        ]
        for columns in keys:
            size = sum(4 * c.type.length if isinstance(c.type, sa.String) and c.type.length else 8 for c in columns)
            assert size <= KEY_BYTES, (table.name, [c.name for c in columns])


def test_mariadb_compares_keys_byte_by_byte_and_keeps_long_texts() -> None:
    for table in schema.metadata.sorted_tables:
        copy = table.to_metadata(sa.MetaData())
        copy.dialect_kwargs.update(schema.MARIADB)  # as the revision gives them, see below
        statement = str(CreateTable(copy, include_foreign_key_constraints=[]).compile(dialect=DIALECTS["mariadb"]))
        for option in ("ENGINE=InnoDB", "CHARSET=utf8mb4", "COLLATE utf8mb4_nopad_bin"):
            assert option in statement
        assert not re.search(r" TEXT\b", statement)


def test_the_revision_makes_mariadbs_tables_so() -> None:
    assert r0001_initial._MARIADB == schema.MARIADB


@pytest.mark.parametrize(
    ("name", "words"),
    [("sqlite", "julianday('now')"), ("postgresql", "clock_timestamp()"), ("mariadb", "UTC_TIMESTAMP(6)")],
)
def test_each_database_reads_its_own_clock(name: str, words: str) -> None:
    assert words in str(sa.select(Now() + 30).compile(dialect=DIALECTS[name]))


def test_an_unknown_clock_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(sa.exc.CompileError):
        sa.select(Now()).compile(dialect=oracle.dialect())
