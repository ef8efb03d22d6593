"""The databases of real pools that are kept here, and what stands in them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from lmflow.simulator.worlds import pooldb

_POOLS = Path(__file__).parent.parent / "data" / "pools"
DATABASES = (_POOLS / "TampaTwoHostPoolSelectioniSCSI.xml.gz", _POOLS / "tampa_livevdimove_xapi-db.xml.gz")


def read_tables(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Read the rows of a database as they stand there: class -> reference -> field -> text."""
    root = ElementTree.fromstring(pooldb.read_text(path))  # noqa: S314 - a file of our own
    return {
        str(table.get("name")): {str(row.get("ref")): dict(row.attrib) for row in table.iter("row")}
        for table in root.iter("table")
    }
