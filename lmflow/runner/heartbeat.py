"""Keeping a lease alive while its run goes on, and hearing what others ask of the run."""

from __future__ import annotations

import logging
import threading

from lmflow.exceptions import LeaseLost, UnreachableError
from lmflow.tasks.cancelling import ANSWER
from lmflow.tasks.context import Context
from lmflow.tasks.steering import CancelWish

LOG = logging.getLogger(__name__)

CANCEL = "cancel"


class Heartbeat(threading.Thread):
    """Renews the lease each ``waits.heartbeat_seconds``; sets ``context.lost`` when it is no longer ours.

    Each ``waits.poll_seconds`` it looks for requests to cancel the run, which anybody may store. A database that does
    not answer proves nothing about the lease: whoever takes it over meanwhile ends our session in the pool before it
    may send anything, so that we cannot either.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(name=f"lmflow-heartbeat-{context.run_uuid[:8]}", daemon=True)
        self._context = context
        self._over = threading.Event()
        self._heard = 0

    def run(self) -> None:
        """Renew until ``finish`` is called or the lease is lost."""
        context, waits = self._context, self._context.waits
        renewed = context.clock()
        while not self._over.wait(min(waits.heartbeat_seconds, waits.poll_seconds)):
            try:
                self.listen()
                if context.clock() - renewed >= waits.heartbeat_seconds:
                    context.database.leases.renew(context.fence)
                    renewed = context.clock()
            except LeaseLost:
                context.lost.set()
                return
            except UnreachableError as error:
                LOG.warning(
                    "the lease of run %s could not be renewed: %s",
                    context.run_uuid,
                    error,
                    extra={"run_uuid": context.run_uuid},
                )

    def listen(self, *, patient: bool = False) -> None:
        """Pass on the latest request to cancel that nobody has answered; one that an owner before us heard counts too.

        UnreachableError when the database is away, at once unless ``patient``.
        """
        context = self._context
        requests = context.database.control.list(context.run_uuid, after=self._heard, patient=patient)
        if not requests:
            return
        answers = context.database.events.list(context.run_uuid, kind=ANSWER, patient=patient)
        answered = max((int(event.data["number"]) for event in answers), default=0)
        for request in requests:
            self._heard = request.number
            if request.kind == CANCEL and request.number > answered:
                by, reason = str(request.data["by"]), str(request.data["reason"])
                context.cancelling.asked = CancelWish(by, reason, request.number)
                context.say("message", f"{by} asks for a cancel" + (f": {reason}" if reason else ""))

    def finish(self) -> None:
        """Stop renewing and wait for the thread to end, if it was started."""
        self._over.set()
        if self.ident is not None:
            self.join()
