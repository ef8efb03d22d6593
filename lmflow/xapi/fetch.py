"""Records by reference, each once; what is null or went away is left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lmflow.exceptions import XapiFailureError
from lmflow.xapi import records
from lmflow.xapi.connection import Connection
from lmflow.xapi.failures import GONE


def read_each(conn: Connection, class_name: str, references: Iterable[str]) -> dict[str, Any]:
    """Read the records of these references, each once; null ones, and objects that went away, are left out."""
    wanted = dict.fromkeys(ref for ref in references if not records.is_null(ref))
    found = ((ref, find_record(conn, class_name, ref)) for ref in wanted)
    return {ref: record for ref, record in found if record is not None}


def find_record(conn: Connection, class_name: str, ref: str) -> Any:
    """Read one record; None when the object is not there, or not any more."""
    try:
        return conn.read(f"{class_name}.get_record", ref)
    except XapiFailureError as failure:
        if failure.xapi_code in GONE:
            return None
        raise


def find_by_uuid(conn: Connection, class_name: str, uuid: str) -> tuple[str, Any] | None:
    """Read the reference and the record of a UUID; None when the pool does not know it."""
    try:
        ref = str(conn.read(f"{class_name}.get_by_uuid", uuid))
    except XapiFailureError as failure:
        if failure.xapi_code in GONE:
            return None
        raise
    record = find_record(conn, class_name, ref)
    return None if record is None else (ref, record)


def read_where(conn: Connection, class_name: str, query: str) -> dict[str, Any] | None:
    """Read the records that a query selects; None when the pool refuses it.

    ``get_all_records_where`` is documented for internal use: a release may refuse it.
    """
    try:
        return dict(conn.read(f"{class_name}.get_all_records_where", query))
    except XapiFailureError:
        return None
