"""What one writes by hand: a thread for each migration, a login in each, and a poll each second until the task ends.

Nothing is recorded, nothing is checked, and nobody goes on when it dies. It is what lmflow's cost is compared with.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import XenAPI


def migrate(url: str, account: tuple[str, str], move: tuple[str, str], poll_seconds: float) -> str:
    """Migrate one VM and return the status of the task at its end."""
    vm_uuid, host_uuid = move
    session = XenAPI.Session(url, ignore_ssl=True)
    session.xenapi.login_with_password(*account, "1.0", "script")
    try:
        vm = session.xenapi.VM.get_by_uuid(vm_uuid)
        host = session.xenapi.host.get_by_uuid(host_uuid)
        task = session.xenapi.Async.VM.pool_migrate(vm, host, {"live": "true"})
        while (status := session.xenapi.task.get_status(task)) == "pending":
            time.sleep(poll_seconds)
        session.xenapi.task.destroy(task)
        return str(status)
    finally:
        session.xenapi.session.logout()


def migrate_all(url: str, account: tuple[str, str], moves: list[tuple[str, str]], poll_seconds: float) -> list[str]:
    """Migrate all VMs at once and return the statuses."""
    with ThreadPoolExecutor(len(moves)) as threads:
        return list(threads.map(lambda move: migrate(url, account, move, poll_seconds), moves))
