"""TaskFlow's connection: changes are noted at once and written with the next barrier, each row once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from taskflow import exceptions as tf_exceptions
from taskflow.persistence import base, models

from lmflow.db.deferring import RowGone
from lmflow.db.fence import Hold
from lmflow.db.persistence import reading
from lmflow.db.persistence.encoding import Rules, UnstorableError, encode_atom, encode_book, encode_flow
from lmflow.db.persistence.tables import ATOMS, BOOKS, FLOWS, delete_books, flowdetails, logbooks
from lmflow.db.transactions import Transactor
from lmflow.exceptions import UnreachableError

T = TypeVar("T")


@dataclasses.dataclass(slots=True)
class KnownFlow:
    """A flow as it stands on disk or is about to: its row, and those of its atoms by their UUIDs."""

    uuid: str
    hold: Hold
    row: dict[str, Any]
    atoms: dict[str, dict[str, Any]]


class Connection(base.Connection):
    """One object for all threads; it holds no database connection.

    A subclass says whose hold a flow's writes belong to, and which of them are a barrier. StorageFailure means an
    outage that outlasted our patience; UnstorableError is about the data.
    """

    def __init__(self, backend: base.Backend, transactor: Transactor, rules: Rules) -> None:
        self._backend = backend
        self._transactor = transactor
        self._rules = rules
        self._flows: dict[str, KnownFlow] = {}
        self._flow_of_atom: dict[str, str] = {}

    @property
    def backend(self) -> base.Backend:
        """Return the backend that handed out this connection."""
        return self._backend

    def close(self) -> None:
        """Do nothing: TaskFlow closes after each call. What waits is written by a barrier."""

    def validate(self) -> None:
        """Look whether the database answers; StorageFailure."""
        self._read(lambda conn: conn.execute(sa.select(1)).scalar())

    def hold_of(self, flow_uuid: str) -> Hold:
        """Return what a flow's writes belong to."""
        raise NotImplementedError

    def after_atom(self, known: KnownFlow, atom: models.AtomDetail) -> None:
        """Do what has to follow a change of an atom, such as a barrier; nothing by default."""

    def after_flow(self, known: KnownFlow, flow: models.FlowDetail) -> None:
        """Do what has to follow a change of a flow."""

    def before_reading(self) -> None:
        """Write what waits: nobody reads behind its own writes."""

    def update_atom_details(self, atom_detail: models.AtomDetail) -> models.AtomDetail:
        """Note an atom as it is now."""
        known = self._get_flow_of(atom_detail.uuid)
        row = encode_atom(atom_detail, self._rules)
        if known.atoms.get(atom_detail.uuid) != row:
            known.atoms[atom_detail.uuid] = row
            known.hold.deferred.put(ATOMS, row)
        self.after_atom(known, atom_detail)
        return atom_detail

    def update_flow_details(self, flow_detail: models.FlowDetail) -> models.FlowDetail:
        """Note a flow and those of its atoms that are new or have changed."""
        known = self._get_flow(flow_detail.uuid)
        self._note(known, flow_detail)
        self.after_flow(known, flow_detail)
        if all(flow_detail.find(atom_uuid) is not None for atom_uuid in known.atoms):
            return flow_detail
        merged = flow_detail.copy()
        for atom in self._read(lambda conn: reading.list_atoms(conn, flow_detail.uuid)):
            if flow_detail.find(atom.uuid) is None:
                merged.add(atom)
        return merged

    def save_logbook(self, book: models.LogBook) -> models.LogBook:
        """Insert or update a logbook with all it holds; it is on disk when this returns."""
        row, inserts = encode_book(book, self._rules), {flow.uuid: Inserts(flow, self._rules) for flow in book}
        found: set[str] = set()

        def work(conn: sa.Connection) -> None:
            found.clear()
            if _update_book(conn, row):
                query = sa.select(flowdetails.c.uuid).where(flowdetails.c.uuid.in_(list(inserts)))
                found.update(conn.execute(query).scalars())
            else:
                conn.execute(BOOKS.insert, row)
            for uuid, insert in inserts.items():
                if uuid not in found:
                    insert.write(conn, book.uuid)

        self._write(work, self.hold_of(book.uuid))
        for flow in book:
            if flow.uuid in found:
                known = self._get_flow(flow.uuid)
                self._note(known, flow)
                self.barrier(known.hold)
        return book

    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a logbook with its flows and atoms; NotFound."""
        for flow in self._read(lambda conn: reading.list_flows(conn, book_uuid, lazy=True)):
            self.forget(flow.uuid)
        hold = self.hold_of(book_uuid)
        if self._write(lambda conn: delete_books(conn, logbooks.c.uuid == book_uuid), hold) == 0:
            raise tf_exceptions.NotFound(f"No logbook found with uuid '{book_uuid}'")

    def get_logbook(self, book_uuid: str, lazy: bool = False) -> models.LogBook:
        """Return a logbook; NotFound."""
        return self._read(lambda conn: reading.get_book(conn, book_uuid, lazy=lazy))

    def get_logbooks(self, lazy: bool = False) -> Iterator[models.LogBook]:
        """Return all logbooks."""
        return iter(self._read(lambda conn: reading.list_books(conn, lazy=lazy)))

    def get_flows_for_book(self, book_uuid: str, lazy: bool = False) -> Iterator[models.FlowDetail]:
        """Return the flows of a logbook; none for one that is not there."""
        return iter(self._read(lambda conn: reading.list_flows(conn, book_uuid, lazy=lazy)))

    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> models.FlowDetail:
        """Return a flow; NotFound."""
        return self._read(lambda conn: reading.get_flow(conn, fd_uuid, lazy=lazy))

    def get_atom_details(self, ad_uuid: str) -> models.AtomDetail:
        """Return an atom; NotFound."""
        return self._read(lambda conn: reading.get_atom(conn, ad_uuid))

    def get_atoms_for_flow(self, fd_uuid: str) -> Iterator[models.AtomDetail]:
        """Return the atoms of a flow; none for one that is not there."""
        return iter(self._read(lambda conn: reading.list_atoms(conn, fd_uuid)))

    def barrier(self, hold: Hold) -> None:
        """Commit what waits of a hold. StorageFailure, UnstorableError, NotFound."""
        if hold.deferred.since is not None:
            self._write(lambda conn: None, hold)

    def forget(self, flow_uuid: str) -> None:
        """Forget what is known of a flow that has ended or is deleted."""
        known = self._flows.pop(flow_uuid, None)
        for atom_uuid in known.atoms if known else ():
            self._flow_of_atom.pop(atom_uuid, None)

    def _note(self, known: KnownFlow, flow: models.FlowDetail) -> None:
        """Let the rows of a flow be written that are new or differ from the known ones."""
        deferred, row = known.hold.deferred, encode_flow(flow, self._rules)
        changed = [(atom, encode_atom(atom, self._rules)) for atom in flow]  # before anything is noted: it may raise
        if known.row != row:
            known.row = row
            deferred.put(FLOWS, row)
        for atom, values in changed:
            before = known.atoms.get(atom.uuid)
            if before == values:
                continue
            known.atoms[atom.uuid] = values
            self._flow_of_atom[atom.uuid] = flow.uuid
            rest = {"parent_uuid": flow.uuid, "atom_type": models.atom_detail_type(atom)}
            deferred.put(ATOMS, values, rest=rest if before is None else None)

    def _get_flow(self, flow_uuid: str) -> KnownFlow:
        known = self._flows.get(flow_uuid)
        if known is None:
            stored = self._read(lambda conn: reading.get_flow(conn, flow_uuid))
            atoms = {atom.uuid: _encode_stored(atom) for atom in stored}
            known = KnownFlow(flow_uuid, self.hold_of(flow_uuid), encode_flow(stored, Rules()), atoms)
            self._flows[flow_uuid] = known
            self._flow_of_atom.update(dict.fromkeys(atoms, flow_uuid))
        return known

    def _get_flow_of(self, atom_uuid: str) -> KnownFlow:
        flow_uuid = self._flow_of_atom.get(atom_uuid)
        if flow_uuid is None:
            flow_uuid = self._read(lambda conn: reading.get_flow_of_atom(conn, atom_uuid))
        return self._get_flow(flow_uuid)

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        self.before_reading()
        try:
            return self._transactor.read(work)
        except (sa_exc.SQLAlchemyError, UnreachableError) as error:
            raise tf_exceptions.StorageFailure(f"reading failed: {error}", cause=error) from error

    def _write(self, work: Callable[[sa.Connection], T], hold: Hold) -> T:
        try:
            return self._transactor.write(work, hold)
        except UnreachableError as error:
            raise tf_exceptions.StorageFailure(f"writing failed: {error}", cause=error) from error
        except RowGone as error:
            hold.deferred.clear()  # it can never be written
            raise tf_exceptions.NotFound(str(error)) from error
        except (sa_exc.SQLAlchemyError, ValueError, TypeError) as error:
            raise UnstorableError(f"the database refuses the data: {error}") from error


class Inserts:
    """The rows of a flow and its atoms that are not there yet, made before the transaction begins."""

    def __init__(self, flow: models.FlowDetail, rules: Rules) -> None:
        self._flow = encode_flow(flow, rules)
        self._atoms = [
            {**encode_atom(atom, rules), "parent_uuid": flow.uuid, "atom_type": models.atom_detail_type(atom)}
            for atom in flow
        ]

    def write(self, conn: sa.Connection, book_uuid: str) -> None:
        """Insert them."""
        conn.execute(FLOWS.insert, {**self._flow, "parent_uuid": book_uuid})
        if self._atoms:
            conn.execute(ATOMS.insert, self._atoms)


def _update_book(conn: sa.Connection, row: dict[str, Any]) -> bool:
    values = {("key" if name == "uuid" else name): value for name, value in row.items()}
    return conn.execute(BOOKS.update, values).rowcount == 1


def _encode_stored(atom: models.AtomDetail) -> dict[str, Any]:
    """Return an atom's row to compare with; one that somebody else has written may be none of ours."""
    try:
        return encode_atom(atom, Rules())
    except (UnstorableError, ValueError, TypeError):
        return {}
