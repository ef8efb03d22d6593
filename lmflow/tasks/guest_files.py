"""What copying and removing guests' files have in common: which files, and how a host's plugin is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from lmflow.checks.kernel import find_files
from lmflow.exceptions import NoReplyError, SessionNotArmedError, UnreachableError, XapiFailureError
from lmflow.models import VM
from lmflow.tasks.context import Context
from lmflow.xapi.failures import CURED_BY_LOGIN
from lmflow.xapi.guest_files import PLUGIN_FAILURE

T = TypeVar("T")

COPY: Final = "copy_file"
REMOVE: Final = "remove_file"


def find_paths(vm: VM) -> tuple[str, ...]:
    """Return the files in its host's dom0 that the VM boots from, each once."""
    return tuple(dict.fromkeys(find_files(vm)))


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
