"""The work of a call, from its beginning to what stands of its end in the audit log and in its task."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

from lmflow.simulator.context import Context
from lmflow.simulator.database.values import Value
from lmflow.simulator.failures import ApiFailure, ConnectionDrop, TaskCancelled
from lmflow.simulator.wire.codec import encode_value

Result = TypeVar("Result")


def run(context: Context, work: Callable[[], Result], *, changing: bool) -> Result:
    """Work, and settle the column "effect"; an error of the simulator itself is written out and INTERNAL_ERROR.

    ``changing``: who comes to the end has changed the pool, even if it never said so.
    """
    done = False
    try:
        result = work()
        done = True
    except (ApiFailure, TaskCancelled, ConnectionDrop):
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        raise ApiFailure("INTERNAL_ERROR", f"{type(error).__name__}: {error}") from error
    finally:
        if context.entry.effect is None:
            context.entry.effect = done and changing
    return result


def run_in_task(context: Context, work: Callable[[], Value], *, changing: bool) -> str:
    """Work to the end and write that into the context's task; the border of a thread. Gives the outcome as a word."""
    handle, tasks = context.task, context.pool.tasks
    assert handle is not None  # noqa: S101 - who has no task needs no thread
    try:
        result = run(context, lambda: encode_value(work()), changing=changing)
    except TaskCancelled:
        tasks.finish(handle, "cancelled")
        return "TASK_CANCELLED"
    except ApiFailure as failure:
        tasks.finish(handle, "failure", error_info=failure.description)
        return failure.code
    except ConnectionDrop:
        return "closed"  # the record is lost, and so is whoever would have read it
    tasks.finish(handle, "success", result=result)
    return "ok"
