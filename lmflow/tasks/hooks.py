"""Calling what a site runs around its migrations: an entry point in this process, or a command with JSON on stdin."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

from lmflow import plugins
from lmflow.exceptions import PluginError
from lmflow.models import Hook, Site
from lmflow.tasks.cancelling import check_cancel
from lmflow.tasks.context import Context
from lmflow.tasks.notes import warn

NAMESPACE: Final = "lmflow.hooks"
SCHEMA: Final = "lmflow.hook/1"
EVENT: Final = "hook"
BEGAN, DONE, FAILED = "began", "done", "failed"
_SHOWN_BYTES = 2000
_LOOK_SECONDS = 0.05
_END_SECONDS = 5.0


class HookFailedError(PluginError):
    """A hook that its site calls fatal failed: this run does not go on past it."""

    code = "HOOK_FAILED"


def load_hooks(site: Site) -> None:
    """Load the entry points that a site names; PluginError when one cannot be loaded whose failure is fatal.

    Of another one it is told when its moment comes.
    """
    for hook in site.hooks:
        try:
            if not hook.command:
                plugins.get_plugin(NAMESPACE, hook.name)
        except PluginError:
            if hook.fatal:
                raise


def run_hooks(context: Context, moment: str, task: str) -> int:
    """Call the site's hooks of a moment, one after the other; return how many there are.

    One that is recorded as over is not called again; one that was cut short is, with the next number of ``attempt``.
    Its failure is a warning, or HookFailedError where the site says so. A cancel is served meanwhile, before the
    submit; CancelledError then.
    """

    def look() -> None:
        context.check_hold()
        if moment == "before":
            check_cancel(context)

    hooks = [hook for hook in context.site.hooks if hook.moment == moment]
    for number, hook in enumerate(hooks):
        key = {"moment": moment, "number": number, "hook": hook.label}
        last, attempts = _recall(context, key)
        if last == DONE or (last == FAILED and not hook.fatal):
            continue
        context.record(EVENT, {**key, "outcome": BEGAN})
        why = _call(context, hook, make_document(context, moment, attempts + 1), look)
        context.record(EVENT, {**key, "outcome": FAILED if why else DONE, **({"text": why} if why else {})})
        if why and hook.fatal:
            raise HookFailedError(f"hook {hook.label} {why}")
        if why:
            warn(context, task, f"hook {hook.label} {why}")
    return len(hooks)


def make_document(context: Context, moment: str, attempt: int) -> dict[str, Any]:
    """Return what a hook is told; there is no secret in it."""
    request = context.request
    return {
        "schema": SCHEMA,
        "moment": moment,
        "run": context.run_uuid,
        "request_id": request.request_id,
        "reason": request.reason,
        "requested_by": request.requested_by,
        "vm": {"uuid": request.vm_uuid, "name": request.vm_name},
        "pool": {"uuid": request.pool_uuid, "profile": request.pool_profile},
        "source": {"uuid": request.source_uuid, "name": request.source_name},
        "destination": {"uuid": request.destination_uuid, "name": request.destination_name},
        "attempt": attempt,
    }


def _recall(context: Context, key: Mapping[str, Any]) -> tuple[str, int]:
    """Return the last word on a hook, '' for none, and how often it was begun."""
    words = [
        str(event.data["outcome"])
        for event in context.database.events.list(context.run_uuid, kind=EVENT)
        if {name: event.data[name] for name in key} == key
    ]
    return (words[-1] if words else ""), words.count(BEGAN)


def _call(context: Context, hook: Hook, document: dict[str, Any], look: Callable[[], None]) -> str:
    """Return why the hook failed, '' when it did not. What ``look`` raises ends it, or leaves it behind."""
    if hook.command:
        return _run_command(context, hook, json.dumps(document) + "\n", look)
    try:
        plugin = plugins.get_plugin(NAMESPACE, hook.name)
        answer = plugins.call_guarded(plugin, hook.timeout_seconds, lambda: plugin.value(document), look=look)
    except PluginError as error:
        if error.__cause__ is not None:
            context.say("message", f"hook {hook.label} says: {error.__cause__}")
        return f"failed: {error.message}"
    who = f"{plugin.source} of {plugin.distribution}"
    return "" if answer is None else f"failed: {who} answered {type(answer).__name__}, not None"


def _run_command(context: Context, hook: Hook, text: str, look: Callable[[], None]) -> str:
    """Run it without a shell, in a process group of its own, and return why it failed.

    stdin and output are files: neither a command that does not read, nor one that leaves a child behind, holds us up.
    """
    environment = {name: value for name, value in os.environ.items() if name not in hook.hidden}
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as output:
        stdin.write(text.encode())
        stdin.seek(0)
        try:
            child = subprocess.Popen(  # noqa: S603 - the site's own command, as its words
                hook.command, stdin=stdin, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        except (OSError, ValueError) as error:
            return f"cannot be run: {error}"
        try:
            code = _wait(child, hook.timeout_seconds, look)
        finally:
            ended = _end(child)
        said = _read_end(output)
    if said:
        context.say("message", f"hook {hook.label} says: {said}")
    if code is None:
        what = "was killed" if ended else "could not be killed"
        return f"has not ended within {hook.timeout_seconds:g} s, and {what}"
    if code:
        return f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
    return ""


def _wait(child: subprocess.Popen[bytes], seconds: float, look: Callable[[], None]) -> int | None:
    """Return its exit code, None when the time is over; raise at once what ``look`` raises."""
    limit = time.monotonic() + seconds
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(_LOOK_SECONDS)
        look()
        if time.monotonic() >= limit:
            return None


def _end(child: subprocess.Popen[bytes]) -> bool:
    """Kill the process group of a command that has not ended; tell whether it has ended then.

    One that runs as somebody else, as under sudo, is not ours to kill.
    """
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_END_SECONDS)
    return child.poll() is not None


def _read_end(output: IO[bytes]) -> str:
    """Return the end of what it said as one line."""
    output.seek(max(0, output.seek(0, os.SEEK_END) - _SHOWN_BYTES))
    return " ".join(output.read(_SHOWN_BYTES).decode(errors="replace").split())
