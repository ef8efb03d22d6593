"""Blocking of a VM's operations: the derived accessors, after which allowed_operations is written anew."""

from __future__ import annotations

from collections.abc import Callable

from lmflow.simulator.context import Context
from lmflow.simulator.database import accessors
from lmflow.simulator.database.values import Value
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed


def _follow(name: str) -> Callable[..., Value]:
    def answer(ctx: Context, vm_ref: str, *args: Value) -> Value:
        message = ctx.store.schema.classes["VM"].messages[name]
        with ctx.store.lock:
            result = accessors.answer(ctx.store, message, [vm_ref, *args])
            allowed.update_vm(ctx.store, vm_ref)
        return "" if result is None else result

    return answer


for _name in ("set_blocked_operations", "add_to_blocked_operations", "remove_from_blocked_operations"):
    operation(f"VM.{_name}", effect=True)(_follow(_name))
