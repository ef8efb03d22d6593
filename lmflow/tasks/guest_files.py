"""What copying and removing guests' files have in common: which files, and how a host's plugin is asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from lmflow.checks.kernel import find_files
from lmflow.exceptions import (
    MigrationFailedError,
    NoReplyError,
    SessionNotArmedError,
    UnreachableError,
    XapiFailureError,
)
from lmflow.models import VM
from lmflow.tasks.context import Context
from lmflow.xapi import guest_files
from lmflow.xapi.failures import CURED_BY_LOGIN
from lmflow.xapi.guest_files import PLUGIN_FAILURE

T = TypeVar("T")

COPY: Final = "copy_file"
REMOVE: Final = "remove_file"

COPYING: Final = "copy_kernel"
"""The step whose result tells which files there are. Persisted."""


def find_paths(vm: VM) -> tuple[str, ...]:
    """Return the files in its host's dom0 that the VM boots from, each once."""
    return tuple(dict.fromkeys(find_files(vm)))


def list_copied(context: Context) -> list[dict[str, Any]]:
    """Return the files that were found or made equal on both hosts: ``path``, ``size``, ``sha256``, ``copied``."""
    run = context.database.runs.get(context.run_uuid)
    results = next((a.results for a in context.database.atoms(run, "move") if a.name == COPYING), None)
    return list(results.get("files", ())) if isinstance(results, dict) else []


def check_copied(context: Context, vm: VM) -> None:
    """Look once more whether both hosts still have each file as it was; a VM without such files costs no call.

    Since then another run may have taken its own copy back, or somebody may have put a newer file on the source. What
    changes after this is not seen: XAPI has no way to hold a file. Raises MigrationFailedError, which is no refusal,
    because XAPI counts each look of the plugin as a change.
    """
    paths = find_paths(vm)
    copied = {file["path"]: (file["size"], file["sha256"]) for file in list_copied(context)} if paths else {}
    for path in paths:
        if path not in copied:
            raise MigrationFailedError(f"{vm.name_label} boots from {path} by now, which was not copied")
        _check_both(context, path, copied[path])


def _check_both(context: Context, path: str, wanted: tuple[int, str]) -> None:
    request = context.request
    boots = f"{request.vm_name} boots from {path}, and"
    for host_uuid, name in (
        (request.source_uuid, request.source_name),
        (request.destination_uuid, request.destination_name),
    ):
        try:
            seen = ask_patiently(context, partial(guest_files.look_at, context.connection, host_uuid, path))
        except XapiFailureError as failure:
            raise MigrationFailedError(
                f"{boots} {name} says {describe_failure(failure)}",
                xapi_code=failure.xapi_code,
                xapi_params=failure.xapi_params,
            ) from failure
        if not seen.exists or (seen.size_bytes, seen.sha256) != wanted:
            what = "has another file there by now" if seen.exists else "has that file no more"
            raise MigrationFailedError(f"{boots} {name} {what}")


def make_identity(host_uuid: str, path: str) -> str:
    """Return what names a file of the pool in our book of changes."""
    return f"{host_uuid}:{path}"


def ask(context: Context, call: Callable[[], T]) -> T:
    """Make one call to a plugin.

    Raises UnreachableError when it did not come about, NoReplyError when nobody knows; then nothing of it can begin
    any more, and it may be made again.
    """
    context.check_hold()
    context.adopt_session()
    try:
        return call()
    except SessionNotArmedError as error:
        raise UnreachableError(error.message) from error
    except NoReplyError:
        context.fence_off()
        raise
    except XapiFailureError as failure:
        if failure.xapi_code not in CURED_BY_LOGIN:
            raise
        context.fence_off()
        raise UnreachableError(failure.message) from failure


def ask_patiently(context: Context, call: Callable[[], T]) -> T:
    """Make one call to a plugin, again and again while nobody answers; FlowSuspended after ``waits.pool_seconds``."""
    since = context.clock()
    while True:
        try:
            return ask(context, call)
        except NoReplyError as error:
            context.say("message", error.message)
            context.pause_for_pool(since, UnreachableError(error.message))
        except UnreachableError as error:
            if not error.retryable:
                raise
            context.say("message", f"the pool does not answer: {error.message}")
            context.pause_for_pool(since, error)


def describe_failure(failure: XapiFailureError) -> str:
    """Return what the plugin said, or XAPI's code with its parameters."""
    if failure.xapi_code == PLUGIN_FAILURE and len(failure.xapi_params) > 1:
        return ": ".join(failure.xapi_params[1:])
    return f"{failure.xapi_code} {list(failure.xapi_params)}"
