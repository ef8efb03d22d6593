"""Keeping a lease alive while its run goes on."""

from __future__ import annotations

import logging
import threading

from lmflow.exceptions import LeaseLost, UnreachableError
from lmflow.tasks.context import Context

LOG = logging.getLogger(__name__)


class Heartbeat(threading.Thread):
    """Renews the lease each ``waits.heartbeat_seconds``; sets ``context.lost`` when it is no longer ours.

    A database that does not answer proves nothing about the lease: whoever takes it over meanwhile ends our
    session in the pool before it may send anything, so that we cannot either.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(name=f"lmflow-heartbeat-{context.run_uuid[:8]}", daemon=True)
        self._context = context
        self._over = threading.Event()

    def run(self) -> None:
        """Renew until ``finish`` is called or the lease is lost."""
        context = self._context
        while not self._over.wait(context.waits.heartbeat_seconds):
            try:
                context.database.leases.renew(context.fence)
            except LeaseLost:
                context.lost.set()
                return
            except UnreachableError as error:
                LOG.warning("the lease of run %s could not be renewed: %s", context.run_uuid, error)

    def finish(self) -> None:
        """Stop renewing and wait for the thread to end."""
        self._over.set()
        self.join()
