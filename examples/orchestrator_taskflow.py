"""An orchestrator's own TaskFlow graph, in a database of its own, with one migration in it.

    orchestrator_taskflow.py SITE.json --ticket T-1 --vm web-01 --to xcp-b
    orchestrator_taskflow.py SITE.json --ticket T-1 --resume        after this process was killed, or let go of the VM

SITE.json: ``profile``, ``waits``, ``password_file``, ``runs`` (lmflow's database), ``orchestrator`` (this graph's own).
"""

import argparse
import contextlib
import json
import sqlite3
import sys
import uuid
from pathlib import Path
from typing import Any, cast

from taskflow import engines, exceptions, task
from taskflow.patterns import linear_flow
from taskflow.persistence import backends, models

from lmflow.api import Client, FlowSuspended, LmflowError, MigrateTask, PoolProfile, Waits

TABLES = """
create table if not exists addresses (ticket text primary key, vm text, host text);
create table if not exists inventory (vm text primary key, host text);
create table if not exists journal (number integer primary key, ticket text, step text);
"""


def write(path: str, ticket: str, step: str, statement: str, *values: str) -> None:
    """Change our own tables, and note the step, in one transaction."""
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.executescript(TABLES)
        database.execute(statement, values)
        database.execute("insert into journal (ticket, step) values (?, ?)", (ticket, step))


class ReserveAddress(task.Task):
    """Reserves an address on the destination. Safe to run twice: the ticket names the reservation."""

    def execute(self, path: str, ticket: str, vm: str, to: str) -> None:
        """Reserve one."""
        write(path, ticket, "reserve", "insert or ignore into addresses values (?, ?, ?)", ticket, vm, to)

    def revert(self, path: str, ticket: str, **_: Any) -> None:
        """Release it: the VM is known not to have moved, or a step behind the migration failed."""
        write(path, ticket, "release", "delete from addresses where ticket = ?", ticket)


class UpdateInventory(task.Task):
    """Notes where the VM runs now."""

    def execute(self, path: str, ticket: str, vm: str, migration: dict[str, Any]) -> None:
        """Note it, one row a VM; ``migration`` is what MigrateTask returned."""
        write(path, ticket, "update", "insert or replace into inventory values (?, ?)", vm, migration["destination"])


def make_flow(order: dict[str, str]) -> linear_flow.Flow:
    """The ticket is the request id: it names this migration for ever, whoever asks for it how often."""
    migrate = MigrateTask(order["ticket"], vm=order["vm"], destination=order["to"], provides="migration")
    return linear_flow.Flow("move a server").add(ReserveAddress(), migrate, UpdateInventory())


def keep_order(connection: Any, order: dict[str, str]) -> models.FlowDetail:
    """Store the order with the graph's (empty) state, in one transaction."""
    book, detail = models.LogBook(order["ticket"]), models.FlowDetail(order["ticket"], uuid.uuid4().hex)
    detail.meta = {"order": order}
    book.add(detail)
    connection.save_logbook(book)
    return detail


def find_order(connection: Any, ticket: str) -> models.FlowDetail:
    """Return the graph's state as it was left."""
    return cast(models.FlowDetail, next(d for book in connection.get_logbooks() if book.name == ticket for d in book))


def run_graph(client: Client, backend: Any, detail: models.FlowDetail) -> None:
    """Run the graph, or go on with it. What is alive is injected transiently, each time; ``store=`` would keep it."""
    order = detail.meta["order"]
    engine = engines.load(make_flow(order), flow_detail=detail, backend=backend, engine="serial", store=order)
    engine.storage.inject({"lmflow_client": client}, transient=True)
    engine.run()


def main() -> int:
    """Run the graph of a ticket."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("--resume", action="store_true")
    for option in ("--ticket", "--vm", "--to"):
        parser.add_argument(option, default="")
    asked = parser.parse_args()
    site = json.loads(asked.site.read_text())
    profile, waits = PoolProfile.from_json(site["profile"]), Waits.from_json(site["waits"])
    order = {"path": site["orchestrator"], "ticket": asked.ticket, "vm": asked.vm, "to": asked.to}
    backend = backends.fetch({"connection": f"sqlite:///{order['path']}"})
    with contextlib.closing(backend.get_connection()) as connection:
        connection.upgrade()
        detail = find_order(connection, asked.ticket) if asked.resume else keep_order(connection, order)
    with Client(
        database_url=site["runs"],
        profiles={profile.name: profile},
        password=lambda _: Path(site["password_file"]).read_text().strip(),
        waits=waits,
    ) as client:
        try:
            run_graph(client, backend, detail)
        except (LmflowError, exceptions.WrappedFailure) as error:
            print(f"reverted: {error}")
            return 4
        except FlowSuspended as error:
            print(f"nothing was reverted: {error}; go on with --resume")
            return 5
        return 0


if __name__ == "__main__":
    sys.exit(main())
