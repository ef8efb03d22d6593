"""An asyncio service that migrates many VMs at a time.

    service_asyncio.py SITE.json [--at-once 50] < ORDERS

A line of ORDERS is ``REQUEST-ID VM DESTINATION``. JSON lines are printed while it goes on, and one for each outcome.
SIGTERM lets go of what goes on; started again with the same orders it goes on where it was: a request id names a
request for ever. SITE.json holds ``profile`` and ``waits`` (fields of PoolProfile and Waits), ``password_file``, and
``runs`` (URL of lmflow's database).
"""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from lmflow.api import AsyncClient, LmflowError, Notice, PoolProfile, RunState, Waits


def show(kind: str, **data: Any) -> None:
    """Print a line of JSON."""
    print(json.dumps({"kind": kind, **data}), flush=True)


def show_notice(notice: Notice) -> None:
    """Print what goes on; called in the event loop."""
    show(notice.kind, run=notice.run_uuid, text=notice.text, progress=notice.progress)


async def migrate(client: AsyncClient, request_id: str, vm: str, destination: str) -> bool:
    """Migrate one VM; its failure is no reason to end the others."""
    try:
        outcome = await client.migrate(vm, destination, request_id=request_id)
    except LmflowError as error:
        show("error", request_id=request_id, vm=vm, code=error.code, text=error.message, advice=error.advice)
        return False
    run = outcome.run
    show("outcome", request_id=request_id, vm=vm, run=run.uuid, state=run.state, vm_state=outcome.vm_state)
    return run.state is RunState.SUCCESS


async def serve(site: dict[str, Any], orders: list[list[str]], at_once: int) -> int:
    """Migrate them all, so many at a time, until the last has ended or SIGTERM comes."""
    profile = PoolProfile.from_json(site["profile"])
    async with AsyncClient(
        database_url=site["runs"],
        profiles={profile.name: profile},
        password=lambda _: Path(site["password_file"]).read_text().strip(),
        waits=Waits.from_json(site["waits"]),
        notify=show_notice,
        at_once=at_once,
    ) as client:
        everything = asyncio.gather(*(migrate(client, *order) for order in orders))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, everything.cancel)
        try:
            moved = await everything
        except asyncio.CancelledError:
            show("let go", open=[run.request.request_id for run in await client.runs(active_only=True)])
            return 5
    return 0 if all(moved) else 4


def main() -> int:
    """Read the orders and serve them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("--at-once", type=int, default=50)
    asked = parser.parse_args()
    orders = [line.split() for line in sys.stdin if line.strip()]
    return asyncio.run(serve(json.loads(asked.site.read_text()), orders, asked.at_once))


if __name__ == "__main__":
    sys.exit(main())
