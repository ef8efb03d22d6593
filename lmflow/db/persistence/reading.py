"""Rows as TaskFlow's details."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from taskflow import exceptions as tf_exceptions
from taskflow.persistence import models

from lmflow.db.persistence.tables import atomdetails, flowdetails, logbooks

_KEY: sa.BindParameter[str] = sa.bindparam("wanted")
_ALL_BOOKS = sa.select(logbooks)
_BOOK = _ALL_BOOKS.where(logbooks.c.uuid == _KEY)
_FLOW = sa.select(flowdetails).where(flowdetails.c.uuid == _KEY)
_FLOWS = sa.select(flowdetails).where(flowdetails.c.parent_uuid == _KEY)
_ATOM = sa.select(atomdetails).where(atomdetails.c.uuid == _KEY)
_ATOMS = sa.select(atomdetails).where(atomdetails.c.parent_uuid == _KEY)
_FLOW_OF_ATOM = sa.select(atomdetails.c.parent_uuid).where(atomdetails.c.uuid == _KEY)


def find_flow(conn: sa.Connection, flow_uuid: str, *, lazy: bool = False) -> models.FlowDetail | None:
    """Read a flow, unless ``lazy`` with its atoms."""
    row = conn.execute(_FLOW, {"wanted": flow_uuid}).first()
    return None if row is None else _make_flow(conn, row, lazy=lazy)


def get_flow(conn: sa.Connection, flow_uuid: str, *, lazy: bool = False) -> models.FlowDetail:
    """Read a flow, unless ``lazy`` with its atoms; NotFound."""
    flow = find_flow(conn, flow_uuid, lazy=lazy)
    if flow is None:
        raise tf_exceptions.NotFound(f"No flow details found with uuid '{flow_uuid}'")
    return flow


def list_flows(conn: sa.Connection, book_uuid: str, *, lazy: bool = False) -> list[models.FlowDetail]:
    """Read a logbook's flows."""
    return [_make_flow(conn, row, lazy=lazy) for row in conn.execute(_FLOWS, {"wanted": book_uuid}).all()]


def get_book(conn: sa.Connection, book_uuid: str, *, lazy: bool = False) -> models.LogBook:
    """Read a logbook, unless ``lazy`` with its flows; NotFound."""
    row = conn.execute(_BOOK, {"wanted": book_uuid}).first()
    if row is None:
        raise tf_exceptions.NotFound(f"No logbook found with uuid '{book_uuid}'")
    return _make_book(conn, row, lazy=lazy)


def list_books(conn: sa.Connection, *, lazy: bool = False) -> list[models.LogBook]:
    """Read all logbooks."""
    return [_make_book(conn, row, lazy=lazy) for row in conn.execute(_ALL_BOOKS).all()]


def get_atom(conn: sa.Connection, atom_uuid: str) -> models.AtomDetail:
    """Read an atom; NotFound."""
    row = conn.execute(_ATOM, {"wanted": atom_uuid}).first()
    if row is None:
        raise _no_atom(atom_uuid)
    return _make_atom(row)


def list_atoms(conn: sa.Connection, flow_uuid: str) -> list[models.AtomDetail]:
    """Read a flow's atoms."""
    return [_make_atom(row) for row in conn.execute(_ATOMS, {"wanted": flow_uuid})]


def get_flow_of_atom(conn: sa.Connection, atom_uuid: str) -> str:
    """Return the UUID of the flow to which an atom belongs; NotFound."""
    found = conn.execute(_FLOW_OF_ATOM, {"wanted": atom_uuid}).scalar()
    if found is None:
        raise _no_atom(atom_uuid)
    return str(found)


def _no_atom(atom_uuid: str) -> Exception:
    missing: Exception = tf_exceptions.NotFound(f"No atom details found with uuid '{atom_uuid}'")
    return missing


def _make_book(conn: sa.Connection, row: sa.Row[Any], *, lazy: bool) -> models.LogBook:
    book = models.LogBook.from_dict(row._asdict())
    for flow in () if lazy else list_flows(conn, row.uuid):
        book.add(flow)
    return book


def _make_flow(conn: sa.Connection, row: sa.Row[Any], *, lazy: bool) -> models.FlowDetail:
    flow = models.FlowDetail.from_dict(row._asdict())
    for atom in () if lazy else list_atoms(conn, row.uuid):
        flow.add(atom)
    return flow


def _make_atom(row: sa.Row[Any]) -> models.AtomDetail:
    values = row._asdict()
    return models.atom_detail_class(values.pop("atom_type")).from_dict(values)
