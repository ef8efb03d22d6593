"""Runs, events, attempts, leases and control: the first shape.

MariaDB commits each statement that changes the shape, so that an upgrade may be killed between two of them: what is
there already is left as it is.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


_MARIADB: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def _create_table(name: str, *columns: sa.Column[Any]) -> None:
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *columns, **_MARIADB)


def _create_index(name: str, table: str, columns: list[str]) -> None:
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns)


def _text() -> sa.Text:
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mariadb")


def _run_uuid(*, primary_key: bool = False) -> sa.Column[str]:
    owner = sa.ForeignKey("lmflow_runs.uuid", ondelete="CASCADE")
    return sa.Column("run_uuid", sa.String(64), owner, primary_key=primary_key, nullable=False)


def upgrade() -> None:
    """Create all tables."""
    _create_runs()
    _create_events_and_attempts()
    _create_leases_and_control()


def _create_runs() -> None:
    _create_table(
        "lmflow_runs",
        sa.Column("uuid", sa.String(64), primary_key=True),
        sa.Column("request_id", sa.String(190), nullable=False, unique=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("phase", sa.String(64), nullable=False),
        sa.Column("parent_uuid", sa.String(64), sa.ForeignKey("lmflow_runs.uuid", ondelete="SET NULL")),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("pool_profile", sa.String(255), nullable=False),
        sa.Column("pool_uuid", sa.String(64), nullable=False),
        sa.Column("vm_uuid", sa.String(64), nullable=False),
        sa.Column("active_key", sa.String(140), unique=True),
        sa.Column("request", _text(), nullable=False),
        sa.Column("logbook_uuid", sa.String(64), nullable=False),
        sa.Column("move_uuid", sa.String(64), nullable=False),
        sa.Column("settle_uuid", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("summary", _text(), nullable=False),
    )
    _create_index("ix_lmflow_runs_created_at", "lmflow_runs", ["created_at"])
    _create_index("ix_lmflow_runs_state", "lmflow_runs", ["state", "created_at"])
    _create_index("ix_lmflow_runs_parent_uuid", "lmflow_runs", ["parent_uuid"])


def _create_events_and_attempts() -> None:
    _create_table(
        "lmflow_events",
        _run_uuid(primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("data", _text(), nullable=False),
    )
    _create_table(
        "lmflow_attempts",
        sa.Column("uuid", sa.String(64), primary_key=True),
        _run_uuid(),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("session_uuid", sa.String(64), nullable=False),
        sa.Column("starts", _text(), nullable=False),
        sa.Column("disabled", _text(), nullable=False),
        sa.Column("domid", sa.Integer, nullable=False),
        sa.Column("task_uuid", sa.String(64), nullable=False),
        sa.Column("ref_digits", sa.String(32), nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("outcome", sa.String(255), nullable=False),
    )
    _create_index("ix_lmflow_attempts_run_uuid", "lmflow_attempts", ["run_uuid"])


def _create_leases_and_control() -> None:
    _create_table(
        "lmflow_leases",
        _run_uuid(primary_key=True),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("machine", sa.String(320), nullable=False),
        sa.Column("boot_id", sa.String(128), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started", sa.String(64), nullable=False),
        sa.Column("session_uuid", sa.String(64), nullable=False),
        sa.Column("lease_seconds", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
    )
    _create_table(
        "lmflow_control",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        _run_uuid(),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("data", _text(), nullable=False),
    )
    _create_index("ix_lmflow_control_run_uuid", "lmflow_control", ["run_uuid"])
