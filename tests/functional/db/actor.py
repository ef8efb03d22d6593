"""What a test has another process do: ``python -m tests.functional.db.actor URL WORD ...``; says one line of JSON.

It is ready once it has imported everything, says so, and begins when a line arrives: so that several race.
"""

import itertools
import json
import sys
from typing import Any

from lmflow.db.database import Database, Fence, RequestExists
from lmflow.db.owner import current_owner
from lmflow.exceptions import LockedError
from lmflow.models import RunState
from tests.functional.db.requests import FLOWS, make_request


def _open(url: str) -> dict[str, Any]:
    database = Database.open(url)
    return {"runs": len(database.runs.list())}


def _create(url: str, name: str, request_id: str) -> dict[str, Any]:
    request = make_request(name, request_id)
    try:
        run, fence = Database.open(url).runs.create(
            request, kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS
        )
    except LockedError as error:
        return {"locked": error.run_uuid, "message": error.message}
    except RequestExists as error:
        return {"exists": error.run.uuid}
    return {"run": run.uuid, "token": fence.token}


def _acquire(url: str, run_uuid: str, seconds: str) -> dict[str, Any]:
    database = Database.open(url)
    try:
        fence, previous = database.leases.acquire(run_uuid, current_owner(), float(seconds))
    except LockedError as error:
        return {"locked": error.run_uuid, "message": error.message}
    return {"token": fence.token, "previous": previous.to_json() if previous else None}


def _append(url: str, run_uuid: str, token: str, count: str) -> dict[str, Any]:
    database, fence = Database.open(url), Fence(run_uuid, int(token))
    for number in range(int(count)):
        database.events.append(fence, "tick", {"number": number})
    return {}


def _write(url: str, run_uuid: str) -> dict[str, Any]:
    """Write states until killed."""
    database = Database.open(url)
    fence, _previous = database.leases.acquire(run_uuid, current_owner(), 3600)
    for number in itertools.count():
        database.runs.set_state(fence, RunState.RUNNING, summary=f"number {number}")
    return {}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _say("ready")
    sys.stdin.readline()
    address, word, *rest = sys.argv[1:]
    action = {"open": _open, "create": _create, "acquire": _acquire, "append": _append, "write": _write}[word]
    _say(json.dumps(action(address, *rest)))
    sys.stdin.readline()  # stays alive, for those who ask whether it is
