"""Somebody else, with a session of their own in a simulated pool."""

from __future__ import annotations

import contextlib
import xmlrpc.client
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.pool import SimulatedPool

Call = Callable[..., Any]


@contextlib.contextmanager
def as_admin(pool: SimulatedPool) -> Iterator[Call]:
    """Yield a caller: ``call("VM.pause", ref)``; a failure fails the test."""
    with xmlrpc.client.ServerProxy(f"http://{pool.ready['coordinator']}:{pool.ready['port']}/") as server:

        def call(method: str, *args: Any) -> Any:
            reply: Any = getattr(server, method)(*args)
            assert reply["Status"] == "Success", reply
            return reply["Value"]

        session = call("session.login_with_password", pool.ready["username"], pool.ready["password"], "1.0", "admin")
        yield lambda method, *args: call(method, session, *args)
        call("session.logout", session)
