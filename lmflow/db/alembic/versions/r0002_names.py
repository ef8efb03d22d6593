"""The VM's name stands beside the run, and lists are selected by indexes.

Runs that are there get the name out of their requests. A run whose request cannot be read keeps an empty one: an
upgrade is not the place to refuse it. An lmflow of the revision before may go on writing: a name that it leaves out is
empty.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BATCH = 1000
_NAME_LENGTH = 180
_INDEXES: Mapping[str, list[str]] = {
    "ix_lmflow_runs_vm_name": ["vm_name", "created_at"],
    "ix_lmflow_runs_vm_uuid": ["vm_uuid", "created_at"],
}
_RUNS = sa.table("lmflow_runs", sa.column("uuid"), sa.column("request"), sa.column("vm_name"))


def upgrade() -> None:
    """Add the column, fill it, and index it; each only where it is not there: MariaDB may have been stopped between."""
    found = sa.inspect(op.get_bind())
    if "vm_name" not in {column["name"] for column in found.get_columns("lmflow_runs")}:
        op.add_column("lmflow_runs", sa.Column("vm_name", sa.String(_NAME_LENGTH), nullable=False, server_default=""))
    _fill(op.get_bind())
    there = {index["name"] for index in found.get_indexes("lmflow_runs")}
    for name, columns in _INDEXES.items():
        if name not in there:
            op.create_index(name, "lmflow_runs", columns)


def _fill(conn: sa.Connection) -> None:
    last = ""
    update = sa.update(_RUNS).where(_RUNS.c.uuid == sa.bindparam("key")).values(vm_name=sa.bindparam("name"))
    while True:
        page = sa.select(_RUNS.c.uuid, _RUNS.c.request).where(_RUNS.c.uuid > last).order_by(_RUNS.c.uuid).limit(_BATCH)
        rows = conn.execute(page).all()
        if not rows:
            return
        last = rows[-1].uuid
        conn.execute(update, [{"key": row.uuid, "name": _read_name(row.request)} for row in rows])


def _read_name(request: Any) -> str:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(request)["vm_name"])[:_NAME_LENGTH]
    return ""
