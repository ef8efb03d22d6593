"""DBOS, which keeps the outcome of each step in its database, in one process and without its cloud.

It leaves a file of SQLite in the journal mode that it finds; here that is WAL, as for all the others. Its log is
limited to warnings. Everything else is as it comes.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SetWorkflowID

from bench.databases import put_into_wal
from bench.job import HELD_STEP, STEPS, WAIT_SECONDS, is_held

_reached = threading.Semaphore(0)
_never = threading.Event()


@DBOS.step()
def do_step(number: int) -> int:
    """Do nothing; interrupted jobs stand here until their process is killed."""
    if number == HELD_STEP and is_held():
        _reached.release()
        _never.wait()
    return number


@DBOS.workflow()
def do_job() -> bool:
    """Do the job."""
    for number in range(1, STEPS + 1):
        do_step(number)
    DBOS.sleep(WAIT_SECONDS)
    return True


class Contender:
    """One instance of DBOS; what another process has left is taken up while it launches."""

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            put_into_wal(str(parsed.database))
        config = DBOSConfig(name="bench", system_database_url=url, log_level="WARNING")
        config["application_version"] = "bench"  # what is left is taken up by its own version only
        DBOS(config=config)
        DBOS.launch()

    def run_one(self) -> None:
        """Do one job to its end."""
        do_job()

    def run_many(self, count: int, width: int) -> None:
        """Do so many jobs, ``width`` of them at a time."""
        with ThreadPoolExecutor(width) as threads:
            list(threads.map(lambda _: do_job(), range(count)))

    def interrupt(self, count: int) -> None:
        """Leave so many jobs in the middle, each in a thread that stands in its step."""
        for number in range(count):
            with SetWorkflowID(f"held-{number}"):
                DBOS.start_workflow(do_job)
        for _ in range(count):
            _reached.acquire()

    def resume(self, count: int) -> None:
        """Wait until the jobs that were taken up at the launch have ended."""
        while len(DBOS.list_workflows(status="SUCCESS", load_input=False, load_output=False)) < count:
            time.sleep(0.05)

    def close(self) -> None:
        """End its threads."""
        DBOS.destroy()
