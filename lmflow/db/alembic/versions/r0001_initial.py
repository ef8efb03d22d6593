"""Runs, events, attempts, leases and control: the first shape."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _key(length: int) -> sa.String:
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def _text() -> sa.Text:
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def _run_uuid(*, primary_key: bool = False) -> sa.Column[str]:
    owner = sa.ForeignKey("lmflow_runs.uuid", ondelete="CASCADE")
    return sa.Column("run_uuid", _key(64), owner, primary_key=primary_key, nullable=False)


def upgrade() -> None:
    """Create all tables."""
    _create_runs()
    _create_events_and_attempts()
    _create_leases_and_control()


def _create_runs() -> None:
    op.create_table(
        "lmflow_runs",
        sa.Column("uuid", _key(64), primary_key=True),
        sa.Column("request_id", _key(190), nullable=False, unique=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("phase", sa.String(64), nullable=False),
        sa.Column("parent_uuid", _key(64), sa.ForeignKey("lmflow_runs.uuid", ondelete="SET NULL")),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("pool_profile", sa.String(255), nullable=False),
        sa.Column("pool_uuid", _key(64), nullable=False),
        sa.Column("vm_uuid", _key(64), nullable=False),
        sa.Column("active_key", _key(140), unique=True),
        sa.Column("request", _text(), nullable=False),
        sa.Column("logbook_uuid", _key(64), nullable=False),
        sa.Column("move_uuid", _key(64), nullable=False),
        sa.Column("settle_uuid", _key(64), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("summary", _text(), nullable=False),
    )
    op.create_index("ix_lmflow_runs_created_at", "lmflow_runs", ["created_at"])
    op.create_index("ix_lmflow_runs_state", "lmflow_runs", ["state", "created_at"])
    op.create_index("ix_lmflow_runs_parent_uuid", "lmflow_runs", ["parent_uuid"])


def _create_events_and_attempts() -> None:
    op.create_table(
        "lmflow_events",
        _run_uuid(primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("data", _text(), nullable=False),
    )
    op.create_table(
        "lmflow_attempts",
        sa.Column("uuid", _key(64), primary_key=True),
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
    op.create_index("ix_lmflow_attempts_run_uuid", "lmflow_attempts", ["run_uuid"])


def _create_leases_and_control() -> None:
    op.create_table(
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
    op.create_table(
        "lmflow_control",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        _run_uuid(),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("data", _text(), nullable=False),
    )
    op.create_index("ix_lmflow_control_run_uuid", "lmflow_control", ["run_uuid"])
