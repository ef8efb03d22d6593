"""lmflow's own tables. They live beside TaskFlow's in one database; alembic's revisions create them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

metadata = sa.MetaData()

UUID_LENGTH = 64
REQUEST_ID_LENGTH = 190
"""Longest request id in characters: four bytes each, it still fits into MariaDB's smallest key limit (767)."""
NAME_LENGTH = 180
"""How much of a VM's name is kept to be looked for, in characters; with a moment beside it, it fits as well."""


MARIADB: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
"""Whatever a server's or a database's defaults are: transactions, every character there is, comparison byte by byte.
MariaDB's own defaults would take 'a' for 'A', and a text with and without a space at its end for the same. The tables
here do not carry it: SQLAlchemy would load that dialect for everybody; where tables are created they get it."""


class LongText(sa.Text):
    """A text without a practical limit; MariaDB's TEXT ends at 64 KiB."""


@compiles(LongText, "mariadb")
def _mariadb(_element: LongText, _compiler: Any, **_kw: Any) -> str:
    return "MEDIUMTEXT"  # not the dialect's own type: its module is slow to import, and no use with other databases


def _run_uuid(*, primary_key: bool = False, index: bool = False) -> sa.Column[str]:
    return sa.Column(
        "run_uuid",
        sa.String(UUID_LENGTH),
        sa.ForeignKey("lmflow_runs.uuid", ondelete="CASCADE"),
        primary_key=primary_key,
        index=index,
        nullable=False,
    )


runs = sa.Table(
    "lmflow_runs",
    metadata,
    sa.Column("uuid", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("request_id", sa.String(REQUEST_ID_LENGTH), nullable=False, unique=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("phase", sa.String(64), nullable=False),
    sa.Column("parent_uuid", sa.String(UUID_LENGTH), sa.ForeignKey("lmflow_runs.uuid", ondelete="SET NULL")),
    sa.Column("priority", sa.Integer, nullable=False, default=0),
    sa.Column("pool_profile", sa.String(255), nullable=False),
    sa.Column("pool_uuid", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("vm_uuid", sa.String(UUID_LENGTH), nullable=False),
    # empty where an lmflow of revision 0001 wrote the row; the whole name is in the request
    sa.Column("vm_name", sa.String(NAME_LENGTH), nullable=False, server_default=""),
    # "pool/vm" while the run is active, NULL afterwards: every database lets a unique key hold many NULLs
    sa.Column("active_key", sa.String(140), unique=True),
    sa.Column("request", LongText(), nullable=False),
    sa.Column("logbook_uuid", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("move_uuid", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("settle_uuid", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False, index=True),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("summary", LongText(), nullable=False),
    sa.Index("ix_lmflow_runs_state", "state", "created_at"),
    sa.Index("ix_lmflow_runs_parent_uuid", "parent_uuid"),
    sa.Index("ix_lmflow_runs_vm_name", "vm_name", "created_at"),
    sa.Index("ix_lmflow_runs_vm_uuid", "vm_uuid", "created_at"),
)

events = sa.Table(
    "lmflow_events",
    metadata,
    _run_uuid(primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("data", LongText(), nullable=False),
)

attempts = sa.Table(
    "lmflow_attempts",
    metadata,
    sa.Column("uuid", sa.String(UUID_LENGTH), primary_key=True),
    _run_uuid(index=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("session_uuid", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("starts", LongText(), nullable=False),
    sa.Column("disabled", LongText(), nullable=False),
    sa.Column("domid", sa.Integer, nullable=False),
    sa.Column("task_uuid", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("ref_digits", sa.String(32), nullable=False),
    sa.Column("progress", sa.Double, nullable=False),
    sa.Column("outcome", sa.String(255), nullable=False),
)

leases = sa.Table(
    "lmflow_leases",
    metadata,
    _run_uuid(primary_key=True),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("machine", sa.String(320), nullable=False),
    sa.Column("boot_id", sa.String(128), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", sa.String(64), nullable=False),
    sa.Column("session_uuid", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("lease_seconds", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("beat", sa.BigInteger, nullable=False),
)

control = sa.Table(
    "lmflow_control",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    _run_uuid(index=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("data", LongText(), nullable=False),
)

requests_past = sa.Table(
    "lmflow_requests_past",
    metadata,
    # one row for each run that was pruned; no foreign key: what it names is gone
    sa.Column("request_id", sa.String(REQUEST_ID_LENGTH), primary_key=True),
    sa.Column("run_uuid", sa.String(UUID_LENGTH), nullable=False, unique=True),
    # the first try of the request: the run itself, unless it was a later one
    sa.Column("first_uuid", sa.String(UUID_LENGTH), nullable=False, index=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("request", LongText(), nullable=False),
    sa.Column("summary", LongText(), nullable=False),
    sa.Column("ending", LongText(), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double, nullable=False),
    sa.Column("pruned_at", sa.Double, nullable=False),
)
