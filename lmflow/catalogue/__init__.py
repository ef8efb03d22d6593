"""What every code means that a migration can end with: XAPI's, lmflow's own, states, verdicts and exit codes.

Pure data: it asks no pool and no database, and imports nothing but the standard library.
"""

from __future__ import annotations

from lmflow.catalogue.entry import Entry, Family
from lmflow.catalogue.lookup import ENTRIES, find_entries, find_near

__all__ = ["ENTRIES", "Entry", "Family", "find_entries", "find_near"]
