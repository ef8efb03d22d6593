from typing import NamedTuple

from sqlalchemy import MetaData, Table

class Tables(NamedTuple):
    logbooks: Table
    flowdetails: Table
    atomdetails: Table

def fetch(metadata: MetaData) -> Tables: ...
