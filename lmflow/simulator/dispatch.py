"""From the name and parameters of a call to its answer, with XAPI's checks in XAPI's order."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lmflow.simulator import execution
from lmflow.simulator.audit import Entry
from lmflow.simulator.context import Context
from lmflow.simulator.database import accessors, availability
from lmflow.simulator.database.schema import Message
from lmflow.simulator.database.typecheck import accept
from lmflow.simulator.database.values import Value
from lmflow.simulator.failures import ApiFailure, TaskCancelled
from lmflow.simulator.faults import Fault
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import OPERATIONS
from lmflow.simulator.tasks import TaskHandle

_NO_TASK = frozenset({"task", "session", "event"})
"""Classes whose synchronous calls were never seen to leave a task record, though some have an Async form."""
ASYNC = "Async."


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it was read; ``headers`` are what followed ``X-Http-Other-Config-``, lower case."""

    host_ref: str
    wire_name: str
    params: list[Value]
    entry: Entry
    headers: Mapping[str, str] = field(default_factory=dict)
    task_fault: Fault | None = None

    @property
    def name(self) -> str:
        """The name without ``Async.``."""
        return self.wire_name.removeprefix(ASYNC)

    @property
    def is_async(self) -> bool:
        """Whether the caller wants a task instead of the result."""
        return self.wire_name.startswith(ASYNC)


def _is_change(message: Message) -> bool:
    operation = OPERATIONS.get(message.wire_name)
    return operation.effect if operation else accessors.changes(message)


class Dispatcher:
    """Answers calls; ApiFailure is the refusal of one."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def answer(self, call: Call) -> Value:
        """Answer a call; blocks as long as the operation does, unless it is ``Async``."""
        if self._kernel.admit is not None:
            self._kernel.admit(call.host_ref, call.name)
        if call.name == "system.listMethods":
            return self.list_methods()
        message = self._message(call)
        args = self._arguments(call, message)
        session_ref = ""
        if message.needs_session:
            session_ref = args.pop(0)
            self._kernel.sessions.check(call.host_ref, session_ref)
        availability.check_usable(message, is_async=call.is_async)
        if _is_change(message):
            self._kernel.sessions.check_may_change(call.host_ref, session_ref, call.name)
        context = Context(self._kernel, call.host_ref, session_ref, call.entry)
        if call.is_async:
            return self._start(call, message, context, args)
        if message.is_async and message.cls not in _NO_TASK:
            return self._run_with_record(call, message, context, args)
        return self._run(message, context, args)

    def list_methods(self) -> list[str]:
        """List every call of the schema."""
        return [m.wire_name for c in self._kernel.schema.classes.values() for m in c.messages.values()]

    def _message(self, call: Call) -> Message:
        message = self._kernel.schema.find_message(call.name)
        if message is None:
            # What XAPI does not know could be an extension of the host; it looks for one once the session is checked.
            if call.params:
                session_ref = accept(self._kernel.schema, "string", call.params[0])
                self._kernel.sessions.check(call.host_ref, session_ref)
            raise ApiFailure("MESSAGE_METHOD_UNKNOWN", call.name)
        return message

    def _arguments(self, call: Call, message: Message) -> list[Value]:
        """Check number and types; the result starts with the session if the message has one."""
        offset = 1 if message.needs_session else 0
        given = call.params[offset:]
        required = sum(param.required for param in message.params)
        too_many = required == len(message.params) and len(given) > required and not message.is_hidden
        if len(call.params) < offset + required or too_many:
            got = str(len(call.params) - offset)
            raise ApiFailure("MESSAGE_PARAMETER_COUNT_MISMATCH", message.wire_name, str(required), got)
        schema = self._kernel.schema
        args = [accept(schema, "string", value) for value in call.params[:offset]]
        if message.is_removed:
            return args
        for index, param in enumerate(message.params):
            args.append(accept(schema, param.type, given[index]) if index < len(given) else param.default)
        return args

    def _create_task(self, call: Call, session_ref: str) -> TaskHandle:
        kernel = self._kernel
        headers = {} if kernel.options.ignore_attempt_header else call.headers
        coordinator_ref = kernel.coordinator_ref
        handle = kernel.tasks.create(
            call.wire_name, resident_on=coordinator_ref, headers=headers, session_ref=session_ref
        )
        call.entry.task = handle.ref
        if call.task_fault is not None:
            call.task_fault.befall_task(handle)
        return handle

    def _start(self, call: Call, message: Message, context: Context, args: list[Value]) -> str:
        if message.wire_name == "task.cancel":
            context.dummy_task = f"DummyRef:|{self._kernel.store.make_uuid()}|{call.wire_name}"
            self._run(message, context, args)
            return context.dummy_task
        context.task = self._create_task(call, context.session_ref)
        threading.Thread(
            target=self._run_in_task, args=(message, context, args), name=call.wire_name, daemon=True
        ).start()
        return context.task.ref

    def _run_in_task(self, message: Message, context: Context, args: list[Value]) -> None:
        execution.run_in_task(
            context, lambda: self._perform(message, context, args), changing=_changes_at_its_end(message)
        )

    def _run_with_record(self, call: Call, message: Message, context: Context, args: list[Value]) -> Value:
        context.task = self._create_task(call, context.session_ref)
        try:
            return self._run(message, context, args)
        except TaskCancelled:
            raise ApiFailure("TASK_CANCELLED", context.task.ref) from None
        finally:
            self._kernel.tasks.forget(context.task)

    def _run(self, message: Message, context: Context, args: list[Value]) -> Value:
        return execution.run(
            context, lambda: self._perform(message, context, args), changing=_changes_at_its_end(message)
        )

    def _perform(self, message: Message, context: Context, args: list[Any]) -> Value:
        operation = OPERATIONS.get(message.wire_name)
        if message.needs_session:
            self._kernel.rbac.check(context.session_ref, message, args)
        if operation is not None:
            return operation.function(context, *args)
        if not accessors.can_answer(message):
            raise availability.make_refusal(message)
        return accessors.answer(self._kernel.store, message, args)


def _changes_at_its_end(message: Message) -> bool:
    """Tell whether a call that comes to its end has changed the pool even if it never said so."""
    operation = OPERATIONS.get(message.wire_name)
    return operation.effect and not operation.own_effect if operation else accessors.changes(message)
