"""Calls that the coordinator makes on its own behalf, as tasks below the task of the call that needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lmflow.simulator import execution, gate
from lmflow.simulator.audit import INTERNAL, SESSION, Entry
from lmflow.simulator.context import Context
from lmflow.simulator.database.values import Value
from lmflow.simulator.tasks import TaskHandle


def _make_context(ctx: Context, name: str, entry: Entry) -> Context:
    task = ctx.pool.tasks.create(
        name,
        resident_on=ctx.pool.coordinator_ref,
        subtask_of=gate.task_of(ctx).ref,
        session_ref=ctx.session_ref,
    )
    entry.task = task.ref
    return Context(ctx.pool, ctx.pool.coordinator_ref, ctx.session_ref, entry, task, parent=ctx)


def start(ctx: Context, name: str, params: list[Value], call: Callable[[Context], Value]) -> TaskHandle:
    """Begin an Async call in a thread of its own; ``call`` is given its own context. Gives the handle of its task.

    It stands in the audit log like any other, with ``params`` behind its session. Only ``took_effect()`` counts.
    """
    own = _make_context(ctx, name, ctx.pool.audit.begin(INTERNAL, name, [SESSION, *params], ctx.entry.session))

    def run() -> None:
        own.entry.outcome = execution.run_in_task(own, lambda: call(own), changing=False)

    threading.Thread(target=run, name=name, daemon=True).start()
    return gate.task_of(own)


@contextmanager
def shown(ctx: Context, name: str) -> Iterator[None]:
    """Show a synchronous call as a task while the block runs."""
    with gate.writing(ctx):
        # It is a part of the call that is in the audit log already.
        handle = gate.task_of(_make_context(ctx, name, Entry(0, ctx.clock.now(), INTERNAL, name, [])))
    try:
        yield
    finally:
        ctx.pool.tasks.forget(handle)
