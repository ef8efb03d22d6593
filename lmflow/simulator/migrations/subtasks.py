"""Calls that the coordinator makes on its own behalf, as tasks below the task of the call that needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lmflow.simulator import gate
from lmflow.simulator.audit import Entry
from lmflow.simulator.context import Context
from lmflow.simulator.database.values import Value
from lmflow.simulator.failures import ApiFailure, ConnectionDrop, TaskCancelled
from lmflow.simulator.tasks import TaskHandle
from lmflow.simulator.wire.codec import encode_value


def _make_context(ctx: Context, name: str) -> Context:
    host = str(ctx.store.value("host", ctx.pool.coordinator_ref, "name_label"))
    task = ctx.pool.tasks.create(
        name,
        resident_on=ctx.pool.coordinator_ref,
        subtask_of=gate.task_of(ctx).ref,
        session_ref=ctx.session_ref,
    )
    # Nobody delivered this call, so that it stands in no audit log.
    return Context(ctx.pool, ctx.pool.coordinator_ref, ctx.session_ref, Entry(0, ctx.clock.now(), host, name, []), task)


def start(ctx: Context, name: str, call: Callable[[Context], Value]) -> TaskHandle:
    """Begin an Async call in a thread of its own; ``call`` is given its own context. Gives the handle of its task."""
    own = _make_context(ctx, name)
    handle = gate.task_of(own)

    def run() -> None:
        tasks = ctx.pool.tasks
        try:
            tasks.finish(handle, "success", result=encode_value(call(own)))
        except TaskCancelled:
            tasks.finish(handle, "cancelled")
        except ApiFailure as failure:
            tasks.finish(handle, "failure", error_info=failure.description)
        except ConnectionDrop:
            pass  # the record is lost, and so is whoever would have read it

    threading.Thread(target=run, name=name, daemon=True).start()
    return handle


@contextmanager
def shown(ctx: Context, name: str) -> Iterator[None]:
    """Show a synchronous call as a task while the block runs."""
    with gate.writing(ctx):
        handle = gate.task_of(_make_context(ctx, name))
    try:
        yield
    finally:
        ctx.pool.tasks.forget(handle)
