"""A request id names its request also after a prune: the table of what was pruned.

What was pruned before this revision is not known any more: its ids stay free. An lmflow of the revision before, which
still runs, goes on pruning without a row here.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = "lmflow_requests_past"
_INDEX = "ix_lmflow_requests_past_first_uuid"


def upgrade() -> None:
    """Create the table and its index; each only where it is not there: MariaDB may have been stopped between."""
    if not sa.inspect(op.get_bind()).has_table(_TABLE):
        op.create_table(
            _TABLE,
            sa.Column("request_id", sa.String(190), primary_key=True),
            sa.Column("run_uuid", sa.String(64), nullable=False, unique=True),
            sa.Column("first_uuid", sa.String(64), nullable=False),
            sa.Column("kind", sa.String(64), nullable=False),
            sa.Column("state", sa.String(32), nullable=False),
            sa.Column("request", _text(), nullable=False),
            sa.Column("summary", _text(), nullable=False),
            sa.Column("ending", _text(), nullable=False),
            sa.Column("created_at", sa.Double, nullable=False),
            sa.Column("ended_at", sa.Double, nullable=False),
            sa.Column("pruned_at", sa.Double, nullable=False),
            mariadb_engine="InnoDB",
            mariadb_charset="utf8mb4",
            mariadb_collate="utf8mb4_nopad_bin",
        )
    if _INDEX not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(_TABLE)}:
        op.create_index(_INDEX, _TABLE, ["first_uuid"])


def _text() -> sa.Text:
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mariadb")
